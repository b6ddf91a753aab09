"""What a figure on disk says of itself: the digest of the data that it was drawn from, in a PNG text chunk.

It is read without matplotlib, so that any machine can tell whether a figure still shows what the record says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from hubkit import files

FOLDER = "figures"
KEY = "hubkit"  # of the text chunk
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 5_000_000  # bytes; hubkit's own figures are below 60 kB
DAMAGED = ""  # the digest of a figure of hubkit's that is not whole


def on_disk(directory: Path) -> dict[str, str]:
    """The digests of hubkit's own figures in an adapter directory, by file name."""
    folder = directory / FOLDER
    if not folder.is_dir():
        return {}
    found = {path.name: digest(path) for path in sorted(folder.glob("*.png")) if path.is_file()}
    return {name: value for name, value in found.items() if value is not None}


def digest(path: Path) -> str | None:
    """The digest in a PNG of hubkit's; none in any other file."""
    try:
        return digest_of(files.read(path, LARGEST))
    except OSError:
        return None


def digest_of(content: bytes) -> str | None:
    """The same of its bytes. A figure of hubkit's that was cut off or changed is DAMAGED."""
    found = None
    for kind, data, is_whole in _chunks(content):
        if kind == b"tEXt" and data.startswith(KEY.encode() + b"\0"):
            found = data.partition(b"\0")[2].decode("latin-1")
        if not is_whole:
            break
        if kind == b"IEND":
            return found
    return None if found is None else DAMAGED


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind and data of each chunk, and whether its checksum is right."""
    at = len(SIGNATURE)
    while content.startswith(SIGNATURE) and at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        data = content[at + 8 : at + 8 + length]
        checksum = content[at + 8 + length : at + 12 + length]
        yield kind, data, checksum == struct.pack(">I", zlib.crc32(kind + data))
        at += 12 + length
