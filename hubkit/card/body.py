"""The body of a card in the making: hubkit's regions renewed, taken out, put in between the author's text."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from hubkit.card import regions
from hubkit.card.regions import Piece

EVERY = "*"  # in `keep`: all edited regions


@dataclass(frozen=True, slots=True)
class Edited:
    """A region that somebody edited by hand, and how it differs from what hubkit would write."""

    name: str
    line: int
    diff: str


class Body:
    """The new body. `kept`, `conflicts` and `lost` tell what became of edited regions."""

    def __init__(self, ours: list[Piece], newline: str, keep: Collection[str], force: bool) -> None:
        self.ours = ours  # the regions as rendered, and the card's marker
        self.newline = newline
        self.kept: list[str] = []
        self.conflicts: list[Edited] = []
        self.lost = False
        self._keep = keep
        self._force = force
        self._done: list[Piece] = []
        self._new = {piece.name: piece for piece in ours}

    @property
    def text(self) -> str:
        """The whole body, its marker included."""
        return "".join(piece.raw for piece in self._done)

    def has(self, name: str) -> bool:
        """Whether a region stands in the new body."""
        return any(piece.name == name for piece in self._done if piece.kind == "region")

    def replace(self, theirs: list[Piece], first_line: int = 1) -> None:
        """Take over the pieces of the card that is there, hubkit's in their new form."""
        line = first_line
        gone: list[int] = []
        for place, piece in enumerate(theirs):
            new = self._renewed(piece, line) if piece.kind == "region" else piece
            if piece.kind == "card":
                first = all(before.kind != "card" for before in self._done)
                new = self._written_like(piece, self.ours[-1].raw, self.ours[-1]) if first else None
            gone += [place] if new is None else []
            self._done.append(new or piece)
            line += piece.raw.count("\n")
        for place in reversed(gone):
            self._take_out(place)
        if all(piece.kind != "card" for piece in self._done):
            at = max(
                (n for n, piece in enumerate(self._done) if piece.kind == "region"),
                default=len(self._done) - 1,
            )
            self._put(at, self.ours[-1])

    def insert(self, names: list[str]) -> None:
        """Put in regions, each behind the nearest that goes before it, else before the nearest behind it."""
        order = [piece.name for piece in self.ours]
        for name in names:
            place = order.index(name)
            there = {piece.name: n for n, piece in enumerate(self._done) if piece.kind == "region"}
            before = [there[other] for other in order[:place] if other in there]
            behind = [there[other] for other in order[place:] if other in there]
            marker = next(n for n, piece in enumerate(self._done) if piece.kind == "card")
            if before:
                self._put(before[-1], self._new[name])
            else:
                at = min([*behind[:1], marker] if not behind else behind[:1])
                blank = Piece("text", self.newline)
                self._done[at:at] = [self._with_newline(self._new[name]), blank]

    def _renewed(self, piece: Piece, line: int) -> Piece | None:
        """A region as it will stand there; None where it goes."""
        new = self._new.get(piece.name)
        if piece.kept and not self._force:
            self.kept.append(piece.name)
            return piece
        if new and regions.normal(piece.content) == new.content:
            return piece if piece.is_sealed else self._written_like(piece, new.raw, new)
        if not piece.is_sealed and not self._force:
            if EVERY in self._keep or piece.name in self._keep:
                self.kept.append(piece.name)
                return as_kept(piece)
            self.conflicts.append(Edited(piece.name, line, _diff(piece, new)))
            return piece
        self.lost = self.lost or not piece.is_sealed
        return self._written_like(piece, new.raw, new) if new else None

    def _written_like(self, old: Piece, raw: str, new: Piece) -> Piece:
        """`raw` with the line ends of the old piece, and like it without one at its end."""
        if regions.normal(old.raw) == raw:
            return old
        raw = raw if old.raw.endswith("\n") else raw.removesuffix("\n")
        end = old.raw.find("\n")
        newline = self.newline if end < 0 else "\r\n" if old.raw[end - 1] == "\r" else "\n"
        return Piece(new.kind, raw.replace("\n", newline), name=new.name)

    def _with_newline(self, piece: Piece) -> Piece:
        return Piece(piece.kind, piece.raw.replace("\n", self.newline), name=piece.name)

    def _put(self, at: int, piece: Piece) -> None:
        """Put a piece behind the one at `at`, with a blank line between."""
        ends = at < 0 or self._done[at].raw.endswith("\n")
        blank = Piece("text", self.newline * (1 if ends else 2) if self._done else "")
        self._done[at + 1 : at + 1] = [blank, self._with_newline(piece)]

    def _take_out(self, place: int) -> None:
        """Take out a piece, and one of the two blank lines that hubkit had put around it."""
        done = self._done
        for blank, beyond in ((place - 1, place - 2), (place + 1, place + 2)):
            ours = 0 <= beyond < len(done) and done[beyond].kind != "text"
            ours = ours or (beyond == -1 and bool(done[place + 1 :]) and done[place + 1].raw[:1] in "\r\n")
            if ours and done[blank].raw in ("\n", "\r\n"):
                del done[max(blank, place)], done[min(blank, place)]
                return
        del done[place]


def as_kept(piece: Piece) -> Piece:
    """An edited region as it is, with a new end marker."""
    start = piece.raw.rindex("<!-- hubkit:end ")
    marker = regions.region(piece.name, piece.content, kept=True).splitlines()[-1]
    line_end = piece.raw[len(piece.raw.rstrip("\r\n")) :]
    return Piece("region", piece.raw[:start] + marker + line_end, name=piece.name)


def _diff(piece: Piece, new: Piece | None) -> str:
    """The edit as a unified diff, from hubkit's text to what stands there."""
    ours = new.content.splitlines() if new else []
    theirs = regions.normal(piece.content).splitlines()
    names = (f"{piece.name}, as hubkit writes it", f"{piece.name}, in README.md")
    return "\n".join(difflib.unified_diff(ours, theirs, *names, lineterm=""))
