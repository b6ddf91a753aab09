"""Pseudo-perplexity of masked models: each token of the text hidden in turn, all others seen.

exp of the mean of -log P(token | its block without it), in nats: the pseudo-log-likelihood of Salazar, Liang,
Nguyen and Kirchhoff 2020 (Masked Language Model Scoring, arXiv:1910.14659). Blocks are those of masked
perplexity, [CLS] tokens [SEP], of at most `context` tokens. Unlike perplexity under a fixed mask it depends
on no seed and hides one token at a time, so the two are not comparable; and it costs a forward row for each
token, which is foretold: the rows before it begins, the time from its first batches.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hubkit.errors import MeasureError
from hubkit.measures.scoring import Score
from hubkit.measures.windows import IGNORE, Special, Stream, Window, blocks

TIMED = 5  # batches that the time is estimated from, set against one; one before that is not counted
AT_ONCE = 2048  # rows that exist at the same time


@dataclass(frozen=True, eq=False)
class Rows:
    """One window for each hidden token, made as they are needed: the first `limit` tokens, None for all.

    Blocks are cut before the limit, so that the last hidden token sees its whole block.
    """

    streams: list[Stream]
    special: Special
    context: int
    limit: int | None = None

    def __len__(self) -> int:
        """How many forward rows: the tokens to hide."""
        there = sum(len(stream.ids) for stream in self.streams)
        return there if self.limit is None else min(there, self.limit)

    @property
    def tokens(self) -> int:
        """Tokens that the model is handed in all rows together: what the time grows with."""
        return sum(hidden * (len(piece) + 2) for piece, _, hidden in self._blocks())

    def _blocks(self) -> Iterator[tuple[Any, Any, int]]:
        """Each piece, what it is of, and how many of its tokens are to be hidden."""
        left = len(self)
        for stream in self.streams:
            for piece, owners in blocks(stream, self.context):
                if left <= 0:
                    return
                hidden = min(left, len(piece))
                left -= hidden
                yield piece, owners, hidden

    def __iter__(self) -> Iterator[Window]:
        """A window for each token, in the order of the text."""
        import numpy

        for piece, owners, hidden in self._blocks():
            whole = self.special.around(piece)
            for at in range(1, hidden + 1):
                inputs, targets = whole.copy(), numpy.full_like(whole, IGNORE)
                inputs[at], targets[at] = self.special.mask, whole[at]
                yield Window(inputs, targets, owners)


def score(
    rows: Rows, batch_size: int, score_part: Callable[[list[Window]], Score], say: Callable[[str], None]
) -> Score:
    """The sums over all rows; `score_part` scores some windows. Says how long it will take, when it knows.

    Raises MeasureError without a token.
    """
    waiting, left = iter(rows), rows.tokens
    timed: list[tuple[float, int]] = []  # seconds and tokens of each part
    whole: Score | None = None
    for size in _sizes(batch_size):
        part = list(islice(waiting, size))
        if not part:
            break
        begun = time.monotonic()
        scored = score_part(part)
        timed.append((time.monotonic() - begun, sum(len(window.inputs) for window in part)))
        left -= timed[-1][1]
        if len(timed) == 3 and left:
            say(f"{_duration(left * per_token(timed[1], timed[2]))} to go")
        whole = scored if whole is None else added(whole, scored)
    if whole is None:
        raise MeasureError("there is no token to score", "give more evaluation text")
    return whole


def _sizes(batch_size: int) -> Iterator[int]:
    """Rows to score at a time, in whole batches: one that warms up, some that are timed, then many."""
    yield batch_size
    yield batch_size
    yield TIMED * batch_size
    while True:
        yield max(1, AT_ONCE // batch_size) * batch_size


def per_token(small: tuple[float, int], large: tuple[float, int]) -> float:
    """Seconds a token, from the seconds and tokens of two parts; what a part costs by itself is left out."""
    more, tokens = large[0] - small[0], large[1] - small[1]
    return more / tokens if more > 0 and tokens > 0 else large[0] / large[1]


def added(one: Score, other: Score) -> Score:
    """The sums of both, by document; each part has timed its kernels by itself, and all are named."""
    named = sorted({name for part in (one, other) for name in (part.kernels or "torch's own").split("; ")})
    return dataclasses.replace(
        other,
        kernels=None if named == ["torch's own"] else "; ".join(named),
        nll_by_document=one.nll_by_document + other.nll_by_document,
        tokens_by_document=one.tokens_by_document + other.tokens_by_document,
    )


def _duration(seconds: float) -> str:
    """In words, as an estimate."""
    if seconds < 90:
        return f"about {max(1, round(seconds)):,} s"
    minutes = seconds / 60
    return f"about {minutes:,.0f} minutes" if minutes < 120 else f"about {minutes / 60:,.1f} hours"
