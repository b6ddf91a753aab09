"""What a push would change, as data: made without changing anything, and carried out by apply.py.

A plan is made from a directory and the head of a repo, and holds for that head only. It needs no right to
write. With it comes the overlay: what has to be written to the directory before it can be carried out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from hubkit import hub_names, hub_rules, record
from hubkit.errors import CardError, HubError, RepoMissing
from hubkit.files import changed_ns
from hubkit.hub import Hub, LocalFile, RemoteFile, Repo
from hubkit.publishing import (
    audited,
    checks,
    merging,
    others,
    proposals,
    remembering,
    remote_card,
    removing,
    revisions,
)
from hubkit.publishing.audited import Audited, Merged
from hubkit.publishing.contents import CARD_NAME, Choice, Contents
from hubkit.publishing.draft import Draft, Overlay, overlay
from hubkit.publishing.merging import Here, Settled, Since, There
from hubkit.publishing.planned import Change, Plan, PlannedFile, asked_visibility, title, visibility
from hubkit.publishing.proposals import Proposal


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for: the options of a push, as a plan needs them.

    `remember` lets the record tell which card was published, so that the next push can tell who changed what.
    """

    revision: str | None = None
    private: bool | None = None
    create_pr: bool = False
    commit_message: str | None = None
    watched: bool = False
    force: bool = False
    audit: bool = True
    choice: Choice | None = None
    delete: tuple[str, ...] = ()
    remember: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and what is to be written to the directory before it is carried out."""

    plan: Plan
    overlay: Overlay

    def write(self, plan: Plan) -> Plan:
        """Write the overlay; the plan that can be carried out then."""
        self.overlay.write()
        files = [
            msgspec.structs.replace(file, modified_ns=_modified(self.overlay.directory / file.path))
            if file.path in self.overlay.files and file.change != "removed"
            else file
            for file in plan.files
        ]
        return msgspec.structs.replace(plan, files=files)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a push goes: the repo, the commit to build on, and what that holds."""

    hub: Hub
    asked_id: str
    repo: Repo | None
    head: str | None
    revision: str
    proposal: Proposal | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)

    @property
    def repo_id(self) -> str:
        """The id of the repo, the new one where it was renamed."""
        return self.repo.id if self.repo else self.asked_id


def plan(directory: Path, repo_id: str, hub: Hub, draft: Draft | None = None, **asked: Any) -> Plan:
    """The plan alone; `asked` are the fields of `Asked`."""
    return prepare(directory, repo_id, hub, Asked(**asked), draft).plan


def prepare(
    directory: Path,
    repo_id: str,
    hub: Hub,
    asked: Asked,
    draft: Draft | None = None,
    since: Since | None = None,
) -> Prepared:
    """Compare a directory with a repo. Raises HubkitError for what must not or cannot be published.

    A card that somebody edited on the Hub is joined with the one here (merging.py); where that cannot be, and
    where the `audit` finds the card false, the plan says why it is refused. `draft` stands in for record and
    card. A repo that is to be created is private when neither the user said otherwise nor anybody is
    watching. `since` is given when a plan is made again.
    """
    over = overlay(directory, draft)
    contents = checks.read(directory, over if over.files else None, asked.choice)
    place = _place(hub, repo_id, asked)
    ours, alone = contents.read(CARD_NAME), contents
    theirs = _their_card(place, contents)
    settled = _settled(place, Here(over, ours, draft, asked.force, asked.create_pr, since), theirs)
    settled = _beside_others(settled, place, theirs, asked, contents, since)
    if asked.remember:
        settled = remembering.remember(
            settled, _onto(place, settled, theirs), place.files.get(CARD_NAME), ours
        )
    if settled.overlay is not over:
        contents = checks.read(directory, settled.overlay, asked.choice)
    files = [planned(file, place.files.get(file.path)) for file in contents.files]
    card = contents.read(CARD_NAME)
    gone, notes = removing.find(
        hub, place.repo_id, place.head, place.files, contents.names, card, asked.delete
    )
    files += [_removed(path, place.files[path]) for path in gone]
    merged = Merged(place.repo_id, alone) if settled.taken else None
    found = audited.audit(directory, contents, merged) if asked.audit else Audited()
    diff = _card_diff(directory, place.asked_id, card, theirs, files)
    made = _plan(place, directory, files, settled.refusal or found.refusal, asked, diff)
    made = msgspec.structs.replace(
        made,
        joined=settled.accounts,
        merged=settled.line,
        findings=list(found.findings),
        left_out=list(contents.left_out),
        notes=_notes(directory, place, asked.private, settled.overlay.record)
        + _opinion(place, card, files)
        + [*contents.notes, *found.notes, *settled.notes, *notes, *proposals.conflict_note(place.proposal)],
    )
    return Prepared(made, settled.overlay)


