"""One repo: its commits, references, discussions and pull requests, as files in a folder.

A commit writes its files, its tree and itself before it moves its reference, and moves that by an atomic
rename: a process killed anywhere leaves the old head or the new one. The head is read and moved under the
repo's lock.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from hubkit.hub_rules import COMMIT_OID_PATTERN, DEFAULT_BRANCH, is_ref_name, is_repo_path
from hubkit.localhub.objects import File, Objects, canonical_json, write_atomically, write_json

Tree = dict[str, File]
BEGINNING = re.compile(r"[0-9A-Fa-f]{7,40}")  # of a commit's id, long enough to be meant as one
_FACTS = {"private", "created", "gated", "key"}


class StoreError(Exception):
    """A request that the store cannot grant; the message is for the caller."""


class NotThere(StoreError):
    """No such repo, revision, file or discussion; `what` says which, `facts` what is known all the same."""

    def __init__(self, what: str, message: str, facts: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.what = what
        self.facts = facts or {}


class Exists(StoreError):
    """The name is taken."""


class Stale(StoreError):
    """The head is no longer the commit that the caller built on."""


class Refused(StoreError):
    """Something that the rules do not allow."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, without its files."""

    oid: str
    tree: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str


@dataclass(slots=True)
class Discussion:
    """A discussion or a pull request; `base` is the branch that a pull request wants to change."""

    num: int
    title: str
    author: str
    date: str
    status: str
    is_pull_request: bool
    base: str = DEFAULT_BRANCH
    fork: str | None = None  # the commit of `base` that the pull request started from
    merged_as: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    pinned: bool = False


