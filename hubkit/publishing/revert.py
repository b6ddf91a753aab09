"""Take back the last publish: one commit that gives its files the bytes that they had before it.

Only files of that publish are touched, so that what others added since stays. No weights are downloaded: the
Hub copies large files from the old commit. The newest commit of hubkit's is taken back, whichever that is,
and so a second revert brings the publish back.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from hubkit import record
from hubkit.errors import HeadMoved, HubError, HubUnreachable, RepoMissing
from hubkit.hub import Hub, RemoteFile
from hubkit.hub_commit import Commit, OldFile, make_commit
from hubkit.publishing import remote_card, revisions, stopping, traces
from hubkit.publishing.contents import CARD_NAME
from hubkit.publishing.options import PushOptions, check_revert
from hubkit.publishing.target import StartLocalHub, open_target, resolve_repo_id

if TYPE_CHECKING:
    from huggingface_hub import GitCommitInfo

MOST_RETRIES = 3
LOOK_FIRST = "--dry-run shows what another run would take back; a second revert brings the publish back"
_UNDONE = re.compile(r'(Revert|Reapply) "(.*)"', re.DOTALL)
_OTHER_WAY = {"Revert": "Reapply", "Reapply": "Revert"}


class PutBack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of the publish: it gets its earlier bytes again, or goes, for it was not there before."""

    path: str
    change: Literal["restored", "removed"]
    size: int  # of what is restored, or of what goes
    sha256: str | None = None  # large files only, as the Hub keeps them
    oid: str


class Reversal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a revert would do on top of `head`: take back the commit `undone`, and return to `before`."""

    endpoint: str
    repo_id: str
    revision: str
    head: str
    undone: str
    undone_title: str
    undone_date: str
    before: str
    title: str
    description: str
    files: list[PutBack]
    empties: bool = False  # whether it leaves no file of anybody in the repo
    refused: str | None = None
    refused_hint: str | None = None
    notes: list[str] = []


class Reverted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a revert did."""

    repo_id: str
    address: str
    commit: str
    undone: str
    undone_title: str
    undone_date: str
    files: list[PutBack]
    seconds: float = 0.0
    serve: str | None = None
    notes: list[str] = []


def take_back(
    directory: Path | None, options: PushOptions, start_local_hub: StartLocalHub, say: Callable[[str], None]
) -> Reverted | Reversal:
    """Revert the last publish of the repo that the options name, or the record in a directory.

    With `dry_run`, only plan it. Raises HubkitError for what cannot be taken back.
    """
    check_revert(options)
    recorded = record.read(directory).repo_id if directory else None
    if not (options.repo_id or directory):
        raise HubError("no repo was named", "give --repo-id user/name, or --adapter DIR")
    quiet = replace(options, dry_run=True)  # no local Hub is made for it where there is none
    with open_target(quiet, start_local_hub) as target:
        target.announce(options, say)
        name = directory.resolve().name if directory else ""
        repo_id = resolve_repo_id(options, target, name, recorded)
        branch = revisions.branch(options.revision)
        planned = plan_revert(target.hub, repo_id, branch, options.commit_message)
        if options.dry_run:
            return msgspec.structs.replace(planned, endpoint=target.endpoint)
        with stopping.told(target.hub, goes_on=LOOK_FIRST):
            done = revert(planned, target.hub)
        for note in done.notes:
            say(f"Note: {note}")
        if target.stays:
            return done
        address = target.address(done.repo_id)
        return msgspec.structs.replace(done, address=address, serve=target.serve_command)


def plan_revert(hub: Hub, repo_id: str, revision: str, title: str | None = None) -> Reversal:
    """Find the last publish of a branch and what it changed. Raises HubError where there is none."""
    repo = hub.repo(repo_id, revision)
    revisions.check_on_hub(hub, repo, revision)
    if repo is None or repo.head is None:
        unseen = f"there is no repo {repo_id} {hub.of_those_seen}"
        what = f"{repo_id} has no revision {revision}" if repo else unseen
        raise RepoMissing(what, "check --repo-id, --revision and the token")
    with hub.calling(repo.id):
        history = hub.api.list_repo_commits(repo.id, revision=repo.head)  # the newest first
    last_first = range(len(history) - 1)  # the first commit has none before it to return to
    place = next((i for i in last_first if traces.is_hubkits(history[i].message)), None)
    if place is None:
        raise HubError(f"no commit on {revision} of {repo.id} is hubkit's", "there is nothing to take back")
    undone, before = history[place], history[place + 1]  # hubkit commits on top of one head
    old, new = hub.files(repo.id, before.commit_id), hub.files(repo.id, undone.commit_id)
    now = hub.files(repo.id, repo.head)
    files = _files(old, new)
    touched = [file.path for file in files if now.get(file.path) != new.get(file.path)]
    refused = _refusal(undone, files, touched)
    mend = f"look at {hub.endpoint}/{repo.id}/commits/{revision}, and mend it by a publish"
    renamed = [f"{repo_id} was renamed to {repo.id}"] if repo.id != repo_id else []
    return Reversal(
        endpoint=hub.endpoint,
        repo_id=repo.id,
        revision=revision,
        head=repo.head,
        undone=undone.commit_id,
        undone_title=undone.title,
        undone_date=undone.created_at.strftime("%Y-%m-%d %H:%M UTC"),
        before=before.commit_id,
        title=title or _title(undone),
        description=_description(hub, repo.id, history[place:], old, files),
        files=files,
        empties=_left(now, files) <= {".gitattributes"},
        refused=refused,
        refused_hint=mend if refused else None,
        notes=renamed,
    )


