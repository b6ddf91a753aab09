"""The card that hubkit would write now, line by line beside the one that is there: within hubkit's regions
only.

A region whose digest is right and whose text differs was true of another record or other weights; one whose
digest is wrong was edited by hand. Cards of another template, of another version of hubkit, and those of
the Hub (the author's fragments are not pushed) cannot be written again here: of them only the digests are
checked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import yaml

from hubkit import __version__
from hubkit.audit.findings import Severity
from hubkit.audit.subject import Subject
from hubkit.card import facts, regions, words, writing
from hubkit.card.render import render
from hubkit.errors import HubkitError
from hubkit.record import Written

How = Literal["edited", "outdated"]
MOSTLY = 0.7  # of the lines are hubkit's: then the card is
ALIKE = 0.6  # two lines that say the same thing, one of them wrongly
_MARKERS = re.compile(r"^<!-- hubkit:.*-->\n?", re.MULTILINE)
_MADE_BY = re.compile(r"\*Made by hubkit (\S+) from (`hubkit\.json`)?")


@dataclass(frozen=True)
class Difference:
    """Lines of a region that are not what hubkit would write."""

    region: str
    how: How
    line: int
    says: str
    instead: str | None  # None: it cannot be written again here


def is_hubkits(subject: Subject) -> bool:
    """Whether hubkit wrote the card, also where somebody took out its markers."""
    text = subject.document.text
    made_by = _MADE_BY.search(text)
    return regions.is_touched(text) or (
        made_by is not None and (made_by[2] is None or subject.record is not None)
    )


def lack(subject: Subject) -> Severity | None:
    """How bad it is that a card says nothing of a fact: on hubkit's own, which says what is known, a note."""
    return "note" if is_hubkits(subject) else None


def written_last(subject: Subject) -> Written | None:
    """What hubkit wrote last, where the record tells it."""
    written = subject.record.written if subject.record else None
    return written if written and written.regions else None


def newer_version(subject: Subject) -> tuple[int, str] | None:
    """The line and the version, where the card says that a newer hubkit than this one wrote it."""
    for number, line in subject.document.prose:
        made_by = _MADE_BY.search(line)
        if made_by and _numbers(made_by[1]) > _numbers(__version__):
            return number, made_by[1]
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,6}", version)[:4])


def card_now(subject: Subject) -> str | None:
    """The card that hubkit would write now; None where that cannot be told."""
    kept = subject.document.kept
    if "card now" not in kept:
        kept["card now"] = _card_now(subject)
    now: str | None = kept["card now"]
    return now


def _card_now(subject: Subject) -> str | None:
    text = subject.document.text
    made_by = _MADE_BY.search(text)
    if subject.adapter is None or subject.remote or subject.record_problem or subject.directory is None:
        return None
    if regions.has_own_template(text) or made_by is None or made_by[1] != __version__:
        return None
    try:
        known = facts.gather(subject.directory, adapter=subject.adapter)
        if written := written_last(subject):  # then the card's text agrees with the author's front matter
            known = replace(known, author=words.with_front_matter(known.author, text, written, ()))
        return render(writing.knowing_code(known, text))
    except HubkitError:
        return None


def metadata_now(card: str) -> dict[str, Any]:
    """The metadata of a card that hubkit wrote."""
    plain = yaml.safe_load(regions.split(card).yaml or "{}")
    return plain if isinstance(plain, dict) else {}


def differences(subject: Subject) -> Iterator[Difference]:
    """What differs inside hubkit's regions, in the order of the lines."""
    text = subject.document.text
    if not regions.is_touched(text):
        yield from _without_markers(subject)
        return
    parts = regions.split(text)
    above = text.count("\n", 0, len(text) - len(parts.body))
    try:
        present = regions.pieces(parts.body, above + 1)
    except HubkitError:
        return  # another rule says that the markers are broken
    now = card_now(subject)
    wanted = {piece.name: piece.content for piece in regions.pieces(regions.split(now).body)} if now else {}
    for piece in present:
        if piece.kind != "region" or piece.kept or piece.sha256 is None:
            continue
        sealed = piece.sha256 == regions.digest(piece.content)
        first = above + parts.body.count("\n", 0, piece.at) + 2  # below the marker
        if piece.name in wanted:
            yield from _lines(piece, wanted[piece.name], first, "outdated" if sealed else "edited")
        elif not sealed:
            yield Difference(piece.name, "edited", first - 1, f"region {piece.name!r}", None)


def _without_markers(subject: Subject) -> Iterator[Difference]:
    """What differs on a card of hubkit's whose markers somebody took out: lines that are much like hubkit's.

    What is not like any line of hubkit's there is the author's.
    """
    now = card_now(subject) if is_hubkits(subject) else None
    if now is None:
        return
    text = subject.document.text
    body = regions.split(text).body
    above = text.count("\n", 0, len(text) - len(body))
    has = [(above + i, line) for i, line in enumerate(body.split("\n"), 1) if line.strip()]
    should = [line for line in _MARKERS.sub("", regions.split(now).body).split("\n") if line.strip()]
    matcher = _matcher([line for _, line in has], should)
    if matcher.ratio() < MOSTLY:
        return
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag != "replace":
            continue
        for number, says in has[i1:i2]:
            alike, near = max(((_alike(says, line), line) for line in should[j1:j2]), default=(0.0, ""))
            if alike >= ALIKE:
                yield Difference("", "outdated", number, says, near)


def _alike(one: str, other: str) -> float:
    """How far two lines are the same, from 0 to 1; rows of a table are where all cells but one are equal."""
    if one[:1] == other[:1] == "|":
        ours, theirs = ([cell.strip() for cell in line.strip("|").split("|")] for line in (one, other))
        if len(ours) == len(theirs) and sum(map(str.__ne__, ours, theirs)) < 2:
            return 1.0
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _matcher(has: list[str], should: list[str]) -> difflib.SequenceMatcher[str]:
    """The lines beside each other; how wide the columns of a table are makes no difference."""
    return difflib.SequenceMatcher(None, [*map(_said, has)], [*map(_said, should)], autojunk=False)


def _said(line: str) -> str:
    return re.sub(r" +|-{3,}", lambda found: found[0][:3].strip() or " ", line) if line[:1] == "|" else line


def _lines(piece: regions.Piece, wanted: str, first: int, how: How) -> Iterator[Difference]:
    """The lines of a region that are not as they should be."""
    has, should = piece.content.split("\n"), wanted.split("\n")
    if has == should:
        return
    for tag, i1, i2, j1, j2 in _matcher(has, should).get_opcodes():
        if tag == "equal":
            continue
        pairs = max(i2 - i1, 1)
        for offset in range(pairs):
            says = has[i1 + offset] if i1 + offset < i2 else ""
            last = offset == pairs - 1
            instead = should[j1 + offset : j2 if last else j1 + offset + 1]
            if says.strip() or any(line.strip() for line in instead):
                yield Difference(
                    piece.name, how, first + min(i1 + offset, len(has) - 1), says, "\n".join(instead)
                )
