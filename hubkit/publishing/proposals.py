"""The pull request that hubkit opened for a repo: a later proposal is a commit to it, not a second one.

It is hubkit's when this token's user opened it with a commit of hubkit's, and ours to add to as long as it is
open. What other people opened is never touched. A job of CI has no user: its own is the one that no user
opened, and that carries the mark of its workflow.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.errors import NotAuthorised
from hubkit.hub import Hub
from hubkit.publishing import jobs, traces

if TYPE_CHECKING:
    from huggingface_hub import DiscussionWithDetails

MOST = 20  # open ones of this user that are looked at, the newest first


@dataclass(frozen=True, slots=True)
class Proposal:
    """An open pull request: its number and ref, the head of that, and its address.

    `conflicts` are the files in which main has gone another way since, so that it cannot be merged as it is.
    """

    num: int
    ref: str
    head: str
    url: str
    conflicts: tuple[str, ...] = ()


def find(hub: Hub, repo_id: str) -> Proposal | None:
    """The newest open pull request that hubkit opened for a repo with this token's user, or in this job."""
    user = job = None
    try:
        user = None if jobs.resource(hub) else hub.user()
    except NotAuthorised:
        return None  # a job's token that came by HF_TOKEN: what it opened carries no mark
    if user is None and (job := jobs.mark()) is None:
        return None  # nothing can be known to be its own
    with hub.calling(repo_id):
        listed = hub.api.get_repo_discussions(
            repo_id, author=user, discussion_type="pull_request", discussion_status="open"
        )
        ours = (p.num for p in listed if (p.author == user if user else jobs.could_be_ours(p.author)))
        newest = list(itertools.islice(ours, MOST))
    for num in newest:
        if found := look(hub, repo_id, num, opened_by_hubkit=True, job=job):
            return found
    return None


def look(
    hub: Hub, repo_id: str, num: int, *, opened_by_hubkit: bool = False, job: str | None = None
) -> Proposal | None:
    """A pull request as it is now; None when it is not open, or not hubkit's, or this job's, if asked for."""
    ref = f"refs/pr/{num}"
    with hub.calling(repo_id):
        details = hub.api.get_discussion_details(repo_id, num)
        if details.status not in ("open", "draft"):
            return None
        history = hub.api.list_repo_commits(repo_id, revision=ref)
    if opened_by_hubkit:
        said = _opened_with(details, {c.commit_id: c.message for c in history})
        if not traces.is_hubkits(said) or (job and traces.job(said) != job):
            return None
    clashing = details.conflicting_files
    names = tuple(clashing) if isinstance(clashing, list) else ("some files",) if clashing else ()
    url = f"{hub.endpoint}/{repo_id}/discussions/{num}"
    return Proposal(num, ref, history[0].commit_id, url, names)


def conflict_note(proposal: Proposal | None) -> tuple[str, ...]:
    """What a person must be told of a proposal that does not merge cleanly."""
    if proposal is None or not proposal.conflicts:
        return ()
    where = ", ".join(proposal.conflicts)
    return (
        f"{proposal.url} cannot be merged as it is: main has changed {where} since it was opened;"
        " close it there and run the command again, and a new one is opened on top of main",
    )


def _opened_with(details: DiscussionWithDetails, messages: dict[str, str]) -> str:
    """What the first thing in a pull request says: hubkit's comment, or else its commit."""
    from huggingface_hub import DiscussionComment, DiscussionCommit

    for event in details.events:
        if isinstance(event, DiscussionComment) and traces.is_hubkits(event.content):
            return event.content
        if isinstance(event, DiscussionCommit):
            return messages.get(event.oid, "")
    return ""
