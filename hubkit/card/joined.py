"""A card that was edited in two places since it was published: on the Hub and here, joined into one.

`base` is the card as it was published, `theirs` the one on the Hub, `ours` the one here. The author's text is
joined line by line (three_way.py), the front matter key by key (joined_metadata.py). A region that was edited
on the Hub is kept as it was edited there, one that was taken out there stays out; else ours is the newer.
What both changed, each its own way, is a clash, and nothing is decided for anybody.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubkit.card import joined_metadata, outline, regions, three_way
from hubkit.card.body import as_kept
from hubkit.card.merge import newline_of
from hubkit.card.regions import Piece

CARD_END = ("card", "")  # the item that stands for the card's marker
Item = str | tuple[str, str]  # a line of the author's, or what stands for a region


@dataclass(frozen=True, slots=True)
class Clash:
    """What both sides changed, each its own way; `line` is ours in README.md."""

    what: str
    line: int | None = None
    here: str = field(default="", compare=False)  # the first line that differs
    there: str = field(default="", compare=False)


@dataclass(slots=True)
class Joined:
    """A joined card. While there are clashes it must not be written. `taken` are theirs that ours now has."""

    text: str
    taken: list[str] = field(default_factory=list)
    clashes: list[Clash] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Body:
    """The body of one version: its pieces as items, where each stands, and its regions by name."""

    text: str
    items: list[Item]
    starts: list[int]  # of the items, in the text
    regions: Mapping[str, Piece]
    end: Piece | None  # the card's marker

    def heading(self, at: int) -> str:
        """The heading that an item stands under, or is."""
        place = self.starts[at] if at < len(self.starts) else len(self.text)
        lines = outline.lines(self.text)
        starts = _starts([line.raw for line in lines])
        titles = [
            (0, ""),
            *((start, line.title) for start, line in zip(starts, lines, strict=True) if line.level),
        ]
        return titles[bisect_right(titles, place, key=lambda found: found[0]) - 1][1]

    def line(self, at: int) -> int:
        """The line of an item in the body, from 0."""
        return self.text.count("\n", 0, self.starts[at] if at < len(self.starts) else len(self.text))


def join(base: str, ours: str, theirs: str, mine: Mapping[str, Any] | None = None) -> Joined:
    """Join the three. `mine` is the metadata that hubkit wrote into ours: there, the author's word wins.

    Raises CardError where the markers or the front matter of one of them cannot be read.
    """
    newline = newline_of(ours)
    b, o, t = (regions.split(regions.normal(card)) for card in (base, ours, theirs))
    head = joined_metadata.join(b, o, t, mine or {})
    made = Joined("", list(head.taken), [Clash(what) for what in head.clashes])
    body = _join_bodies(made, _body(b.body), _body(o.body), _body(t.body), 1 + o.head.count("\n"))
    made.text = (head.text + body).replace("\n", newline)
    made.taken = list(dict.fromkeys(made.taken))
    return made


def _body(text: str) -> _Body:
    found = regions.pieces(text)
    regions.check_text(found)
    items: list[Item] = []
    raws: list[str] = []
    for piece in found:
        parts = piece.raw.splitlines(keepends=True) if piece.kind == "text" else [piece.raw]
        raws += parts
        items += parts if piece.kind == "text" else [(piece.kind, piece.name)]
    named = {piece.name: piece for piece in found if piece.kind == "region"}
    end = next((piece for piece in found if piece.kind == "card"), None)
    return _Body(text, items, _starts(raws), named, end)


def _starts(raws: Sequence[str]) -> list[int]:
    return [0, *itertools.accumulate(len(raw) for raw in raws)][: len(raws)]


def _join_bodies(made: Joined, base: _Body, ours: _Body, theirs: _Body, first_line: int) -> str:
    edited, edited_here = _edited(base, theirs), _edited(base, ours)
    found = three_way.merge(
        base.items,
        _marked(ours, edited_here, theirs),
        _marked(theirs, edited, ours),
    )
    merged: list[str] = []
    names: set[str] = set()
    for stretch in found:
        if stretch.side == "conflict":
            made.clashes.append(_clash(stretch, ours, first_line))
        elif stretch.side == "theirs":
            made.taken += _taken(stretch, theirs)
        for item in stretch.merged:
            if isinstance(item, str):
                merged.append(item)
                continue
            kind, name = item[0], item[1].partition("\n")[0]
            if kind == "card":
                merged += [ours.end.raw] if ours.end else []
            elif name in names:
                made.clashes.append(Clash(f'region "{name}", which was moved'))
            else:
                names.add(name)
                merged.append(_region(made, name, ours, theirs, edited, edited_here))
    if ours.end and CARD_END not in [item for stretch in found for item in stretch.merged]:
        merged.append(ours.end.raw)
    return _ended(merged)


def _clash(stretch: three_way.Stretch[Item], ours: _Body, first_line: int) -> Clash:
    """Where two sides went different ways: what both added in the same way before that is none of it."""
    mine, other = list(stretch.ours), list(stretch.theirs)
    same = 0
    while same < min(len(mine), len(other)) and mine[same] == other[same]:
        same += 1
    mine, other = mine[same:], other[same:]
    blank = next((at for at, item in enumerate(mine) if not (isinstance(item, str) and not item.strip())), 0)
    at = stretch.at + same + blank
    what = _what(mine, other) or _lines_under(ours.heading(at))
    return Clash(what, first_line + ours.line(at), _first_line(mine), _first_line(other))


def _first_line(items: Sequence[Item]) -> str:
    return next((item.strip() for item in items if isinstance(item, str) and item.strip()), "")


def _edited(base: _Body, side: _Body) -> set[str]:
    """The regions whose text a side's author changed since."""
    return {
        name
        for name, piece in side.regions.items()
        if not piece.is_sealed and (name not in base.regions or base.regions[name].content != piece.content)
    }


