"""Files on disk: written whole or not at all, hashed in one pass."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import BinaryIO

from hubkit.errors import HubkitError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
# What makes up an adapter in its directory, besides record and card.
ADAPTER_FILES = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "quantization_config.json",
    *TOKENIZER_FILES,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was when it was read; the path says where to read it, and tells no two apart."""

    device: int
    inode: int
    size: int
    modified: int
    path: str = field(compare=False)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex; a file that did not change since it was hashed is not read again."""
    one = seen(path)
    found = _known.get(one)
    if found is None:
        found = _hashed(one)
        learn(one, found)
    return found


def learn(one: Seen, digest: str) -> None:
    """Keep the SHA-256 of a file that somebody else hashed."""
    while len(_known) >= MOST_KNOWN:
        _known.pop(next(iter(_known)), None)
    _known[one] = digest


def opened(path: Path) -> BinaryIO:
    """An ordinary file, open for reading. Raises OSError for anything else: a pipe would wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, "it is no ordinary file", os.fspath(path))


def read(path: Path, largest: int) -> bytes:
    """The bytes of an ordinary file. Raises OSError, also for one that is larger than any of its kind is."""
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > largest:
            raise OSError(errno.EFBIG, f"it is larger than {largest:,} bytes", os.fspath(path))
        return file.read()


def changed_ns(status: os.stat_result) -> int:
    """When a file was last written to or replaced; its time of writing can be set back, this cannot."""
    return max(status.st_mtime_ns, status.st_ctime_ns)


def seen(path: Path) -> Seen:
    """A file as it is now: equal to an earlier sight of it where nothing was written to it since."""
    status = os.stat(path)
    return Seen(status.st_dev, status.st_ino, status.st_size, changed_ns(status), os.fspath(path))


_SMALL = 1_000_000  # bytes
MOST_KNOWN = 256
_known: dict[Seen, str] = {}


def _hashed(seen: Seen) -> str:
    with open(seen.path, "rb", buffering=0) as file:
        if seen.size <= _SMALL:  # else the buffer of file_digest takes longer than the hashing
            return hashlib.sha256(file.read()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(files: list[Path]) -> str:
    """One SHA-256 over several files: of their names and digests, sorted by name."""
    whole = hashlib.sha256()
    for path in sorted(files, key=lambda p: p.name):
        whole.update(f"{path.name} {sha256(path)}\n".encode())
    return whole.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that `path` holds either the old bytes or the new ones, never a part.

    A file that is there keeps its permissions.
    """
    temporary = None
    try:
        file = _created_beside(os.fspath(path))
        temporary = file.name
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _permissions(path))
        os.replace(temporary, path)
    except OSError as error:
        _drop(temporary)
        raise HubkitError(f"cannot write {path}: {error.strerror or error}", _way_out(error)) from error
    except BaseException:
        _drop(temporary)
        raise


_NUMBERS = count()


def _created_beside(path: str) -> BinaryIO:
    """A new file beside the path, which only its owner may read, open for writing."""
    folder, name = os.path.split(path)
    while True:
        beside = os.path.join(folder, f".{name}.{os.getpid()}-{next(_NUMBERS)}")
        try:
            return open(beside, "xb", opener=_for_owner)
        except FileExistsError:  # left by a process that was killed
            continue


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _permissions(path: Path) -> int:
    try:
        found = os.stat(path).st_mode
    except FileNotFoundError:
        return 0o644
    return stat.S_IMODE(found) if stat.S_ISREG(found) else 0o644


def _drop(temporary: str | None) -> None:
    if temporary is not None:
        Path(temporary).unlink(missing_ok=True)


def _way_out(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space, then run the command again"
    return "look whether its directory is there and may be written to"