def _plan(
    place: _Place,
    directory: Path,
    files: list[PlannedFile],
    refusal: CardError | None,
    asked: Asked,
    card_diff: str,
) -> Plan:
    repo, proposal = place.repo, place.proposal
    wanted = asked_visibility(asked.private, asked.watched)
    return Plan(
        endpoint=place.hub.endpoint,
        repo_id=place.repo_id,
        directory=str(directory),
        revision=place.revision,
        head=place.head,
        creates_repo=repo is None,
        creates_branch=place.revision != hub_rules.DEFAULT_BRANCH and (repo is None or repo.head is None),
        private=None if repo else wanted,
        visibility=visibility(repo, wanted),
        create_pr=asked.create_pr,
        pull_request=proposal.url if proposal else None,
        onto=proposal.ref if proposal else None,
        title=asked.commit_message or title(files),
        files=files,
        card_diff=card_diff,
        remote_only=sorted(set(place.files) - {file.path for file in files}),
        refused=refusal.message if refusal else None,
        refused_hint=refusal.hint if refusal else None,
    )


def full_repo_id(repo_id: str, user: Callable[[], str]) -> str:
    """`user/name`, with the token's user where only a name was given. Raises HubError for another shape."""
    if not hub_rules.is_repo_id(repo_id):
        raise HubError(*hub_names.why_no_repo_id(repo_id))
    return repo_id if "/" in repo_id else f"{user()}/{repo_id}"


def check_visibility(repo: Repo | None, private: bool | None) -> None:
    """Files that are meant to be private do not go to a repo that is public. Raises HubError."""
    if repo and private and not repo.private:
        raise HubError(
            f"{repo.id} exists and is public, and --private cannot change that",
            f"make it private with: hf repos settings {repo.id} --private; or leave --private out",
        )


def _place(hub: Hub, repo_id: str, asked: Asked) -> _Place:
    """Look at the repo. Raises HubError for one that must not be pushed to like this."""
    repo_id = full_repo_id(repo_id, hub.user)
    revision = revisions.branch(asked.revision)
    repo = hub.repo(repo_id, revision)
    _check_pull_request(asked.create_pr, revision, repo_id, repo)
    check_visibility(repo, asked.private)
    revisions.check_on_hub(hub, repo, revision)
    proposal = proposals.find(hub, repo.id) if repo and asked.create_pr else None
    head = proposal.head if proposal else _head(hub, repo)
    files = hub.files(repo.id, head) if repo and head else {}
    return _Place(hub, repo_id, repo, head, revision, proposal, files)


def _check_pull_request(create_pr: bool, revision: str, repo_id: str, repo: Repo | None) -> None:
    if create_pr and repo is None:
        raise RepoMissing(
            f"there is no repo {repo_id} to open a pull request at", "publish without --create-pr"
        )
    if create_pr and revision != hub_rules.DEFAULT_BRANCH:
        raise HubError(
            "a pull request is opened against main only", "leave out either --revision or --create-pr"
        )


def _head(hub: Hub, repo: Repo | None) -> str | None:
    """The commit to build on: the head of the revision, or of the main branch that it will start from."""
    if repo is None or repo.head:
        return repo.head if repo else None
    main = hub.repo(repo.id)
    return main.head if main else None


def _their_card(place: _Place, contents: Contents) -> bytes | None:
    """The Hub's card, where it is another than ours."""
    ours = next(file for file in contents.files if file.path == CARD_NAME)
    if ours.equals(place.files.get(CARD_NAME)):
        return contents.read(CARD_NAME)
    return remote_card.fetch(place.hub, place.repo_id, place.head, place.files)


