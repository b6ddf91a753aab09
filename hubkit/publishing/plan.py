"""What a push would change, as data: made without changing anything, and carried out by apply.py.

A plan is made from a directory and the head of a repo, and holds for that head only. It can be printed, kept
as JSON, and needs no right to write.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from hubkit import adapter, hub_rules, record
from hubkit.errors import CardError, HubError, RepoMissing
from hubkit.hub import Hub, LocalFile, RemoteFile, Repo
from hubkit.publishing import audited, checks, remote_card, revisions
from hubkit.publishing.audited import Audited
from hubkit.publishing.contents import CARD_NAME, Choice, Contents
from hubkit.publishing.draft import Draft


class PlannedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file to be pushed and how it differs from the Hub's."""

    path: str
    size: int
    change: Literal["added", "changed", "unchanged"]
    sha256: str
    oid: str | None = None  # git blob id, small files only
    modified_ns: int

    def local(self, directory: str) -> LocalFile:
        """The file as hub.py wants it."""
        source = Path(directory) / self.path
        return LocalFile(self.path, source, self.size, self.sha256, self.oid, self.modified_ns)


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a push of `directory` would change at `repo_id`, planned on the commit `head`."""

    endpoint: str
    repo_id: str
    directory: str
    revision: str
    creates_repo: bool
    creates_branch: bool
    visibility: str  # for a person: "private", "public", "public (the Hub's default)"
    title: str
    files: list[PlannedFile]
    card_diff: str
    private: bool | None = None  # asked for when the repo is created; absent: the Hub's default
    head: str | None = None
    create_pr: bool = False
    remote_only: list[str] = []  # on the Hub and not here: left alone
    left_out: list[str] = []  # here, and not published
    refused: str | None = None  # why this card may not be pushed
    refused_hint: str | None = None
    notes: list[str] = []

    @property
    def changes(self) -> list[PlannedFile]:
        """The files that are added or changed."""
        return [file for file in self.files if file.change != "unchanged"]

    @property
    def new_bytes(self) -> int:
        """The bytes of the files that are added or changed."""
        return sum(file.size for file in self.changes)

    @property
    def nothing_to_do(self) -> bool:
        """Whether the Hub holds all of it already."""
        return not (self.changes or self.creates_repo or self.creates_branch)


def plan(
    directory: Path,
    repo_id: str,
    hub: Hub,
    *,
    revision: str | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    watched: bool = False,
    force: bool = False,
    draft: Draft | None = None,
    audit: bool = True,
    choice: Choice | None = None,
) -> Plan:
    """Compare a directory with a repo. Raises HubkitError for what must not or cannot be published.

    A card on the Hub that somebody wrote or edited there is not replaced without `force`, and one that the
    `audit` finds false is not pushed: the plan says so, and cannot be carried out. `draft` stands in for
    record and card: that plan can be carried out when the draft is written, and `written` was told so.
    A repo that is to be created is private when neither the user said otherwise nor anybody is watching.
    """
    repo_id = full_repo_id(repo_id, hub.user)
    revision = revisions.branch(revision)
    contents = checks.read(directory, draft, choice)
    repo = hub.repo(repo_id, revision)
    _check_pull_request(create_pr, revision, repo_id, repo)
    check_visibility(repo, private)
    revisions.check_on_hub(hub, repo, revision)
    head = _head(hub, repo, revision)
    remote = hub.files(repo_id, head) if head else {}
    files = [_planned(file, remote.get(file.path)) for file in contents.files]
    theirs, refusal = _their_card(hub, repo_id, head, remote, files, force or create_pr)
    found = audited.audit(directory, contents, draft) if audit else Audited()
    refusal = refusal or found.refusal
    wanted = True if private is None and not watched else private
    return Plan(
        endpoint=hub.endpoint,
        repo_id=repo.id if repo else repo_id,
        directory=str(directory),
        revision=revision,
        head=head,
        creates_repo=repo is None,
        creates_branch=revision != hub_rules.DEFAULT_BRANCH and (repo is None or repo.head is None),
        private=None if repo else wanted,
        visibility=_visibility(repo, wanted),
        create_pr=create_pr,
        title=commit_message or _title(files),
        files=files,
        remote_only=sorted(set(remote) - {file.path for file in files}),
        left_out=list(contents.left_out),
        card_diff=_card_diff(directory, repo_id, contents, theirs, files),
        notes=_notes(directory, repo_id, repo, private, draft)
        + _opinion(hub, repo_id, contents, files)
        + list(found.notes),
        refused=refusal.message if refusal else None,
        refused_hint=refusal.hint if refusal else None,
    )


def written(plan: Plan, draft: Draft) -> Plan:
    """A plan that was made with a draft, now that the draft is written to the directory."""
    files = [
        msgspec.structs.replace(file, modified_ns=file.local(plan.directory).source.stat().st_mtime_ns)
        if file.path in draft.files
        else file
        for file in plan.files
    ]
    return msgspec.structs.replace(plan, files=files)


def full_repo_id(repo_id: str, user: Callable[[], str]) -> str:
    """`user/name`, with the token's user where only a name was given. Raises HubError for another shape."""
    if not hub_rules.is_repo_id(repo_id):
        raise HubError(
            f"{repo_id!r} is not a repo id", "give --repo-id as user/name, of letters, digits, - _ ."
        )
    return repo_id if "/" in repo_id else f"{user()}/{repo_id}"


