"""What of an adapter directory is published: an allow-list, read and hashed once.

What is not named here stays where it is: checkpoints, optimizer states, training arguments, other pickles.
The author can name more files (included.py), and let through what was found in some (leaks.py): a `Choice`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from hubkit import files, hub_rules, record
from hubkit.errors import AdapterError
from hubkit.hub import LocalFile
from hubkit.publishing import included

CARD_NAME = "README.md"
PUBLISHED = (*files.ADAPTER_FILES, record.RECORD_NAME, CARD_NAME, "LICENSE*", "figures/*.png")
FIGURES = "figures"
CHUNK = 1 << 20
LARGEST_READ = 16_000_000  # bytes of a file that is read whole: the card, a configuration


@dataclass(frozen=True, slots=True)
class Choice:
    """What the author says of the contents: patterns of further files, and ids of findings that may stay."""

    include: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a directory that are published, and the names of what is left out."""

    files: tuple[LocalFile, ...]
    left_out: tuple[str, ...]
    drafts: Mapping[str, bytes]  # what stands in for files of these names, or is not written yet
    notes: tuple[str, ...] = ()  # of what the author named, and what did not come of it

    @property
    def names(self) -> set[str]:
        """The paths of the files."""
        return {file.path for file in self.files}

    def read(self, name: str) -> bytes:
        """The bytes of one of the files."""
        if name in self.drafts:
            return self.drafts[name]
        source = next(file.source for file in self.files if file.path == name)
        try:
            return files.read(source, LARGEST_READ)
        except OSError as error:
            raise AdapterError(
                f"cannot read {source}: {error.strerror}", "look at what lies there"
            ) from error


def collect(
    directory: Path, drafts: Mapping[str, bytes] | None = None, include: Sequence[str] = ()
) -> Contents:
    """Find and hash what is published of a directory. Raises AdapterError for a link that leads out of it.

    `drafts` are files that would be written before a push, and stand in for what lies there now; `include`
    are patterns of files that are published too.
    """
    drafts = drafts or {}
    root = directory.resolve()
    chosen, left_out = [_drafted(name, directory / name, content) for name, content in drafts.items()], []
    known, beside = _known(directory)
    named = included.find(directory, include, known)
    extra = named.files
    for name in sorted(known | set(extra)):
        if name not in drafts:
            _check_place(directory / name, root)
            chosen.append(local_file(name, directory / name))
    for name in sorted(beside):
        if (directory / name).is_dir():
            inside = any(file.startswith(f"{name}/") for file in extra)
            left_out += [] if inside or name == FIGURES else [f"{name}/"]
        elif name not in extra:
            left_out.append(name)
    chosen.sort(key=lambda file: file.path)
    return _only_linked(Contents(tuple(chosen), tuple(left_out), drafts, named.notes), set(extra))


def _known(directory: Path) -> tuple[set[str], set[str]]:
    """What lies in a directory and is published without being named, and what else lies there."""
    names = {
        path.relative_to(directory).as_posix()
        for path in [*directory.iterdir(), *directory.glob(f"{FIGURES}/*")]
    }
    known = {name for name in names if is_published(name)}
    return known, names - known


def _check_place(path: Path, root: Path) -> None:
    """What is published lies in the directory itself, and is an ordinary file. Raises AdapterError."""
    try:
        inside = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a circle of links
        inside = True
    if not inside:
        raise AdapterError(
            f"{path} is a link that leads out of the directory", "put a copy of the file in its place"
        )
    if not path.is_file():
        raise AdapterError(f"{path} is not a file", "remove it, or put the file in its place")


def _only_linked(contents: Contents, named: set[str]) -> Contents:
    """Without the figures that the card does not link, and that nobody named."""
    card = contents.read(CARD_NAME) if CARD_NAME in contents.names else b""
    unlinked = {
        file.path
        for file in contents.files
        if file.path.startswith(f"{FIGURES}/") and not names(card, file.path) and file.path not in named
    }
    kept = tuple(file for file in contents.files if file.path not in unlinked)
    return replace(contents, files=kept, left_out=(*contents.left_out, *sorted(unlinked)))


def is_published(name: str) -> bool:
    """Whether a file with this path in the adapter directory is published."""
    return any(fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in PUBLISHED)


def _drafted(name: str, path: Path, content: bytes) -> LocalFile:
    """A file that is not written yet: the time of writing, 0, keeps it from being pushed."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return LocalFile(name, path, len(content), hashlib.sha256(content).hexdigest(), blob)


def local_file(name: str, path: Path) -> LocalFile:
    """A file with its digests; the Hub keeps large ones by SHA-256, so only small ones get two.

    A large one, and weights, are read for it once in the life of a process, as long as nobody writes to them.
    """
    try:
        seen = files.seen(path)
        if seen.size > hub_rules.REGULAR_FILE_MAX and path.is_file():
            return LocalFile(name, path, seen.size, files.sha256(path), None, seen.modified)
        if name.endswith(".safetensors"):
            return LocalFile(name, path, seen.size, *_of_weights(seen), seen.modified)
        with files.opened(path) as file:
            status = os.fstat(file.fileno())
            sha256, blob = _digests(file, status.st_size)
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror}") from error
    return LocalFile(name, path, status.st_size, sha256, blob, files.changed_ns(status))


@lru_cache(maxsize=16)
def _of_weights(seen: files.Seen) -> tuple[str, str]:
    with files.opened(Path(seen.path)) as file:
        sha256, blob = _digests(file, seen.size)
    files.learn(seen, sha256)
    return sha256, blob


def _digests(file: BinaryIO, size: int) -> tuple[str, str]:
    """The SHA-256 and the git blob id of a file, in one read."""
    sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    while chunk := file.read(CHUNK):
        sha256.update(chunk)
        blob.update(chunk)
    return sha256.hexdigest(), blob.hexdigest()


def names(card: bytes, path: str) -> bool:
    """Whether a card names a file, as it is called or as a URL has it."""
    return path.encode() in card or quote(path).encode() in card
