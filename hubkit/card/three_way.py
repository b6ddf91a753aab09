"""Three versions of a text that grew out of one: what each side changed since, joined, line by line.

Where only one side changed something, its change is taken; where both made the same change, it is made once.
Where both changed the same place, each its own way, that is a conflict, and somebody has to decide. Pure, and
of any items that can be compared: a line, or a whole region of a card that is to be moved as one.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item", bound=Hashable)
Side = Literal["both", "ours", "theirs", "conflict"]  # who changed it; "both" also stands for nobody
MOST_PAIRS = (
    2_000_000  # of equal lines that are looked at: beyond, a text of one line many times takes minutes
)


@dataclass(frozen=True, slots=True)
class Stretch(Generic[Item]):
    """A stretch of the three versions, and who changed it."""

    side: Side
    base: Sequence[Item]
    ours: Sequence[Item]
    theirs: Sequence[Item]
    at: int = 0  # where it begins in ours
    at_theirs: int = 0  # and in theirs

    @property
    def merged(self) -> Sequence[Item]:
        """What stands there now; ours where there is a conflict."""
        return self.theirs if self.side == "theirs" else self.ours


def merge(base: Sequence[Item], ours: Sequence[Item], theirs: Sequence[Item]) -> list[Stretch[Item]]:
    """The three versions in stretches, in order; joined, each side's are that side again."""
    found: list[Stretch[Item]] = []
    at = at_ours = at_theirs = 0
    for start, our_start, their_start, size in [
        *_shared(_blocks(base, ours), _blocks(base, theirs)),
        (len(base), len(ours), len(theirs), 0),
    ]:
        if (at, at_ours, at_theirs) != (start, our_start, their_start):
            found.append(
                _changed(
                    base[at:start],
                    ours[at_ours:our_start],
                    theirs[at_theirs:their_start],
                    at_ours,
                    at_theirs,
                )
            )
        at, at_ours, at_theirs = start + size, our_start + size, their_start + size
        if size:
            same = base[start:at]
            found.append(Stretch("both", same, same, same, our_start, their_start))
    return found


def _changed(
    base: Sequence[Item], ours: Sequence[Item], theirs: Sequence[Item], at: int, at_theirs: int
) -> Stretch[Item]:
    side: Side = (
        "both" if ours == theirs else "theirs" if ours == base else "ours" if theirs == base else "conflict"
    )
    return Stretch(side, base, ours, theirs, at, at_theirs)


Block = tuple[int, int, int]  # where it starts in the base, where in the other, how many items


def _shared(ours: list[Block], theirs: list[Block]) -> list[tuple[int, int, int, int]]:
    """The stretches of the base that both sides still have, with where they have them."""
    found = []
    mine, other = 0, 0
    while mine < len(ours) and other < len(theirs):
        (start, our_start, size), (their_base, their_start, their_size) = ours[mine], theirs[other]
        first, last = max(start, their_base), min(start + size, their_base + their_size)
        if first < last:
            found.append((first, our_start + first - start, their_start + first - their_base, last - first))
        if start + size <= their_base + their_size:
            mine += 1
        else:
            other += 1
    return found


def _blocks(base: Sequence[Item], other: Sequence[Item]) -> list[Block]:
    """What a side left of the base: its ends, and in between what difflib finds."""
    first = 0
    while first < min(len(base), len(other)) and base[first] == other[first]:
        first += 1
    last = 0
    while last < min(len(base), len(other)) - first and base[-1 - last] == other[-1 - last]:
        last += 1
    inner, inner_other = base[first : len(base) - last], other[first : len(other) - last]
    found: list[Block] = [(0, 0, first)] if first else []
    if inner and inner_other and _pairs(inner, inner_other) <= MOST_PAIRS:
        matcher = difflib.SequenceMatcher(None, inner, inner_other, autojunk=False)
        found += [(first + a, first + b, size) for a, b, size in matcher.get_matching_blocks() if size]
    if last:
        found.append((len(base) - last, len(other) - last, last))
    return found


def _pairs(base: Sequence[Item], other: Sequence[Item]) -> int:
    """How many pairs of equal items there are, which is what difflib's time goes by."""
    counts = Counter(other)
    return sum(number * counts[item] for item, number in Counter(base).items())