def _marked(side: _Body, edited: set[str], other: _Body) -> list[Item]:
    """The items of a side; a region that it edited is another item where the other side took it out."""
    return [
        (item[0], f"{item[1]}\n{side.regions[item[1]].content}")
        if isinstance(item, tuple) and item[1] in edited and item[1] not in other.regions
        else item
        for item in side.items
    ]


def _region(
    made: Joined, name: str, ours: _Body, theirs: _Body, edited: set[str], edited_here: set[str]
) -> str:
    """A region of the joined card, as the side has it whose word it is."""
    mine, other = ours.regions.get(name), theirs.regions.get(name)
    if mine is None and other is not None:
        return as_kept(other).raw if name in edited else other.raw
    assert mine is not None
    if other is None or name not in edited or other.content == mine.content:
        return mine.raw
    if name in edited_here:
        made.clashes.append(Clash(f'region "{name}"'))
        return mine.raw
    made.taken.append(f'region "{name}"')
    return as_kept(other).raw


def _taken(stretch: three_way.Stretch[Item], theirs: _Body) -> list[str]:
    """What a person calls the change that was made there."""
    was, now = _names(stretch.base), _names(stretch.theirs)
    named = [f'region "{name}" taken out' for name in was if name not in now]
    named += [f'region "{name}"' for name in now if name not in was]
    changed = [item for item in [*stretch.base, *stretch.theirs] if isinstance(item, str) and item.strip()]
    return named + ([_lines_under(theirs.heading(stretch.at_theirs))] if changed or not named else [])


def _names(items: Sequence[Item]) -> list[str]:
    return [item[1].partition("\n")[0] for item in items if isinstance(item, tuple) and item != CARD_END]


def _what(ours: Sequence[Item], theirs: Sequence[Item]) -> str:
    """The region that two sides changed, where no lines of text are among it."""
    names = [name for name in [*_names(ours), *_names(theirs)] if name]
    text = any(isinstance(item, str) and item.strip() for item in [*ours, *theirs])
    return f'region "{names[0]}"' if names and not text else ""


def _lines_under(title: str) -> str:
    return f"lines under '{title}'" if title else "lines at the top"


def _ended(parts: list[str]) -> str:
    """The parts as one text: a part that was the last of its side, without a line end, gets one."""
    return "".join(
        part if part.endswith("\n") or at == len(parts) - 1 or not part else f"{part}\n"
        for at, part in enumerate(parts)
    )
