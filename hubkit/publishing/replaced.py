"""Whether the card on the Hub is still the published one, edited; and what a joined card lacks of ours.

A card that somebody wrote in its place shares little with it: taken as edits, it would empty the card here.
"""

from __future__ import annotations

from collections import Counter

from hubkit.card import regions

SHORTEST = 5  # parts: of a card of two lines, one edit can be most of it
FEWEST = 0.5  # of what was published: who left less of it wrote another card


def is_another(base: str, theirs: str) -> bool:
    """Whether this is no longer the card that was published: no marker of hubkit's is left, or most is gone.

    Raises CardError where the markers of one of them are broken.
    """
    if regions.is_touched(base) and not regions.is_touched(theirs):
        return True
    was, now = _parts(base), _parts(theirs)
    return was.total() >= SHORTEST and (was & now).total() < FEWEST * was.total()


def is_taken_over(base: str, ours: str, theirs: str) -> bool:
    """Whether the card here has all that is new there, so that its author has seen the other one."""
    new = _lines(theirs) - _lines(base)
    return bool(new) and not new - _lines(ours)


def takes_out(ours: str, joined: str) -> bool:
    """Whether lines of the card here are not in the joined one: changed there, or gone."""
    return bool(_lines(ours) - _lines(joined))


def _parts(card: str) -> Counter[str]:
    """What a card is made of: the author's lines, and hubkit's regions whatever they say."""
    found: Counter[str] = Counter()
    for piece in regions.pieces(regions.split(regions.normal(card)).body):
        if piece.kind == "region":
            found[f"region {piece.name}"] += 1
        elif piece.kind == "text":
            found += _lines(piece.raw)
    return found


def _lines(text: str) -> Counter[str]:
    return Counter(line.strip() for line in text.splitlines() if line.strip())
