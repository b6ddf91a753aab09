"""The parts of a card: front matter, hubkit's own regions, and what is the author's.

A region stands between two marker lines. Its end marker holds the digest of what lies between them, so that a
hand edit is found out; `kept` there says that the author keeps the edit. The card's last marker holds the
digest of the front matter as hubkit alone would write it, and tells which template made the card, where that
was not hubkit's own. All other bytes are the author's.

    <!-- hubkit:begin usage -->
    ...
    <!-- hubkit:end usage sha256=0123456789abcdef -->

Text is handled as it was read: line ends are those of the file, bytes that are no UTF-8 are lone surrogates,
and the parts of a card, joined, are the card. Digests are taken with LF line ends: git may check a card out
with others. Markers inside an author's code fence are text.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hubkit import files
from hubkit.card import fences, outline
from hubkit.card.fences import line_end
from hubkit.errors import CardError

CARD_NAME = "README.md"
LARGEST = 4_000_000  # bytes of a card

_RULE_ABOVE = re.compile(r"\ufeff?[ \t\r\n]*---[ \t]*\r?\n")
_RULE_BELOW = re.compile(r"\n---[ \t]*(?:\r?\n|\Z)")
_NAME = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_MARKER = re.compile(
    rf"^<!-- hubkit:(?:(?P<what>begin|end) (?P<name>{_NAME})(?: sha256=(?P<sha256>[0-9a-f]{{16}}))?"
    r"(?P<kept> kept)?|card(?P<card>(?: [a-z0-9-]+=[0-9a-f]+)+)) -->[ \t]*\r?$",
    re.MULTILINE,
)
# A line that once was a marker: only hubkit writes these digests. Indented or quoted, it marks nothing.
_DAMAGED = re.compile(
    rf"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?<!--[ \t]*hubkit:"
    rf"(?:end[ \t]+{_NAME}[ \t]+sha256=|card[ \t]+(?:front-matter|sha256)=)",
    re.MULTILINE,
)
_FIRST = "<!-- hubkit:"
_BEGIN = f"\n{_FIRST}begin "
_is_name = re.compile(_NAME).fullmatch
_BEGUN = re.compile(rf"{_BEGIN}({_NAME}) -->\n")
_WHOLE = re.compile(r"<!-- hubkit:card sha256=([0-9a-f]{64})(?: template=([0-9a-f]{12}))? -->\n*\Z")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a card's body; `raw` is all of its bytes, its last line end included."""

    kind: Literal["text", "region", "card"]
    raw: str
    at: int = 0  # where it starts in the body
    name: str = ""  # of a region
    content: str = ""  # of a region: what lies between its markers; of the card's marker: what it says
    sha256: str | None = None  # as the end marker has it
    kept: bool = False

    @property
    def is_sealed(self) -> bool:
        """Whether a region is as hubkit wrote it."""
        return self.sha256 == digest(self.content) and not self.kept


@dataclass(frozen=True, slots=True)
class Parts:
    """A whole card: its front matter between `opening` and `closing`, where it has one, and its body."""

    opening: str
    yaml: str | None
    closing: str
    body: str

    @property
    def head(self) -> str:
        """All that stands before the body."""
        return self.opening + (self.yaml or "") + self.closing


def split(card: str) -> Parts:
    """The front matter and the body. Three dashes that nothing closes are the body's."""
    above = _RULE_ABOVE.match(card)
    below = _RULE_BELOW.search(card, above.end() - 1) if above else None
    if above is None or below is None:
        bom = "\ufeff" if card.startswith("\ufeff") else ""
        return Parts(bom, None, "", card[len(bom) :])
    start, end = above.end(), below.start() + 1
    return Parts(card[:start], card[start:end], card[end : below.end()], card[below.end() :])


