"""What of the files to be published tells too much: secrets, and paths of the author's machine.

Files are read in pieces, so that none is too large. Text is looked at whole; of a safetensors file only the
header is, and of a PNG the text in it; of another large binary file the beginning.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hubkit import files, paths, secrets, tensor_file
from hubkit.errors import AdapterError

PIECE = 1 << 20  # bytes looked at in one go
OVERLAP = secrets.LONGEST  # bytes that are looked at again with the next piece
LARGEST_BINARY = 64 << 20
LARGEST_TEXT_IN_IMAGE = 1 << 20
MOST = 200  # findings of one file
PATH = "path of this machine"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be published, and where it lies first; never the thing itself.

    `id` names it where the user lets it through: it is the same as long as the same thing lies in the file.
    """

    path: str
    line: int
    kind: str
    id: str

    @property
    def is_path(self) -> bool:
        """Whether it is a path, and no secret."""
        return self.kind == PATH

    def __str__(self) -> str:
        return f"{self.path}:{self.line} ({self.kind}) [{self.id}]"


def find(path: str, source: Path) -> tuple[Finding, ...]:
    """What is found in a file that would be published as `path`. Raises AdapterError."""
    try:
        return _find(path, files.seen(source), paths.me())
    except OSError as error:
        raise AdapterError(
            f"cannot read {source}: {error.strerror or error}", "look at what lies there"
        ) from error


def find_in(path: str, content: bytes) -> tuple[Finding, ...]:
    """The same of a file that is not written yet."""
    return _of_stream(path, io.BytesIO(content), len(content), paths.me())


@functools.lru_cache(maxsize=1024)  # a push looks twice: before anything is begun, and when it plans
def _find(path: str, seen: files.Seen, me: tuple[str | None, str | None]) -> tuple[Finding, ...]:
    with files.opened(Path(seen.path)) as stream:
        return _of_stream(path, stream, seen.size, me)


def _of_stream(
    path: str, stream: BinaryIO, size: int, me: tuple[str | None, str | None]
) -> tuple[Finding, ...]:
    begin = stream.read(8192)
    stream.seek(0)
    pieces: Iterable[bytes]
    if path.endswith(".safetensors"):
        pieces = _pieces(stream, 8 + min(_header_length(begin), size, tensor_file.MAX_HEADER_BYTES))
    elif begin.startswith(b"\x89PNG"):
        pieces = _texts_of_png(stream)
    elif begin.startswith(_UTF16):
        pieces = (piece.replace(b"\0", b"") for piece in _pieces(stream, size))
    else:
        pieces = _pieces(stream, LARGEST_BINARY if b"\0" in begin else size)
    return _of_pieces(path, pieces, lambda text: _looked_at(text, *me))


def _looked_at(text: bytes, login: str | None, home: str | None) -> Iterator[secrets.Hit]:
    yield from secrets.hits(text)
    for place in paths.places(text, login, home):
        yield secrets.Hit(PATH, place.start, place.value)


def _of_pieces(
    path: str, pieces: Iterable[bytes], look: Callable[[bytes], Iterator[secrets.Hit]]
) -> tuple[Finding, ...]:
    """Look through pieces of a text. What may go on in the next piece is looked at with that one.

    The same thing in several lines is one finding.
    """
    found: dict[str, Finding] = {}
    window, seen, lines = b"", 0, 1  # bytes of the window that were looked at; line of its first byte
    pieces = iter(pieces)
    piece = next(pieces, b"")
    while piece and len(found) < MOST:
        window, piece = window + piece, next(pieces, b"")
        until = len(window) - OVERLAP if piece else len(window)
        for hit in look(window):
            if seen <= hit.start < until:
                name = secrets.identity(hit.kind, path, hit.value)
                if name not in found:
                    line = lines + window.count(b"\n", 0, hit.start)
                    found[name] = Finding(path, line, hit.kind, name)
                if len(found) >= MOST:
                    break
        dropped = max(0, until - OVERLAP)
        lines += window.count(b"\n", 0, dropped)
        window, seen = window[dropped:], max(0, until) - dropped
    return tuple(sorted(found.values(), key=lambda finding: (finding.line, finding.kind, finding.id)))


def _pieces(stream: BinaryIO, most: int) -> Iterator[bytes]:
    while most > 0 and (piece := stream.read(min(PIECE, most))):
        most -= len(piece)
        yield piece


def _header_length(begin: bytes) -> int:
    """How long a safetensors file says its header is."""
    return int(struct.unpack("<Q", begin[:8])[0]) if len(begin) >= 8 else 0


def _texts_of_png(stream: BinaryIO) -> Iterator[bytes]:
    """The chunks of a PNG that hold text, unpacked, each ending with a line end.

    https://www.w3.org/TR/png-3/#11textinfo
    """
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            content = stream.read(min(length, LARGEST_TEXT_IN_IMAGE))
            stream.seek(length - len(content), io.SEEK_CUR)
            yield _unpacked(kind, content) + b"\n"
        else:
            stream.seek(length, io.SEEK_CUR)
        stream.seek(4, io.SEEK_CUR)  # the checksum


def _unpacked(kind: bytes, content: bytes) -> bytes:
    keyword, _, rest = content.partition(b"\0")
    if kind == b"zTXt":
        packed = rest[1:]
    elif kind == b"iTXt" and rest[:1] == b"\1":
        packed = rest[2:].split(b"\0", 2)[-1]
    else:
        return content
    try:
        return keyword + b" " + zlib.decompressobj().decompress(packed, LARGEST_TEXT_IN_IMAGE)
    except zlib.error:
        return content


def told(findings: Sequence[Finding], most: int = 5) -> str:
    """The first of the findings in one line, and how many there are besides."""
    more = f" and {len(findings) - most} more" if len(findings) > most else ""
    return ", ".join(str(finding) for finding in findings[:most]) + more


def to_allow(findings: Sequence[Finding], most: int = 5) -> str:
    """The options that let these findings through, ready to be copied."""
    return " ".join(f"--allow {finding.id}" for finding in findings[:most])
