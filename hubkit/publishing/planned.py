"""A plan as data: what a push would change, and what stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from hubkit import adapter, record
from hubkit.audit.findings import Severity
from hubkit.hub import LocalFile, Repo
from hubkit.publishing.contents import CARD_NAME

MOST_NAMED = 60  # characters of the names of files in a title
Change = Literal["added", "changed", "unchanged", "removed"]


class PlannedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file to be pushed and how it differs from the Hub's, or one that is removed there."""

    path: str
    size: int
    change: Change
    sha256: str = ""  # absent for a small file that is removed
    oid: str | None = None  # git blob id, small files only
    modified_ns: int = 0

    def local(self, directory: str) -> LocalFile:
        """The file as hub.py wants it."""
        source = Path(directory) / self.path
        return LocalFile(self.path, source, self.size, self.sha256, self.oid, self.modified_ns)


class PlannedFinding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the audit finds in the card that would be pushed; `line` is absent for the card as a whole."""

    code: str
    severity: Severity
    message: str
    line: int | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a push of `directory` would change at `repo_id`, planned on the commit `head`."""

    endpoint: str
    repo_id: str
    directory: str
    revision: str
    creates_repo: bool
    creates_branch: bool
    visibility: str  # for a person: "private", "public", "public by default"
    title: str
    files: list[PlannedFile]
    card_diff: str
    private: bool | None = None  # asked for when the repo is created; absent: the Hub's default
    head: str | None = None
    without_token: bool = False  # made without one: a private repo looks as if it were not there
    create_pr: bool = False
    pull_request: str | None = None  # the address of the one that is added to
    onto: str | None = None  # its ref
    joined: bool = True  # whether the card takes account of the one that it replaces
    merged: str | None = None  # what was taken over from the Hub's card, for a person
    findings: list[PlannedFinding] = []  # the audit's
    tag: str | None = None  # for the commit, when it is there
    collection: str | None = None  # slug or title of the one that gets the repo
    collection_fate: str | None = None  # of a dry run, for a person: whether it exists or would be created
    verify_download: bool = False  # whether it is to be loaded from the Hub afterwards
    remote_only: list[str] = []  # on the Hub and not here: left alone
    left_out: list[str] = []  # here, and not published
    refused: str | None = None  # why this may not be pushed
    refused_hint: str | None = None
    notes: list[str] = []

    @property
    def pushed(self) -> list[PlannedFile]:
        """The files that the Hub will hold."""
        return [file for file in self.files if file.change != "removed"]

    @property
    def removed(self) -> list[str]:
        """The paths that are removed there."""
        return [file.path for file in self.files if file.change == "removed"]

    @property
    def changes(self) -> list[PlannedFile]:
        """The files that are added, changed or removed."""
        return [file for file in self.files if file.change != "unchanged"]

    @property
    def new_bytes(self) -> int:
        """The bytes of the files that are added or changed."""
        return sum(file.size for file in self.changes if file.change != "removed")

    @property
    def nothing_to_do(self) -> bool:
        """Whether the Hub holds all of it already."""
        return not (self.changes or self.creates_repo or self.creates_branch)

    @property
    def target(self) -> str:
        """The revision that the commit goes to."""
        return self.onto or self.revision


def title(files: Sequence[PlannedFile]) -> str:
    """The title of the commit when the user gave none: what happens to the weights, the card, or else."""
    changed = {file.path: file.change for file in files if file.change != "unchanged"}
    if verb := {"added": "Add", "changed": "Update"}.get(changed.get(adapter.WEIGHTS_NAME, "")):
        return f"{verb} adapter and model card"
    if CARD_NAME in changed or not changed:
        return "Update model card"
    if set(changed.values()) == {"removed"}:
        return "Remove files that are no longer needed"
    told = {path: change for path, change in changed.items() if path != record.RECORD_NAME} or changed
    verb = {"added": "Add", "removed": "Remove"}.get("".join(set(told.values())), "Update")
    named = ", ".join(path.rpartition("/")[2] for path in told)
    return f"{verb} {named}" if len(named) <= MOST_NAMED else f"{verb} {len(told)} files"


def asked_visibility(private: bool | None, watched: bool) -> bool | None:
    """Whether a repo is created as private: so it is where nobody said otherwise and nobody watches."""
    return True if private is None and not watched else private


def visibility(repo: Repo | None, private: bool | None) -> str:
    """Who sees the repo, or would see one that is created so, for a person."""
    if repo is None and private is None:
        return "public by default"
    return "private" if (repo.private if repo else private) else "public"
