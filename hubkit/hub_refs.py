"""What of a repo has a name: its branches and tags, and what a name that somebody gave means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hubkit.errors import HubError
from hubkit.hub import Hub


@dataclass(frozen=True, slots=True)
class Refs:
    """The commits of a repo's branches and tags, by name."""

    branches: Mapping[str, str]
    tags: Mapping[str, str]


def refs(hub: Hub, repo_id: str) -> Refs:
    """The branches and tags of a repo that is there."""
    with hub.calling(repo_id):
        found = hub.api.list_repo_refs(repo_id)
    return Refs(
        {branch.name: branch.target_commit for branch in found.branches},
        {tag.name: tag.target_commit for tag in found.tags},
    )


def pull_request_status(hub: Hub, repo_id: str, num: int) -> str | None:
    """Whether a pull request is open, draft, closed or merged; None when there is none of this number."""
    from huggingface_hub.errors import HfHubHTTPError

    with hub.calling(repo_id):
        try:
            found = hub.api.get_discussion_details(repo_id, num)
        except HfHubHTTPError as error:
            if error.response.status_code != 404:
                raise
            return None
    return found.status if found.is_pull_request else None


def create_tag(hub: Hub, repo_id: str, tag: str, commit: str) -> bool:
    """Tag a commit; whether that was new. Raises HubError when the tag is at another commit.

    A tag that is there already is no error for the Hub's client, wherever it points, so it is looked at.
    """
    if refs(hub, repo_id).tags.get(tag) == commit:
        return False
    with hub.calling(repo_id):
        hub.api.create_tag(repo_id, tag=tag, revision=commit, exist_ok=True)
    there = refs(hub, repo_id).tags.get(tag)
    if there != commit:
        where = f"is at commit {there[:12]}" if there else "is not there"
        raise HubError(f"the tag {tag} of {repo_id} {where}, not at {commit[:12]}", "choose another --tag")
    return True