def check_visibility(repo: Repo | None, private: bool | None) -> None:
    """Files that are meant to be private do not go to a repo that is public. Raises HubError."""
    if repo and private and not repo.private:
        raise HubError(
            f"{repo.id} exists and is public, and --private cannot change that",
            "make it private on its settings page, or leave --private out",
        )


def _check_pull_request(create_pr: bool, revision: str, repo_id: str, repo: Repo | None) -> None:
    if create_pr and repo is None:
        raise RepoMissing(
            f"there is no repo {repo_id} to open a pull request at", "publish without --create-pr"
        )
    if create_pr and revision != hub_rules.DEFAULT_BRANCH:
        raise HubError(
            "a pull request is opened against main only", "leave out either --revision or --create-pr"
        )


def _head(hub: Hub, repo: Repo | None, revision: str) -> str | None:
    """The commit to build on: the head of the revision, or of the main branch that it will start from."""
    if repo is None or repo.head:
        return repo.head if repo else None
    main = hub.repo(repo.id)
    return main.head if main else None


def _planned(file: LocalFile, remote: RemoteFile | None) -> PlannedFile:
    change: Literal["added", "changed", "unchanged"] = (
        "added" if remote is None else "unchanged" if file.equals(remote) else "changed"
    )
    return PlannedFile(
        path=file.path,
        size=file.size,
        change=change,
        sha256=file.sha256,
        oid=file.oid,
        modified_ns=file.modified_ns,
    )


def _visibility(repo: Repo | None, private: bool | None) -> str:
    if repo is None and private is None:
        return "public (the Hub's default)"
    return "private" if (repo.private if repo else private) else "public"


def _title(files: list[PlannedFile]) -> str:
    """The title of the commit when the user gave none: what happens to the weights, or to the card alone."""
    weights = next(file.change for file in files if file.path == adapter.WEIGHTS_NAME)
    verb = {"added": "Add", "changed": "Update"}.get(weights)
    return f"{verb} adapter and model card" if verb else "Update model card"


def _their_card(
    hub: Hub,
    repo_id: str,
    head: str | None,
    remote: dict[str, RemoteFile],
    files: list[PlannedFile],
    may_replace: bool,
) -> tuple[bytes | None, CardError | None]:
    """The Hub's card, where a push would replace it, and why that may not be."""
    if not any(file.path == CARD_NAME and file.change == "changed" for file in files):
        return None, None
    theirs = remote_card.fetch(hub, repo_id, head, remote)
    return theirs, None if may_replace else remote_card.refusal(hub, repo_id, head, remote, theirs)


def _card_diff(
    directory: Path, repo_id: str, contents: Contents, theirs: bytes | None, files: list[PlannedFile]
) -> str:
    """The unified diff from the Hub's card to this one."""
    ours = next(file for file in files if file.path == CARD_NAME)
    too_large = ours.size > remote_card.LARGEST or (ours.change == "changed" and theirs is None)
    if ours.change == "unchanged" or too_large:
        return ""
    old, new = (theirs or b"").decode("utf-8", "replace"), contents.read(CARD_NAME).decode("utf-8")
    names = (f"{repo_id}/{CARD_NAME}", str(directory / CARD_NAME))
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
    return "\n".join(lines)


def _opinion(hub: Hub, repo_id: str, contents: Contents, files: list[PlannedFile]) -> list[str]:
    """What the Hub itself warns about in a card that is new to it. Raises HubError when it refuses it."""
    if all(file.change == "unchanged" for file in files if file.path == CARD_NAME):
        return []
    card = contents.read(CARD_NAME).decode("utf-8")
    return [f"the Hub warns about the card: {warning}" for warning in hub.validate_card(repo_id, card)]


def _notes(
    directory: Path, repo_id: str, repo: Repo | None, private: bool | None, draft: Draft | None
) -> list[str]:
    notes = []
    if repo and repo.id != repo_id:
        notes.append(f"{repo_id} was renamed to {repo.id}, which is published to")
    if repo and private is not None and private != repo.private:
        is_now = "private" if repo.private else "public"
        notes.append(f"{repo.id} exists and stays {is_now}; its settings page changes that")
    named = (draft.record if draft else record.read(directory)).repo_id
    if named and named != repo_id:
        notes.append(
            f"the card was written for {named}; write it for this repo with"
            f" hubkit card --adapter {directory} --repo-id {repo_id}"
        )
    return notes
