"""Carry out a plan: create what is missing, make one commit, and see that the Hub holds what was planned."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from hubkit.errors import CardError, HeadMoved, HubError, HubkitError, RepoMissing, RevisionMissing
from hubkit.files import changed_ns
from hubkit.hub import Hub, RemoteFile
from hubkit.hub_commit import Commit, make_commit
from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.hub_upload import Storage
from hubkit.publishing import jobs, remote_card, stopping
from hubkit.publishing.contents import CARD_NAME
from hubkit.publishing.plan import check_visibility, planned
from hubkit.publishing.planned import Plan, PlannedFile

Again = Callable[[Plan], Plan]  # a plan made anew, on the head of today, with all written that it needs
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
    merged: str | None = None  # what was taken over from the Hub's card
    removed: list[str] = []  # from the Hub, in the same commit
    pull_request: str | None = None
    added_to: bool = False  # whether that was open before
    created_branch: str | None = None
    tag: str | None = None  # that is on the commit
    had_tag: bool = False  # whether it was there before
    collection: str | None = None  # the address of the one that holds the repo
    had_collection: bool = False  # whether that held it before
    verified: str | None = None  # what was seen when it was loaded from the Hub
    storage: Storage | None = None  # how the weights went; absent when none did
    serve: str | None = None  # the command that shows it at `address`, for a local Hub
    notes: list[str] = []


def apply(plan: Plan, hub: Hub, again: Again | None = None) -> Published:
    """Make the commit of a plan, or none when the Hub holds it all.

    When somebody commits meanwhile, the plan is carried over to the new head, three times at most. If they
    touched a file of it, it is made `again`; without that, and where it cannot be, HeadMoved is raised, and
    nothing is overwritten. Raises CardError for a plan that says itself that it may not be carried out.
    """
    if plan.refused:
        raise CardError(plan.refused, plan.refused_hint)
    with stopping.standing(hub):
        return _carried_out(plan, hub, again)


def _carried_out(plan: Plan, hub: Hub, again: Again | None) -> Published:
    started = time.monotonic()
    _check_unchanged(plan)
    plan = _on(_prepare(plan, hub), plan, hub, again)
    for tries_left in range(MOST_RETRIES, -1, -1):
        if not plan.changes:
            return _published(plan, started, hub.outcome.sent)
        try:
            commit = _commit(plan, hub)
        except HeadMoved as error:
            if not tries_left:
                raise HeadMoved(
                    f"{error.message}; it moved at each of {MOST_RETRIES + 1} tries", error.hint
                ) from error
            plan = _on(_require_head(plan, hub, plan.target), plan, hub, again)
        else:
            _verify(plan, hub, commit)
            return _published(plan, started, hub.outcome.sent, commit)
    raise AssertionError("unreachable")


def _commit(plan: Plan, hub: Hub) -> Commit:
    files = [file.local(plan.directory) for file in plan.pushed if file.change != "unchanged"]
    card = next(file.sha256 for file in plan.pushed if file.path == CARD_NAME)
    assert plan.head is not None
    opens, told = plan.create_pr and plan.onto is None, remote_card.description(card, plan.joined)
    return make_commit(
        hub,
        plan.repo_id,
        files,
        title=plan.title,
        parent=plan.head,
        revision=plan.target,
        create_pr=opens,
        description=jobs.signed(hub, told) if opens else told,
        removed=plan.removed,
    )


def _prepare(plan: Plan, hub: Hub) -> str:
    """Create the repo and the branch if the plan says so, and give the commit to build on."""
    if plan.creates_repo:
        hub.create_repo(plan.repo_id, plan.private)
    if plan.creates_branch:
        hub.create_branch(plan.repo_id, plan.revision, plan.head or _require_head(plan, hub, DEFAULT_BRANCH))
    if plan.head and not plan.creates_branch:
        return plan.head
    return _require_head(plan, hub, plan.target)


def _require_head(plan: Plan, hub: Hub, revision: str) -> str:
    repo = hub.repo(plan.repo_id, revision)
    if repo is None or repo.head is None:
        raise RepoMissing(f"{plan.repo_id} has no revision {revision} any more", "run the command again")
    check_visibility(repo, plan.private)  # somebody may have created it since the plan was made
    return repo.head


def _check_unchanged(plan: Plan) -> None:
    """The files must still be those that were hashed for the plan."""
    for file in [one.local(plan.directory) for one in plan.pushed]:
        found = file.source.stat() if file.source.is_file() else None
        if found is None or (found.st_size, changed_ns(found)) != (file.size, file.modified_ns):
            raise HubkitError(f"{file.source} changed after the plan was made", "run the command again")


def _on(head: str, plan: Plan, hub: Hub, again: Again | None) -> Plan:
    """The plan on another head: as it is where nobody touched its files since, else made again."""
    if head == plan.head:
        return plan
    before = planned_on(plan, hub)
    now = hub.files(plan.repo_id, head)
    if touched := touched_since(plan, before, now):
        if again is None:
            raise overwriting(plan, touched)
        made = again(plan)
        if made.refused:
            raise CardError(made.refused, made.refused_hint)
        _check_unchanged(made)
        return made
    return msgspec.structs.replace(plan, head=head, files=[_against(file, now) for file in plan.files])


def planned_on(plan: Plan, hub: Hub) -> dict[str, RemoteFile]:
    """The files of the commit that a plan was made on. Raises HeadMoved where that is gone."""
    try:
        return hub.files(plan.repo_id, plan.head) if plan.head else {}
    except RevisionMissing as error:
        raise HeadMoved(
            f"the history of {plan.repo_id} was written anew since the plan was made", "run the command again"
        ) from error


def _against(file: PlannedFile, now: Mapping[str, RemoteFile]) -> PlannedFile:
    """The file as it differs from what the Hub holds now; what is gone already need not be removed."""
    there = now.get(file.path)
    if file.change == "removed":
        return file if there else msgspec.structs.replace(file, change="unchanged")
    return planned(file.local(""), there)


def touched_since(plan: Plan, before: Mapping[str, RemoteFile], now: Mapping[str, RemoteFile]) -> list[str]:
    """The files of a plan that somebody else changed since it was made, to something else than planned."""
    return [
        file.path
        for file in plan.files
        if before.get(file.path) != now.get(file.path)
        and not (
            file.path not in now if file.change == "removed" else file.local("").equals(now.get(file.path))
        )
    ]


def overwriting(plan: Plan, touched: list[str]) -> HeadMoved:
    """What to say where a plan would overwrite what somebody else just wrote."""
    return HeadMoved(
        f"somebody else changed {', '.join(touched)} of {plan.repo_id} since the plan was made",
        f"look at {plan.endpoint}/{plan.repo_id}/commits/{plan.target}, then run the command again",
    )


def _verify(plan: Plan, hub: Hub, commit: Commit) -> None:
    """The commit must hold every planned digest and nothing that was removed, and the card be as written.

    It is that commit that is looked at: somebody may have made another one on top of it since.
    """
    there = hub.files(plan.repo_id, commit.oid)
    wrong = [file.path for file in plan.pushed if not file.local("").equals(there.get(file.path))]
    wrong += [path for path in plan.removed if path in there]
    card = Path(plan.directory) / CARD_NAME
    if not wrong and hub.read(plan.repo_id, CARD_NAME, commit.oid) != card.read_bytes():
        wrong = [CARD_NAME]
    if wrong:
        raise HubError(
            f"the Hub took commit {commit.oid}, but holds something else than was sent: {', '.join(wrong)}",
            f"look at {commit.url}, then run the command again",
        )


def _published(plan: Plan, started: float, sent: int, commit: Commit | None = None) -> Published:
    pull_request = plan.pull_request or (commit.pull_request if commit else None)
    return Published(
        repo_id=plan.repo_id,
        address=pull_request or f"{plan.endpoint}/{plan.repo_id}",
        commit=commit.oid if commit else plan.head or "",
        nothing_to_do=commit is None and not plan.creates_branch,
        created_branch=plan.revision if plan.creates_branch else None,
        new_bytes=plan.new_bytes if commit else 0,
        sent_bytes=sent,
        merged=plan.merged,
        removed=plan.removed if commit else [],
        seconds=round(time.monotonic() - started, 3),
        pull_request=pull_request,
        added_to=plan.onto is not None,
        storage=commit.storage if commit else None,
        notes=[*plan.notes, *(commit.notes if commit else ())],
    )