def pieces(body: str, first_line: int = 1) -> list[Piece]:
    """The body's parts in their order. Raises CardError, with the line, for markers that do not pair."""
    found: list[Piece] = []
    at = 0
    names: set[str] = set()
    for piece in _owned(body, first_line):
        if piece.at > at:
            found.append(Piece("text", body[at : piece.at], at))
        if piece.kind == "region" and piece.name in names:
            raise _broken(body, piece.at, first_line, f'there is a second region "{piece.name}"')
        names.add(piece.name)
        found.append(piece)
        at = piece.at + len(piece.raw)
    if at < len(body):
        found.append(Piece("text", body[at:], at))
    return found


def text_of(found: list[Piece]) -> str:
    """The author's text among the pieces."""
    return "".join(piece.raw for piece in found if piece.kind == "text")


def _owned(body: str, first_line: int) -> Iterator[Piece]:
    """The regions and the card's marker."""
    markers = list(_markers(body))
    hidden = fences.of_author(body, markers)
    begun: re.Match[str] | None = None
    for marker in markers:
        if begun is None and any(start < marker.start() < end for start, end in hidden):
            continue
        if marker["what"] == "end":
            if begun is None or marker["name"] != begun["name"]:
                raise _broken(body, marker.start(), first_line, f'the end of "{marker["name"]}" has no begin')
            start, end = begun.start(), line_end(body, marker)
            inside = body[line_end(body, begun) : marker.start()]
            kept = marker["kept"] is not None
            yield Piece("region", body[start:end], start, begun["name"], inside, marker["sha256"], kept)
            begun = None
        elif begun is not None:
            raise _broken(body, begun.start(), first_line, f'the region "{begun["name"]}" has no end')
        elif marker["what"] == "begin":
            begun = marker
        else:
            raw = body[marker.start() : line_end(body, marker)]
            yield Piece("card", raw, marker.start(), content=marker["card"].strip())
    if begun is not None:
        raise _broken(body, begun.start(), first_line, f'the region "{begun["name"]}" has no end')


def _markers(body: str) -> Iterator[re.Match[str]]:
    """The marker lines, in order; finding their first characters first is several times faster."""
    at = body.find(_FIRST)
    while at >= 0:
        if found := _MARKER.match(body, at):
            yield found
        at = body.find(_FIRST, at + len(_FIRST))


def _broken(body: str, at: int, first_line: int, what: str) -> CardError:
    line = first_line + body.count("\n", 0, at)
    return CardError(
        f"hubkit's markers are broken in line {line}: {what}", "put the marker back, or take out all of it"
    )


def check_text(found: list[Piece], first_line: int = 1) -> None:
    """Raises CardError, with the line, where the author's text holds a marker that was damaged."""
    line_number = first_line
    for piece in found:
        if piece.kind == "text" and _DAMAGED.search(piece.raw):
            for number, line in enumerate(outline.lines(piece.raw), line_number):
                if not line.is_code and _DAMAGED.match(line.raw) and not _MARKER.match(line.raw):
                    raise CardError(
                        f"hubkit's markers are broken in line {number}: this one is not as hubkit wrote it",
                        "put the marker back, at the start of its line, or take out all of it",
                    )
        line_number += piece.raw.count("\n")


def region(name: str, content: str, kept: bool = False) -> str:
    """A region with its markers, sealed."""
    end = f"<!-- hubkit:end {name} sha256={digest(content)}{' kept' if kept else ''} -->"
    return f"<!-- hubkit:begin {name} -->\n{content}{end}\n"


def card_marker(front_matter: str, template: str | None = None) -> str:
    """The card's last line; `template` is the digest of one that is not hubkit's own."""
    made_by = f" template={template}" if template else ""
    return f"<!-- hubkit:card front-matter={digest(front_matter)}{made_by} -->\n"


def seal(card: str, template: str | None = None) -> str:
    """A card as the template gives it, with digests in its markers; the result ends with one newline.

    What a template writes outside of regions becomes a region of its own, `part-1` and so on. `template` is
    the text of the template that made it, when that is not hubkit's own.
    """
    parts = split(card)
    blocks = [region(name, content) for name, content in _sections(parts.body)]
    made_by = hashlib.sha256(template.encode()).hexdigest()[:12] if template is not None else None
    blocks.append(card_marker(parts.yaml or "", made_by))
    return parts.head + "\n" * bool(parts.head) + "\n".join(blocks)


