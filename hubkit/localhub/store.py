"""A persistent, git-like store of repos in a directory, owned by one process at a time.

    lock  address  token              who serves the directory, where, and the default user's token
    objects/blobs  objects/lfs        the bytes of files, by digest
    collections/                      one file each, by id
    moved.json                        ids that repos had before, and the keys of those repos
    repos/USER/NAME/repo.json         visibility and date; the folder gives the id
                    trees/ commits/   by digest; a commit names its tree and its parent
                    refs/heads/ refs/tags/ refs/pr/   one commit id each
                    discussions/      pull requests and discussions, by number

Objects of deleted repos stay on the disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import uuid
from pathlib import Path

from hubkit.hub_rules import DEFAULT_BRANCH, LFS_PATTERNS, is_repo_id
from hubkit.localhub.objects import Objects, write_json
from hubkit.localhub.repo import Exists, NotThere, Refused, Repo, StoreError, now
from hubkit.localhub.shelves import Shelves

MOVED = "moved.json"


def _read_json(place: Path) -> dict[str, str]:
    try:
        return dict(json.loads(place.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


class Busy(StoreError):
    """Another process serves the directory."""


class Foreign(StoreError):
    """The directory holds something else, and what is there is not ours to tidy."""


def _check_ours(root: Path) -> None:
    """Refuse a directory with files of another kind: a store clears its `tmp`, and theirs may be dear."""
    ours = (root / "lock").exists() or (root / "objects" / "blobs").is_dir()
    if not ours and any(not place.name.startswith(".") for place in root.iterdir()):
        raise Foreign(f"{root} holds other files, and no local Hub")


def is_served(root: Path) -> bool:
    """Whether a living process holds the store of a directory."""
    try:
        with (root / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class Store:
    """All repos below a directory, owned by this process until `close`."""

    def __init__(self, root: Path) -> None:
        root.mkdir(0o700, parents=True, exist_ok=True)  # private repos lie in it, and other users may be here
        _check_ours(root)
        self.root = root
        self._lock_file = (root / "lock").open("ab")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock_file.close()
            raise Busy(f"{root} is served by another process") from None
        self.objects = Objects(root)
        self.shelves = Shelves(root, self.objects.scratch)
        self._lock = threading.RLock()
        self._repos: dict[str, Repo] = {}
        self._moved: dict[str, str] = _read_json(root / MOVED)
        for facts in sorted((root / "repos").glob("*/*/repo.json")):
            folder = facts.parent
            if folder.is_symlink() or folder.parent.is_symlink():
                continue  # a link would lead out of the store
            try:
                repo = Repo(f"{folder.parent.name}/{folder.name}", folder, self.objects)
            except ValueError:
                continue  # the others are served all the same; `hubkit serve DIR --check` names it
            if repo.read_ref(DEFAULT_BRANCH):
                self._repos[repo.id] = repo

    def close(self) -> None:
        """Let another process have the directory."""
        self._lock_file.close()

    def repos(self) -> list[Repo]:
        """Every repo, in the order of the ids."""
        with self._lock:
            return [self._repos[key] for key in sorted(self._repos)]

    def repo(self, repo_id: str) -> Repo:
        """A repo by its id."""
        try:
            return self._repos[repo_id]
        except KeyError:
            raise NotThere("repo", "Repository not found") from None

    def renamed(self, old_id: str) -> Repo | None:
        """The repo that had this id before, unless the id is another repo's now."""
        with self._lock:
            key = None if old_id in self._repos else self._moved.get(old_id)
            return next((repo for repo in self._repos.values() if key and repo.facts["key"] == key), None)

    def _note_move(self, old_id: str | None, new_id: str, key: str) -> None:
        """Remember the old id of a repo; the new one no longer leads elsewhere."""
        moved = {name: known for name, known in self._moved.items() if name != new_id}
        if old_id:
            moved[old_id] = key
        if moved != self._moved:
            write_json(self.root / MOVED, moved, self.objects.scratch)
            self._moved = moved

    def _folder(self, repo_id: str) -> Path:
        if not is_repo_id(repo_id, namespace=True):
            raise Refused(f"invalid repo id: {repo_id!r}")
        return self.root / "repos" / repo_id

    def _free_folder(self, repo_id: str) -> Path:
        """Where a repo of a new id goes. Commits that lie there, of a repo that cannot be read, stay."""
        folder = self._folder(repo_id)
        folder.parent.mkdir(parents=True, exist_ok=True)
        holds = folder.is_dir() and any(folder.glob("commits/*"))
        if folder.parent.is_symlink() or folder.is_symlink() or holds:
            where = f"repos/{repo_id} of the local Hub's directory"
            raise Refused(f"{where} holds what cannot be read as a repo: move it away")
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def create(self, repo_id: str, *, private: bool, author: str) -> Repo:
        """A new repo with its first commit; built beside its place: it is there whole or not at all."""
        with self._lock:
            if repo_id in self._repos:
                raise Exists("You already created this model repo")
            folder = self._free_folder(repo_id)
            new = self.objects.scratch / uuid.uuid4().hex
            facts = {"private": private, "created": now(), "gated": False, "key": uuid.uuid4().hex[:24]}
            write_json(new / "repo.json", facts, self.objects.scratch)
            repo = Repo(repo_id, new, self.objects)
            rules = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)
            first = {".gitattributes": self.objects.add_blob(rules.encode())}
            repo.write_ref(DEFAULT_BRANCH, repo.write_commit(first, None, "initial commit", "", author))
            os.replace(new, folder)
            repo.folder = folder
            self._repos[repo_id] = repo
            self._note_move(None, repo_id, repo.facts["key"])
            return repo

    def delete(self, repo_id: str) -> None:
        """Remove a repo: out of sight by one rename first, then from the disk."""
        with self._lock:
            repo = self.repo(repo_id)
            grave = self.objects.scratch / uuid.uuid4().hex
            with repo.lock:
                os.replace(repo.folder, grave)
                repo.folder = grave  # who still holds it must not write into a new repo of the same id
            del self._repos[repo_id]
            shutil.rmtree(grave, ignore_errors=True)

    def move(self, old_id: str, new_id: str) -> None:
        """Give a repo another id."""
        with self._lock:
            repo = self.repo(old_id)
            if new_id in self._repos:
                raise Exists("A repo of that name exists already")
            folder = self._free_folder(new_id)
            with repo.lock:  # no commit is half written
                os.replace(repo.folder, folder)
                repo.folder, repo.id = folder, new_id
            self._repos[new_id] = self._repos.pop(old_id)
            self._note_move(old_id, new_id, repo.facts["key"])