def now() -> str:
    """The time as the Hub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def check_path(path: object) -> str:
    """The path if it can be a file of a repo; Refused if it climbs, is absolute, or hides in .git."""
    if not isinstance(path, str) or not is_repo_path(path):
        raise Refused(f"invalid path in the repo: {str(path)[:100]!r}")
    return path


def check_ref_name(name: str) -> str:
    """The name if git would take it for a branch or a tag; Refused if not."""
    if not is_ref_name(name):
        raise Refused(f"invalid reference name: {name!r}")
    return name


class Repo:
    """One repo of a store."""

    def __init__(self, repo_id: str, folder: Path, objects: Objects) -> None:
        self.id = repo_id
        self.folder = folder
        self.objects = objects
        self.lock = threading.RLock()
        self.facts: dict[str, Any] = json.loads((folder / "repo.json").read_bytes())
        if not isinstance(self.facts, dict) or not self.facts.keys() >= _FACTS:
            raise ValueError(f"{folder}/repo.json lacks what a repo needs")

    @property
    def private(self) -> bool:
        """Whether only its owner sees it."""
        return bool(self.facts["private"])

    def update(self, **facts: Any) -> None:
        """Change what repo.json says."""
        with self.lock:
            self.facts = {**self.facts, **facts}
            write_json(self.folder / "repo.json", self.facts, self.objects.scratch)

    # --- references

    def _ref_path(self, ref: str) -> Path:
        full = ref if ref.startswith(("refs/pr/", "refs/tags/")) else f"refs/heads/{ref}"
        kind, name = full.split("/", 2)[1:]
        return self.folder / "refs" / kind / quote(name, safe="")

    def read_ref(self, ref: str) -> str | None:
        """The commit of a branch, of `refs/pr/N` or of `refs/tags/NAME`."""
        if len(self._ref_path(ref).name) > 250:  # longer than a file's name may be
            return None
        try:
            return self._ref_path(ref).read_text().strip()
        except (FileNotFoundError, IsADirectoryError):
            return None

    def write_ref(self, ref: str, oid: str) -> None:
        """Point a reference at a commit, in one rename."""
        write_atomically(self._ref_path(ref), oid.encode() + b"\n", self.objects.scratch)

    def remove_ref(self, ref: str) -> None:
        """Drop a reference."""
        if self.read_ref(ref) is None:
            raise NotThere("revision", f"Reference does not exist: {ref}")
        self._ref_path(ref).unlink()

    def refs(self, kind: str) -> dict[str, str]:
        """The references of a kind (`heads`, `tags` or `pr`) by short name."""
        folder = self.folder / "refs" / kind
        names = sorted(folder.iterdir()) if folder.exists() else []
        return {unquote(path.name): path.read_text().strip() for path in names}

    def resolve(self, revision: str) -> str:
        """The commit that a branch, a tag, `refs/pr/N` or a commit id means."""
        name = revision.removeprefix("refs/heads/")
        for ref in (name, f"refs/tags/{name}"):
            oid = self.read_ref(ref)
            if oid:
                return oid
        if COMMIT_OID_PATTERN.fullmatch(name) and (self.folder / "commits" / name).exists():
            return name
        raise NotThere("revision", f"Invalid rev id: {revision}")

    def expand(self, revision: str) -> str:
        """The same revision, but the whole id where it is the beginning of just one commit's.

        For pages alone: the API of the Hub takes whole ids only.
        https://huggingface.co/docs/huggingface_hub/guides/download#from-specific-version
        """
        if (
            not BEGINNING.fullmatch(revision)
            or self.read_ref(revision)
            or self.read_ref(f"refs/tags/{revision}")
        ):
            return revision
        found = [path.name for path in (self.folder / "commits").glob(f"{revision.lower()}*")]
        if len(found) > 1:
            raise NotThere("revision", f"More than one commit begins with {revision}: give more digits")
        return found[0] if found else revision

    # --- commits

    def commit(self, oid: str) -> Commit:
        """A commit by its id."""
        return Commit(oid, **json.loads((self.folder / "commits" / oid).read_bytes()))

    def tree(self, oid: str) -> Tree:
        """The files of a commit by path, in order."""
        stored = json.loads((self.folder / "trees" / self.commit(oid).tree).read_bytes())
        return {path: File(*facts) for path, facts in stored.items()}

    def file(self, oid: str, path: str) -> File:
        """One file of a commit."""
        try:
            return self.tree(oid)[path]
        except KeyError:
            raise NotThere("entry", "Entry not found") from None

    def ever_held(self, sha256: str) -> bool:
        """Whether any commit of this repo, also one that no reference leads to, holds this large file."""
        for place in (self.folder / "trees").iterdir():
            data = place.read_bytes()
            if sha256.encode() in data and any(File(*f).sha256 == sha256 for f in json.loads(data).values()):
                return True
        return False

    def history(self, oid: str | None) -> Iterator[Commit]:
        """A commit and its ancestors, newest first."""
        while oid:
            commit = self.commit(oid)
            yield commit
            oid = commit.parent

    def write_commit(self, tree: Tree, parent: str | None, title: str, message: str, author: str) -> str:
        """Write a commit that no reference points at yet."""
        stored = canonical_json({path: [f.oid, f.size, f.sha256] for path, f in sorted(tree.items())})
        tree_oid = hashlib.sha1(stored).hexdigest()
        place = self.folder / "trees" / tree_oid
        if not place.exists():
            write_atomically(place, stored, self.objects.scratch)
        facts = {"tree": tree_oid, "parent": parent, "title": title, "message": message, "author": author}
        text = canonical_json({**facts, "date": now()})
        oid = hashlib.sha1(b"commit %d\0" % len(text) + text).hexdigest()
        write_atomically(self.folder / "commits" / oid, text, self.objects.scratch)
        return oid

    def add_commit(
        self,
        branch: str,
        change: Callable[[Tree], Tree],
        *,
        title: str,
        author: str,
        message: str = "",
        parent: str | None = None,
    ) -> str:
        """Commit to a branch what `change` makes of its files; Stale unless its head is still `parent`."""
        with self.lock:
            head = self.read_ref(branch)
            if head is None or branch.startswith("refs/tags/"):  # a tag stays where it is
                raise NotThere("revision", f"Invalid rev id: {branch}")
            if parent and not head.startswith(parent):
                raise Stale("A commit has happened since. Please refresh and try again.")
            oid = self.write_commit(change(self.tree(head)), head, title, message, author)
            self.write_ref(branch, oid)
            return oid

    # --- discussions and pull requests

    def discussion(self, num: int) -> Discussion:
        """A discussion by its number."""
        try:
            return Discussion(**json.loads((self.folder / "discussions" / str(num)).read_bytes()))
        except FileNotFoundError:
            raise NotThere("discussion", f"Discussion not found: {num}") from None

    def discussions(self) -> list[Discussion]:
        """All discussions, newest first."""
        folder = self.folder / "discussions"
        numbers = sorted((int(p.name) for p in folder.iterdir()), reverse=True) if folder.exists() else []
        return [self.discussion(num) for num in numbers]

    def save_discussion(self, discussion: Discussion) -> None:
        """Write a discussion."""
        place = self.folder / "discussions" / str(discussion.num)
        write_json(place, asdict(discussion), self.objects.scratch)

    def next_number(self) -> int:
        """The number of the next discussion; a reference whose discussion was never written counts too."""
        taken = [d.num for d in self.discussions()] + [int(name) for name in self.refs("pr")]
        return max(taken, default=0) + 1
