"""The Python that a written card shows its readers: read from the Markdown of README.md, with its lines.

What runs is what is written there, and not what hubkit would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hubkit.card import regions
from hubkit.card.usage import code_sha256

REGION = "usage"
_FENCE = re.compile(r"(?P<indent> *)(?P<marks>`{3,}(?=[^`]*$)|~{3,})[ \t]*(?P<info>.*)")
_PYTHON = re.compile(r"\{?\.?(?:python3?|py)\b(?!-)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of Python on a card."""

    code: str  # without the line end of its last line
    line: int  # of the card, where the code begins


def python_blocks(card: str) -> list[Block]:
    """The blocks of Python in the region of the card that shows its use, in order. Raises CardError."""
    parts = regions.split(card)
    for piece in regions.pieces(parts.body):
        if piece.kind == "region" and piece.name == REGION:
            marker_end = piece.at + piece.raw.index("\n") + 1
            before = parts.head + parts.body[:marker_end]
            return list(_blocks(_lines(piece.content), len(_lines(before))))
    return []


def outside(card: str) -> int:
    """How many blocks of Python stand outside hubkit's markers. Raises CardError."""
    found = regions.pieces(regions.split(card).body)
    return sum(1 for piece in found if piece.kind == "text" for _ in _blocks(_lines(piece.raw), 1))


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _blocks(lines: list[str], first: int) -> Iterator[Block]:
    """The fences of Python in these lines; the first of them is line `first` of the card."""
    at = 0
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence is None:
            at += 1
            continue
        end = _end(lines, at, fence["marks"])
        if _PYTHON.match(fence["info"]):
            code = [_outdented(line, len(fence["indent"])) for line in lines[at + 1 : end]]
            yield Block("\n".join(code), first + at + 1)
        at = end + 1


def _end(lines: list[str], start: int, marks: str) -> int:
    """The line that ends a fence; behind the last one where nothing does."""
    for at in range(start + 1, len(lines)):
        bare = lines[at].strip()
        if len(bare) >= len(marks) and set(bare) == {marks[0]}:
            return at
    return len(lines)


def _outdented(line: str, indent: int) -> str:
    """The line without as many blanks as its fence has before it."""
    return line[min(indent, len(line) - len(line.lstrip(" "))) :]


def sha256(blocks: list[Block]) -> str:
    """The digest of what runs, in order."""
    return code_sha256([block.code for block in blocks])
