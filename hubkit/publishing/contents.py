"""What of an adapter directory is published: an allow-list, read and hashed once.

What is not named here stays where it is: checkpoints, optimizer states, training arguments, other pickles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from hubkit import files, hub_rules, record
from hubkit.errors import AdapterError
from hubkit.hub import LocalFile

CARD_NAME = "README.md"
PUBLISHED = (*files.ADAPTER_FILES, record.RECORD_NAME, CARD_NAME, "LICENSE*", "figures/*.png")
BINARY_SUFFIXES = (".safetensors", ".model", ".png")  # the rest of the above is text
FIGURES = "figures"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a directory that are published, and the names of what is left out."""

    files: tuple[LocalFile, ...]
    left_out: tuple[str, ...]
    drafts: Mapping[str, bytes]  # what stands in for files of these names, or is not written yet

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
            return source.read_bytes()
        except OSError as error:
            raise AdapterError(f"cannot read {source}: {error.strerror}") from error


def collect(directory: Path, drafts: Mapping[str, bytes] | None = None) -> Contents:
    """Find and hash what is published of a directory. Raises AdapterError for a link that leads out of it.

    `drafts` are files that would be written before a push, and stand in for what lies there now.
    """
    drafts = drafts or {}
    root = directory.resolve()
    chosen, left_out = [_drafted(name, directory / name, content) for name, content in drafts.items()], []
    for path in sorted([*directory.iterdir(), *directory.glob(f"{FIGURES}/*")]):
        name = path.relative_to(directory).as_posix()
        if not is_published(name):
            if name != FIGURES:
                left_out.append(f"{name}/" if path.is_dir() else name)
        elif name in drafts:
            continue
        elif not path.resolve().is_relative_to(root):
            raise AdapterError(
                f"{path} is a link that leads out of the directory", "put a copy of the file in its place"
            )
        elif not path.is_file():
            raise AdapterError(f"{path} is not a file", "remove it, or put the file in its place")
        else:
            chosen.append(local_file(name, path))
    chosen.sort(key=lambda file: file.path)
    return _only_linked(Contents(tuple(chosen), tuple(left_out), drafts))


def _only_linked(contents: Contents) -> Contents:
    """Without the figures that the card does not link."""
    card = contents.read(CARD_NAME) if CARD_NAME in contents.names else b""
    unlinked = {
        file.path
        for file in contents.files
        if file.path.startswith(f"{FIGURES}/") and file.path.encode() not in card
    }
    kept = tuple(file for file in contents.files if file.path not in unlinked)
    return replace(contents, files=kept, left_out=(*contents.left_out, *sorted(unlinked)))


def is_published(name: str) -> bool:
    """Whether a file with this path in the adapter directory is published."""
    return any(fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in PUBLISHED)


def is_text(name: str) -> bool:
    """Whether a published file holds text."""
    return not name.endswith(BINARY_SUFFIXES)


def _drafted(name: str, path: Path, content: bytes) -> LocalFile:
    """A file that is not written yet: the time of writing, 0, keeps it from being pushed."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return LocalFile(name, path, len(content), hashlib.sha256(content).hexdigest(), blob)


def local_file(name: str, path: Path) -> LocalFile:
    """A file with its digests, read once; the Hub keeps large ones by SHA-256, so only small ones get two."""
    size, modified_ns = path.stat().st_size, path.stat().st_mtime_ns
    sha256 = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % size) if size <= hub_rules.REGULAR_FILE_MAX else None
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                sha256.update(chunk)
                if blob:
                    blob.update(chunk)
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror}") from error
    return LocalFile(name, path, size, sha256.hexdigest(), blob.hexdigest() if blob else None, modified_ns)