def revert(plan: Reversal, hub: Hub) -> Reverted:
    """Make the commit of a reversal. When somebody commits meanwhile it is planned anew, three times at most.

    Raises HubError for one that is refused, and HeadMoved when another publish came.
    """
    try:
        with stopping.standing(hub):
            return _carried_out(plan, hub)
    except HubError as error:
        if hub.outcome.landed or isinstance(error, HubUnreachable):  # who runs it again may undo what landed
            raise type(error)(error.message, LOOK_FIRST) from error
        raise


def _carried_out(plan: Reversal, hub: Hub) -> Reverted:
    started = time.monotonic()
    for retries_left in range(MOST_RETRIES, -1, -1):
        if plan.refused:
            raise HubError(plan.refused, plan.refused_hint)
        try:
            made = _commit(plan, hub)
        except HeadMoved:
            again = plan_revert(hub, plan.repo_id, plan.revision, plan.title)
            if again.undone != plan.undone:
                raise HeadMoved(
                    f"{plan.repo_id} got another publish, or revert, since this one was planned", LOOK_FIRST
                ) from None
            if not retries_left:
                raise
            plan = again
        else:
            _verify(plan, hub, made)
            return _reverted(plan, made, time.monotonic() - started)
    raise AssertionError("unreachable")


def _files(old: Mapping[str, RemoteFile], new: Mapping[str, RemoteFile]) -> list[PutBack]:
    """What must be done to the files that differ, to return from `new` to `old`."""
    changed = sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
    return [
        PutBack(
            path=path,
            change="restored" if path in old else "removed",
            size=(file := old.get(path) or new[path]).size,
            sha256=file.sha256,
            oid=file.oid,
        )
        for path in changed
    ]


def _left(now: Mapping[str, RemoteFile], files: list[PutBack]) -> set[str]:
    """The paths that are there afterwards."""
    gone = {file.path for file in files if file.change == "removed"}
    return {*now} - gone | {file.path for file in files if file.change == "restored"}


def _refusal(undone: GitCommitInfo, files: list[PutBack], touched: list[str]) -> str | None:
    what = f'commit {undone.commit_id[:12]} "{undone.title}"'
    if not files:
        return f"{what} changed no file, so there is nothing to restore"
    if touched:
        return f"{what} cannot be taken back: later commits changed {', '.join(touched)}, and would be lost"
    return None


def _title(undone: GitCommitInfo) -> str:
    """`Revert "..."`, and of a revert the other way, as git has it."""
    if traces.reverts(undone.message) and (found := _UNDONE.fullmatch(undone.title)):
        return f'{_OTHER_WAY[found[1]]} "{found[2]}"'
    return f'Revert "{undone.title}"'


def _description(
    hub: Hub,
    repo_id: str,
    history: list[GitCommitInfo],
    old: Mapping[str, RemoteFile],
    files: list[PutBack],
) -> str:
    """What the commit says below its title. It vouches for the card only where hubkit published that one.

    `history` begins with the commit that is taken back; somebody's own card must stay known as theirs.
    """
    reverts = f"; reverts {history[0].commit_id}"
    if any(file.path == CARD_NAME and file.change == "restored" for file in files):
        card = remote_card.fetch(hub, repo_id, history[1].commit_id, old)
        digest = hashlib.sha256(card or b"").hexdigest()
        if digest in {traces.card(made.message) for made in history[1:]}:
            return remote_card.description(digest) + reverts
    return traces.MARK + reverts


def _commit(plan: Reversal, hub: Hub) -> Commit:
    return make_commit(
        hub,
        plan.repo_id,
        [],
        title=plan.title,
        parent=plan.head,
        revision=plan.revision,
        description=plan.description,
        in_doubt=f"the commit was sent, and may have landed. Next: {LOOK_FIRST}",
        removed=[file.path for file in plan.files if file.change == "removed"],
        restored=[
            OldFile(file.path, _remote(file), plan.before) for file in plan.files if file.change == "restored"
        ],
    )


def _remote(file: PutBack) -> RemoteFile:
    return RemoteFile(file.oid, file.size, file.sha256)


def _verify(plan: Reversal, hub: Hub, made: Commit) -> None:
    """The commit must hold what was there before, and nothing of what was not."""
    there = hub.files(plan.repo_id, made.oid)
    wrong = [
        file.path
        for file in plan.files
        if there.get(file.path) != (_remote(file) if file.change == "restored" else None)
    ]
    if wrong:
        raise HubError(
            f"the Hub took commit {made.oid}, but it does not hold what was there before: {', '.join(wrong)}",
            f"look at {made.url}",
        )


def _reverted(plan: Reversal, made: Commit, seconds: float) -> Reverted:
    emptied = f"no file is left in the repo, which stays; to delete it: hf repos delete {plan.repo_id}"
    return Reverted(
        repo_id=plan.repo_id,
        address=f"{plan.endpoint}/{plan.repo_id}",
        commit=made.oid,
        undone=plan.undone,
        undone_title=plan.undone_title,
        undone_date=plan.undone_date,
        files=plan.files,
        seconds=round(seconds, 3),
        notes=[*plan.notes, *made.notes, *([emptied] if plan.empties else [])],
    )
