"""Is a store whole, and what in it does nothing name? For a store that nobody serves.

Every object is read and compared with its name, every tree and commit too; every reference must lead to
commits whose files are all there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub.objects import CHUNK, Damaged, File
from hubkit.localhub.repo import Repo
from hubkit.localhub.store import MOVED, Store

GRACE = 24 * 3600.0  # an upload may lie for so long before a commit names it


def check(store: Store) -> list[str]:
    """What is wrong in a store, one line each; nothing, when it is whole."""
    return [*_objects(store), *_repos(store), *_collections(store)]


def _objects(store: Store) -> Iterator[str]:
    for place in _files(store.objects.blobs):
        yield from _object(store, place, hashlib.sha1(b"blob %d\0" % place.lstat().st_size))
    for place in _files(store.objects.lfs):
        yield from _object(store, place, hashlib.sha256())


def _files(folder: Path) -> list[Path]:
    return sorted(place for place in folder.rglob("*") if place.is_symlink() or not place.is_dir())


def _object(store: Store, place: Path, digest: Any) -> Iterator[str]:
    name = place.relative_to(store.root)
    if place.is_symlink():
        yield f"{name} is a link"
        return
    with place.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != place.parent.name + place.name:
        yield f"{name} does not hold what its name says"


def _repos(store: Store) -> Iterator[str]:
    known = {repo.folder for repo in store.repos()}
    for folder in sorted((store.root / "repos").glob("*/*")):
        if folder.is_symlink():
            yield f"{folder.relative_to(store.root)} is a link"
        elif folder not in known:
            yield f"{folder.relative_to(store.root)} is no repo: it has no {DEFAULT_BRANCH}, or no facts"
    for repo in store.repos():
        try:
            yield from (f"{repo.id}: {problem}" for problem in _repo(repo))
        except OSError as error:
            yield f"{repo.id}: {error.filename or 'a file'} cannot be read ({error.strerror or error})"


def _repo(repo: Repo) -> Iterator[str]:
    for kind in ("trees", "commits"):
        for place in _files(repo.folder / kind):
            data = place.read_bytes()
            head = b"commit %d\0" % len(data) if kind == "commits" else b""
            if hashlib.sha1(head + data).hexdigest() != place.name:
                yield f"{kind}/{place.name} does not hold what its name says"
    seen: set[str] = set()
    for kind in ("heads", "tags", "pr"):
        for name, oid in repo.refs(kind).items():
            yield from (f"refs/{kind}/{name}: {problem}" for problem in _history(repo, oid, seen))
    for place in _files(repo.folder / "discussions"):
        try:
            repo.discussion(int(place.name))
        except (ValueError, TypeError):
            yield f"discussions/{place.name} is damaged"


def _history(repo: Repo, oid: str, seen: set[str]) -> Iterator[str]:
    """What is missing from a commit backwards, as far as nothing was looked at yet."""
    while oid not in seen:
        seen.add(oid)
        try:
            commit, tree = repo.commit(oid), repo.tree(oid)
        except (OSError, ValueError, TypeError) as error:
            yield f"commit {oid} or its tree is not there ({type(error).__name__})"
            return
        yield from (
            f"{path} at {oid[:7]} {problem}" for path, file in tree.items() for problem in _file(repo, file)
        )
        if commit.parent is None:
            return
        oid = commit.parent


def _file(repo: Repo, file: File) -> Iterator[str]:
    try:
        size = repo.objects.path(file).stat().st_size
    except (FileNotFoundError, Damaged):
        yield "is not there"
        return
    if size != file.size:
        yield f"has {size} bytes, not {file.size}"


def _collections(store: Store) -> Iterator[str]:
    moved = store.root / MOVED
    try:
        dict(json.loads(moved.read_bytes() if moved.exists() else b"{}"))
    except (ValueError, TypeError):
        yield f"{MOVED} is damaged"
    try:
        store.shelves.every()
    except (ValueError, TypeError, KeyError):
        yield "a file of collections/ is damaged"


def collect(store: Store, *, grace: float = GRACE) -> tuple[int, int]:
    """Remove the objects that no commit of any repo names, not even one that no reference leads to.

    What came lately stays: its commit may be on its way. The answer: how many objects, how many bytes.
    """
    named = {file.digest for repo in store.repos() for file in _named(repo)}
    count, size, oldest = 0, 0, time.time() - grace
    for place in [*_files(store.objects.blobs), *_files(store.objects.lfs)]:
        status = place.lstat()
        if place.parent.name + place.name not in named and status.st_mtime < oldest:
            place.unlink()
            count, size = count + 1, size + status.st_size
    return count, size


def _named(repo: Repo) -> Iterator[File]:
    for place in _files(repo.folder / "trees"):
        yield from (File(*facts) for facts in json.loads(place.read_bytes()).values())