def _sections(body: str) -> list[tuple[str, str]]:
    """The names and contents of the regions that are to be sealed."""
    found: dict[str, str] = {}
    before, *marked = body.split(_FIRST)
    if not before.strip(
        "\n"
    ):  # a template of regions alone, as hubkit's is: several times faster than `pieces`
        for begin, end in zip(marked[::2], marked[1::2], strict=False):
            name, _, content = begin.removeprefix("begin ").partition(" -->\n")
            if end.rstrip("\n") != f"end {name} -->" or end[-1] != "\n" or content[-1:] not in ("\n", ""):
                break
            found[name] = content
    if found and 2 * len(found) == len(marked) and all(map(_is_name, found)):
        return list(found.items())
    others = [piece for piece in pieces(body) if piece.kind == "region" or piece.raw.strip()]
    return [
        (piece.name, piece.content)
        if piece.kind == "region"
        else (f"part-{number}", "\n" + piece.raw.strip("\n") + "\n\n")
        for number, piece in enumerate(others, 1)
    ]


def is_sealed(card: str) -> bool:
    """Whether every byte of this card is hubkit's own."""
    if was_sealed_whole(card):
        return True
    parts = split(card)
    try:
        found = [piece for piece in pieces(parts.body) if piece.kind != "text" or piece.raw.strip()]
    except CardError:
        return False
    return (
        bool(found)
        and all(piece.is_sealed for piece in found[:-1])
        and found[-1].kind == "card"
        and told(found[-1], "front-matter") == digest(parts.yaml or "")
        and not parts.opening.strip("-\r\n")
    )


def was_sealed_whole(card: str) -> bool:
    """Whether this is a card of hubkit's older form, one digest over all of it, that nobody edited since."""
    card = normal(card)
    found = _WHOLE.search(card)
    return found is not None and found[1] == hashlib.sha256(_bytes(card[: found.start()])).hexdigest()


def has_own_template(card: str) -> bool:
    """Whether a card of hubkit's was made by a template other than hubkit's."""
    return " template=" in _told_last(card)


def has_own_front_matter(card: str) -> bool:
    """Whether the front matter is as hubkit alone wrote it."""
    said = _told_last(card)
    return "front-matter=" in said and f" front-matter={digest(split(card).yaml or '')}" in said


def _told_last(card: str) -> str:
    """What the last marker of a whole card says."""
    at = card.rfind("<!-- hubkit:card ")
    marker = _MARKER.match(card, at) if at >= 0 else None
    return (marker["card"] or "") if marker else ""


def names(card: str) -> list[str]:
    """The names of the regions of a card that is hubkit's alone."""
    return _BEGUN.findall(f"\n{card}")


def told(marker: Piece, key: str) -> str | None:
    """What the card's marker says of `key`."""
    return dict(part.split("=", 1) for part in marker.content.split()).get(key)


def is_touched(card: str) -> bool:
    """Whether anything of hubkit's stands in this card, a damaged marker among it."""
    return _MARKER.search(card) is not None or _DAMAGED.search(card) is not None


def is_old(found: list[Piece]) -> bool:
    """Whether these are the pieces of a card of hubkit's older form, with one digest over all of it."""
    return any(piece.kind == "card" and told(piece, "sha256") for piece in found)


def normal(text: str) -> str:
    """The text with LF line ends."""
    return text.replace("\r\n", "\n") if "\r" in text else text


def digest(text: str) -> str:
    """Sixteen hex digits of the SHA-256 of a text, whatever its line ends."""
    return hashlib.sha256(_bytes(normal(text))).hexdigest()[:16]


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def on_disk(directory: Path) -> str | None:
    """The card that lies in the directory, if there is one. Bytes that are no UTF-8 are kept apart."""
    path = directory / CARD_NAME
    try:
        content = files.read(path, LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CardError(
            f"cannot read {path}: {error.strerror or error}", "look at what lies there"
        ) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes
        raise CardError(f"{path} is UTF-16 text", "save it as UTF-8")
    return content.decode("utf-8", errors="surrogateescape")
