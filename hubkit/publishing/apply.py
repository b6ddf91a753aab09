"""Carry out a plan: create what is missing, make one commit, and see that the Hub holds what was planned."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from hubkit.errors import CardError, HeadMoved, HubError, HubkitError, RepoMissing
from hubkit.hub import Hub, LocalFile, RemoteFile
from hubkit.hub_commit import Commit, make_commit, open_pull_request
from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.hub_upload import Storage
from hubkit.publishing import remote_card
from hubkit.publishing.contents import CARD_NAME
from hubkit.publishing.plan import Plan, check_visibility

MOST_RETRIES = 3


class Published(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a push did. `address` is where a person can see it."""

    repo_id: str
    address: str
    commit: str  # the head that holds the files, new or not
    nothing_to_do: bool
    new_bytes: int = 0  # of the files that were added or changed
    sent_bytes: int = 0  # of those that the Hub did not have yet: what went over the wire
    seconds: float = 0.0
    pull_request: str | None = None
    tag: str | None = None  # that was set on the commit
    collection: str | None = None  # the address of the one that holds the repo
    verified: str | None = None  # what was seen when it was loaded from the Hub
    storage: Storage | None = None  # how the weights went; absent when none did
    serve: str | None = None  # the command that shows it at `address`, for a local Hub
    notes: list[str] = []


def apply(plan: Plan, hub: Hub) -> Published:
    """Make the commit of a plan, or none when the Hub holds it all.

    When somebody commits meanwhile, the plan is carried over to the new head, three times at most, and only
    if none of its files was touched. Otherwise HeadMoved is raised, and nothing is overwritten. Raises
    CardError for a plan that says itself that it may not be carried out.
    """
    if plan.refused:
        raise CardError(plan.refused, plan.refused_hint)
    started = time.monotonic()
    files = [file.local(plan.directory) for file in plan.files]
    card = next(file for file in files if file.path == CARD_NAME)
    _check_unchanged(files)
    head = _prepare(plan, hub)
    before = hub.files(plan.repo_id, plan.head) if plan.head else {}
    for retries_left in range(MOST_RETRIES, -1, -1):
        remote = before if head == plan.head else hub.files(plan.repo_id, head)
        _check_untouched(plan, files, before, remote)
        changed = [file for file in files if not file.equals(remote.get(file.path))]
        if not changed:
            return _published(plan, head, started)
        if plan.create_pr and (there := open_pull_request(hub, plan.repo_id, files)):
            return _published(plan, there.oid, started, pull_request=there.url)
        try:
            commit = make_commit(
                hub,
                plan.repo_id,
                changed,
                title=plan.title,
                parent=head,
                revision=plan.revision,
                create_pr=plan.create_pr,
                description=remote_card.description(card.sha256),
            )
        except HeadMoved:
            if not retries_left:
                raise
            head = _require_head(plan, hub, plan.revision)
        else:
            _verify(plan, hub, files, commit)
            return _published(plan, commit.oid, started, commit, sum(file.size for file in changed))
    raise AssertionError("unreachable")


def _prepare(plan: Plan, hub: Hub) -> str:
    """Create the repo and the branch if the plan says so, and give the commit to build on."""
    if plan.creates_repo:
        hub.create_repo(plan.repo_id, plan.private)
    if plan.creates_branch:
        hub.create_branch(plan.repo_id, plan.revision, plan.head or _require_head(plan, hub, DEFAULT_BRANCH))
    if plan.head and not plan.creates_branch:
        return plan.head
    return _require_head(plan, hub, plan.revision)


def _require_head(plan: Plan, hub: Hub, revision: str) -> str:
    repo = hub.repo(plan.repo_id, revision)
    if repo is None or repo.head is None:
        raise RepoMissing(f"{plan.repo_id} has no revision {revision} any more", "run the command again")
    check_visibility(repo, plan.private)  # somebody may have created it since the plan was made
    return repo.head


def _check_unchanged(files: list[LocalFile]) -> None:
    """The files must still be those that were hashed for the plan."""
    for file in files:
        found = file.source.stat() if file.source.is_file() else None
        if found is None or (found.st_size, found.st_mtime_ns) != (file.size, file.modified_ns):
            raise HubkitError(f"{file.source} changed after the plan was made", "run the command again")


def _check_untouched(
    plan: Plan, files: list[LocalFile], before: dict[str, RemoteFile], now: dict[str, RemoteFile]
) -> None:
    """None of our files may have been changed by somebody else since the plan was made."""
    touched = [
        file.path
        for file in files
        if before.get(file.path) != now.get(file.path) and not file.equals(now.get(file.path))
    ]
    if touched:
        raise HeadMoved(
            f"somebody else changed {', '.join(touched)} of {plan.repo_id} since the plan was made",
            f"look at {plan.endpoint}/{plan.repo_id}/commits/{plan.revision}, then run the command again",
        )


def _verify(plan: Plan, hub: Hub, files: list[LocalFile], commit: Commit) -> None:
    """The commit must hold every planned digest, and the card must be served as it was written."""
    there = hub.files(plan.repo_id, commit.oid)
    wrong = [file.path for file in files if not file.equals(there.get(file.path))]
    card = Path(plan.directory) / CARD_NAME
    if not wrong and hub.read(plan.repo_id, CARD_NAME, commit.oid) != card.read_bytes():
        wrong = [CARD_NAME]
    if wrong:
        raise HubError(
            f"the Hub took commit {commit.oid}, but holds something else than was sent: {', '.join(wrong)}",
            f"look at {commit.url}, then run the command again",
        )


def _published(
    plan: Plan,
    head: str,
    started: float,
    commit: Commit | None = None,
    new_bytes: int = 0,
    pull_request: str | None = None,
) -> Published:
    pull_request = commit.pull_request if commit else pull_request
    return Published(
        repo_id=plan.repo_id,
        address=pull_request or f"{plan.endpoint}/{plan.repo_id}",
        commit=head,
        nothing_to_do=commit is None,
        new_bytes=new_bytes,
        seconds=round(time.monotonic() - started, 3),
        pull_request=pull_request,
        storage=commit.storage if commit else None,
        notes=[*plan.notes, *(commit.notes if commit else ())],
    )
