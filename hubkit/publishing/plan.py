"""What a push would change, as data: made without changing anything, and carried out by apply.py.

A plan is made from a directory and the head of a repo, and holds for that head only. It can be printed, kept
as JSON, and needs no right to write.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from hubkit import adapter, hub_rules, record
from hubkit.errors import CardError, HubError, HubkitError, RepoMissing
from hubkit.hub import Hub, LocalFile, RemoteFile, Repo
from hubkit.publishing import secrets
from hubkit.publishing.contents import CARD_NAME, Contents, collect, is_text

FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
LARGEST_DIFF = 1_000_000  # bytes of a card that a diff is made of


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
) -> Plan:
    """Compare a directory with a repo. Raises HubkitError for what must not or cannot be published.

    A repo that is to be created is private when neither the user said otherwise nor anybody is watching.
    """
    repo_id = full_repo_id(repo_id, hub.user)
    revision = revision or hub_rules.DEFAULT_BRANCH
    contents = read(directory)
    repo = hub.repo(repo_id, revision)
    _check_pull_request(create_pr, revision, repo_id, repo)
    head = _head(hub, repo, revision)
    remote = hub.files(repo_id, head) if head else {}
    files = [_planned(file, remote.get(file.path)) for file in contents.files]
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
        card_diff=_card_diff(directory, hub, repo_id, head, remote, files),
        notes=[*_notes(directory, repo_id, repo, private), *_opinion(directory, hub, repo_id, files)],
    )


def full_repo_id(repo_id: str, user: Callable[[], str]) -> str:
    """`user/name`, with the token's user where only a name was given. Raises HubError for another shape."""
    if not hub_rules.is_repo_id(repo_id):
        raise HubError(
            f"{repo_id!r} is not a repo id", "give --repo-id as user/name, of letters, digits, - _ ."
        )
    return repo_id if "/" in repo_id else f"{user()}/{repo_id}"


def read(directory: Path) -> Contents:
    """The files to publish, all of them fit to be. Raises HubkitError, with the command that mends it."""
    adapter.read(directory)
    if not (directory / CARD_NAME).is_file():
        raise CardError(f"there is no {CARD_NAME} in {directory}", f"hubkit card --adapter {directory}")
    contents = collect(directory)
    _check_measures(directory, contents)
    _check_front_matter(directory)
    found = [
        secret
        for file in contents.files
        if is_text(file.path)
        for secret in secrets.scan(file.path, file.source.read_bytes())
    ]
    if found:
        places = ", ".join(f"{secret.path}:{secret.line} ({secret.kind})" for secret in found[:5])
        raise HubkitError(
            f"{directory} holds what looks like a secret: {places}",
            "take it out, and revoke it if it was real",
        )
    return contents


def _check_measures(directory: Path, contents: Contents) -> None:
    """A number that was measured on other weights is never published."""
    weights = next(file for file in contents.files if file.path == adapter.WEIGHTS_NAME)
    _, stale = record.fresh_measures(record.read(directory).measures, weights.sha256)
    if stale:
        raise HubkitError(
            f"{directory / record.RECORD_NAME} holds numbers of other weights than these: {', '.join(stale)}",
            f"hubkit measure --adapter {directory}",
        )


def _check_front_matter(directory: Path) -> None:
    """Hold the card's front matter to the Hub's rules, before the Hub does."""
    import yaml

    path = directory / CARD_NAME
    mend = f"hubkit card --adapter {directory}"
    try:
        found = FRONT_MATTER.search(path.read_text(encoding="utf-8"))
        metadata = yaml.safe_load(found[1]) if found else None
    except UnicodeDecodeError as error:
        raise CardError(f"{path} is not UTF-8 text", mend) from error
    except (yaml.YAMLError, ValueError) as error:
        raise CardError(f"the front matter of {path} is not YAML: {error}", mend) from error
    problems = hub_rules.front_matter_problems(metadata) if metadata is not None else []
    if problems:
        raise CardError(f"the Hub would refuse {path}: {'; '.join(problems)}", mend)


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


def _card_diff(
    directory: Path,
    hub: Hub,
    repo_id: str,
    head: str | None,
    remote: Mapping[str, RemoteFile],
    files: list[PlannedFile],
) -> str:
    """The unified diff from the Hub's card to this one."""
    ours = next(file for file in files if file.path == CARD_NAME)
    theirs = remote.get(CARD_NAME)
    if ours.change == "unchanged" or max(ours.size, theirs.size if theirs else 0) > LARGEST_DIFF:
        return ""
    old = hub.read(repo_id, CARD_NAME, head).decode("utf-8", "replace") if theirs and head else ""
    new = (directory / CARD_NAME).read_text(encoding="utf-8")
    names = (f"{repo_id}/{CARD_NAME}", str(directory / CARD_NAME))
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
    return "\n".join(lines)


def _opinion(directory: Path, hub: Hub, repo_id: str, files: list[PlannedFile]) -> list[str]:
    """What the Hub itself warns about in a card that is new to it. Raises HubError when it refuses it."""
    if all(file.change == "unchanged" for file in files if file.path == CARD_NAME):
        return []
    card = (directory / CARD_NAME).read_text(encoding="utf-8")
    return [f"the Hub warns about the card: {warning}" for warning in hub.validate_card(repo_id, card)]


def _notes(directory: Path, repo_id: str, repo: Repo | None, private: bool | None) -> list[str]:
    notes = []
    if repo and repo.id != repo_id:
        notes.append(f"{repo_id} was renamed to {repo.id}, which is published to")
    if repo and private is not None and private != repo.private:
        is_now = "private" if repo.private else "public"
        notes.append(f"{repo.id} exists and stays {is_now}; its settings page changes that")
    named = record.read(directory).repo_id
    if named and named != repo_id:
        notes.append(
            f"the card was written for {named}; write it for this repo with"
            f" hubkit card --adapter {directory} --repo-id {repo_id}"
        )
    return notes
