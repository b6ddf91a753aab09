"""Content-addressed objects on disk: git blobs by their sha1, LFS objects by their sha256.

An object is written beside its place, made durable, and renamed into it, so whatever is found under its name
is whole. Objects are shared by all repos of a store and never change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


class Damaged(Exception):
    """Bytes that are not what their digest or size promised."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a commit: `oid` is its git blob id; an LFS file also has the sha256 of its bytes."""

    oid: str
    size: int
    sha256: str | None = None

    @property
    def digest(self) -> str:
        """What a client compares its own copy with: sha256 for LFS, the git blob id otherwise."""
        return self.sha256 or self.oid


def blob_oid(data: bytes) -> str:
    """The id that git gives to a blob of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The text that git keeps in place of an LFS file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_file(sha256: str, size: int) -> File:
    """The File of an LFS object."""
    return File(blob_oid(lfs_pointer(sha256, size)), size, sha256)


class Incoming:
    """A file on its way in: written to a temporary place while its sha256 and its size are counted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        self._file = path.open("wb")

    @property
    def sha256(self) -> str:
        """The digest of what has come so far."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def finish(self) -> None:
        """Make the bytes durable and close."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        """Close without making anything durable."""
        self._file.close()


class Objects:
    """The objects of one store."""

    def __init__(self, root: Path) -> None:
        self.blobs = root / "objects" / "blobs"
        self.lfs = root / "objects" / "lfs"
        self.lent = root / "objects" / "lent"
        self.scratch = root / "tmp"
        # What is left here belongs to a process that died: the lock of the store says that none other lives.
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.blobs, self.lfs, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def blob_path(self, oid: str) -> Path:
        """Where a git blob lies."""
        return self.blobs / oid[:2] / oid[2:]

    def lfs_path(self, sha256: str) -> Path:
        """Where an LFS object lies."""
        return self.lfs / sha256[:2] / sha256[2:]

    def lent_path(self, key: str, sha256: str) -> Path:
        """The mark that an LFS object was sent for the repo of this key."""
        return self.lent / key / sha256

    def path(self, file: File) -> Path:
        """Where the bytes of a file lie; a link there would lead out of the store."""
        place = self.lfs_path(file.sha256) if file.sha256 else self.blob_path(file.oid)
        if place.is_symlink():
            raise Damaged(f"the object {file.digest} is a link")
        return place

    def add_blob(self, data: bytes) -> File:
        """Keep the bytes of a regular file."""
        oid = blob_oid(data)
        if not self.blob_path(oid).exists():
            write_atomically(self.blob_path(oid), data, self.scratch)
        return File(oid, len(data))

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A file to stream into; it is removed at the end unless `keep` took it."""
        new = Incoming(self.scratch / uuid.uuid4().hex)
        try:
            yield new
        finally:
            new.close()
            new.path.unlink(missing_ok=True)

    def keep(self, new: Incoming, sha256: str, size: int | None = None) -> None:
        """Make what came in the LFS object of that digest; raise Damaged when it is something else."""
        if new.sha256 != sha256:
            raise Damaged(f"the bytes have sha256 {new.sha256}, not {sha256}")
        if size is not None and new.size != size:
            raise Damaged(f"{new.size} bytes came, not {size}")
        new.finish()
        place = self.lfs_path(sha256)
        make_folder(place.parent)
        os.replace(new.path, place)
        sync_folder(place.parent)

    def lend(self, key: str, sha256: str) -> None:
        """Mark that an LFS object was sent for the repo of this key."""
        if key:
            make_folder(self.lent / key)
            self.lent_path(key, sha256).touch()

    def lfs_size(self, sha256: str) -> int | None:
        """The size of an LFS object, or None when there is none."""
        try:
            status = self.lfs_path(sha256).lstat()
        except FileNotFoundError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None


def write_atomically(place: Path, data: bytes, scratch: Path) -> None:
    """Write beside and rename, durably: a reader sees the old file or the new one, never a part."""
    new = scratch / uuid.uuid4().hex
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    make_folder(place.parent)
    os.replace(new, place)
    sync_folder(place.parent)


def write_json(place: Path, value: Any, scratch: Path) -> None:
    """Write a value as JSON, atomically."""
    write_atomically(place, canonical_json(value), scratch)


def canonical_json(value: Any) -> bytes:
    """The one form of a value whose digest may name it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def make_folder(folder: Path) -> None:
    """Make a folder and make its name durable."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
