"""What `--revision` and `--tag` may name: a branch, there or to be created, a pull request's ref, a tag."""

from __future__ import annotations

import re

from hubkit import hub_rules
from hubkit.errors import HubError
from hubkit.hub import Hub, Repo
from hubkit.hub_refs import pull_request_status, refs

HEADS = "refs/heads/"
_PULL_REQUEST = re.compile(r"refs/pr/([1-9][0-9]{0,8})")
_ANOTHER_BRANCH = "give a branch; one that is not there is created"


def branch(revision: str | None) -> str:
    """The revision as the Hub is asked for it; without one, main."""
    return (revision or hub_rules.DEFAULT_BRANCH).removeprefix(HEADS)


def is_main(revision: str | None) -> bool:
    """Whether a push without `--revision` would go to the same."""
    return branch(revision) == hub_rules.DEFAULT_BRANCH


def is_pull_request(revision: str | None) -> bool:
    """Whether this is the ref of a pull request."""
    return revision is not None and _PULL_REQUEST.fullmatch(revision) is not None


def check_branch_name(revision: str | None) -> None:
    """See that a revision can be one to push to, as far as its name tells. Raises HubError."""
    if revision is None or is_pull_request(revision):
        return
    name = branch(revision)
    if not revision.strip():
        raise HubError("--revision is empty", "leave it out to push to main")
    if hub_rules.COMMIT_OID_PATTERN.fullmatch(name):
        raise HubError(f"--revision {name[:12]} is a commit, and no push goes to one", _ANOTHER_BRANCH)
    if name.startswith("refs/tags/"):
        raise HubError(f"--revision {name} is a tag, and no push goes to one", _ANOTHER_BRANCH)
    if not hub_rules.is_ref_name(name):
        raise HubError(f"--revision {name[:100]!r} is no name for a branch", _OF_LETTERS)


def check_tag_name(tag: str | None) -> None:
    """See that this can be the name of a tag. Raises HubError."""
    if tag is not None and not hub_rules.is_ref_name(tag):
        raise HubError(f"--tag {tag[:100]!r} is no name for a tag", _OF_LETTERS)


_OF_LETTERS = f"use letters, digits and - _ . / between them, {hub_rules.REF_NAME_MAX} characters at most"


def check_on_hub(hub: Hub, repo: Repo | None, revision: str) -> None:
    """See that a revision is or can become a branch of this repo, or is an open pull request.

    Raises HubError.
    """
    if is_main(revision):
        return
    if found := _PULL_REQUEST.fullmatch(revision):
        _check_pull_request(hub, repo, int(found[1]))
        return
    if repo is None:
        return
    known = refs(hub, repo.id)
    if revision in known.branches:
        return
    if revision in known.tags:
        raise HubError(
            f"--revision {revision} is a tag of {repo.id}, and no push goes to one", _ANOTHER_BRANCH
        )
    if repo.head is not None:  # the Hub finds something by this name that is neither
        raise HubError(
            f"--revision {revision} is commit {repo.head[:12]} of {repo.id}, and no push goes to one",
            _ANOTHER_BRANCH,
        )


def _check_pull_request(hub: Hub, repo: Repo | None, num: int) -> None:
    status = pull_request_status(hub, repo.id, num) if repo else None
    if repo is None or status is None:
        where = repo.id if repo else "the repo, which is not there yet"
        raise HubError(
            f"there is no pull request {num} at {where}", "--create-pr opens one; --revision BRANCH pushes"
        )
    if status not in ("open", "draft"):
        raise HubError(f"pull request {num} at {repo.id} is {status}", "--create-pr opens another one")