def _settled(place: _Place, here: Here, theirs: bytes | None) -> Settled:
    if place.head is None:
        return Settled(here.overlay)
    if CARD_NAME not in place.files:
        return Settled(here.overlay, notes=merging.taken_out(_there(place, theirs), here))
    return merging.settle(_there(place, theirs), here)


def _there(place: _Place, theirs: bytes | None) -> There:
    assert place.head is not None
    return There(place.hub, place.repo_id, place.head, place.files, theirs)


def _beside_others(
    settled: Settled,
    place: _Place,
    theirs: bytes | None,
    asked: Asked,
    contents: Contents,
    since: Since | None,
) -> Settled:
    """The same, refused where a push would lose what others changed beside the card."""
    if place.head is None or settled.refusal or since:
        return settled
    there = _there(place, theirs)
    files = [planned(file, place.files.get(file.path)) for file in contents.files]
    lost = others.changed(there, files, contents, settled.overlay.record.pushed)
    if not lost:
        return settled
    if asked.force:
        note = (
            f"replaces {', '.join(lost)}, changed on the Hub; the history keeps it (commit {place.head[:12]})"
        )
        return replace(settled, notes=(*settled.notes, note))
    if not asked.create_pr:
        return replace(settled, refusal=others.refusal(place.repo_id, lost))
    note = f"{', '.join(lost)} of {place.repo_id} changed there since; whoever merges this replaces that"
    return replace(settled, accounts=False, notes=(*settled.notes, note))


def _onto(place: _Place, settled: Settled, theirs: bytes | None) -> str | None:
    """The commit that the directory takes account of after this push."""
    if settled.accounts or place.head is None:
        return place.head
    pushed = settled.overlay.record.pushed
    found = remote_card.ancestor(place.hub, place.repo_id, place.head, theirs, pushed)
    return found.commit if found else None


def planned(file: LocalFile, remote: RemoteFile | None) -> PlannedFile:
    """A file to be pushed, as it differs from the Hub's."""
    change: Change = "added" if remote is None else "unchanged" if file.equals(remote) else "changed"
    return PlannedFile(
        path=file.path,
        size=file.size,
        change=change,
        sha256=file.sha256,
        oid=file.oid,
        modified_ns=file.modified_ns,
    )


def _removed(path: str, remote: RemoteFile) -> PlannedFile:
    return PlannedFile(
        path=path, size=remote.size, change="removed", sha256=remote.sha256 or "", oid=remote.oid
    )


def _modified(path: Path) -> int:
    return changed_ns(path.stat())


def _card_diff(
    directory: Path, repo_id: str, card: bytes, theirs: bytes | None, files: list[PlannedFile]
) -> str:
    """The unified diff from the Hub's card to the one to be pushed."""
    ours = next(file for file in files if file.path == CARD_NAME)
    too_large = ours.size > remote_card.LARGEST or (ours.change == "changed" and theirs is None)
    if ours.change == "unchanged" or too_large:
        return ""
    old, new = (theirs or b"").decode("utf-8", "replace"), card.decode("utf-8")
    names = (f"{repo_id}/{CARD_NAME}", str(directory / CARD_NAME))
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
    return "\n".join(lines)


def _opinion(place: _Place, card: bytes, files: list[PlannedFile]) -> list[str]:
    """What the Hub itself warns about in a card that is new to it. Raises HubError when it refuses it."""
    if all(file.change == "unchanged" for file in files if file.path == CARD_NAME):
        return []
    said = place.hub.validate_card(place.asked_id, card.decode("utf-8"))
    return [f"the Hub warns about the card: {warning}" for warning in said]


def _notes(directory: Path, place: _Place, private: bool | None, known: record.Record) -> list[str]:
    notes = []
    repo, repo_id = place.repo, place.asked_id
    if repo and repo.id != repo_id:
        notes.append(f"{repo_id} was renamed to {repo.id}, which is published to")
    if repo and private is not None and private != repo.private:
        is_now = "private" if repo.private else "public"
        becomes = f"hf repos settings {repo.id} --{'private' if private else 'public'}"
        notes.append(f"{repo.id} exists and stays {is_now}; {becomes} changes that")
    if known.repo_id and known.repo_id != repo_id:
        notes.append(
            f"the card was written for {known.repo_id}; write it for this repo with"
            f" hubkit card --adapter {directory} --repo-id {repo_id}"
        )
    return notes
