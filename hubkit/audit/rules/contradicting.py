"""HK409: intervals, quartiles and percentiles on a card, against the values that they are of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from hubkit.audit import labels, matrices, values
from hubkit.audit.findings import Fault
from hubkit.audit.parts import Row, Table
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject
from hubkit.audit.values import Number

_DIGITS = r"[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
_RANGE = re.compile(rf"^\[?\(?({_DIGITS})\s*%?\s*(?:to|–|—|\.\.|,|;)\s*({_DIGITS})\s*%?\)?\]?$")
_INTERVAL = re.compile(r"\b\d\d(?:\.\d+)?\s?% (?:confidence |bootstrap )?(?:interval|ci)\b", re.IGNORECASE)
_IN_BRACKETS = re.compile(
    rf"(?P<value>{_DIGITS})\**\s*\(\d\d(?:\.\d+)?\s?% (?:confidence |bootstrap )?(?:interval|ci)[:,]?\s*\[?"
    rf"(?P<low>{_DIGITS})\s*(?:to|–|—|-|,)\s*(?P<high>{_DIGITS})",
    re.IGNORECASE,
)
_PERPLEXITY = re.compile(r"perplexity|\bppl\b", re.IGNORECASE)
_DIFFERENCE = re.compile(
    r"\b(?:change|delta|difference|gain|improvement|reduction|base|vs)\b|Δ|%", re.IGNORECASE
)
_PLAIN_WORDS = frozenset("of the a for over by bootstrap bootstrapped percentile documents value".split())
_COUNTS = re.compile(r"^#|\b(?:runs?|n|counts?|documents|repeats|seeds?|trials|batch)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?;]\s")
_QUARTILES = re.compile(r"\b(?:inter)?quartiles?(?: range)?\b|\biqr\b", re.IGNORECASE)
_PERCENTILE = re.compile(r"\bp(50|90|95|99)\b", re.IGNORECASE)
_TIME = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*(µs|us|ms|s|min)\b")
_SECONDS = {"µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
MOST_ROWS = 500  # of a table that is looked at


@rule("HK409", "error", title="Numbers beside each other that contradict each other")
def contradicting(subject: Subject) -> Iterator[Fault]:
    """A value lies in its own interval, a median between its quartiles, and p50 is not above p95. Bits per
    byte are log2 of the byte perplexity. Accuracy and F1 are what the confusion matrix beside them makes
    them, and the F1 of a class is the harmonic mean of its precision and its recall.

    Bad:

        ## Results on the held-out text

        |              | Value          |
        | ------------ | -------------- |
        | Perplexity   | 15.06          |
        | 95% interval | 16.20 to 17.10 |

    Good:

        ## Results on the held-out text

        |              | Value          |
        | ------------ | -------------- |
        | Perplexity   | 15.06          |
        | 95% interval | 14.56 to 15.60 |
    """
    for table in subject.document.tables:
        if len(table.rows) <= MOST_ROWS:
            yield from _intervals_below(table)
            yield from _across(table)
            yield from _changes(table)
            yield from _bytes_beside(table)
            yield from _parts(table)
    yield from _bytes(subject)
    for line, says, right, by in matrices.contradictions(subject.document):
        mend = "measure again: hubkit measure"
        yield found(line, f"By {by} it is {right}.", says=says, instead=right, mend=mend)
    for line, text in subject.document.prose:
        for said in _IN_BRACKETS.finditer(text):
            before = _SENTENCE_END.split(text[: said.end("value")])[-1]
            interval = f"{said['low']} to {said['high']}"
            yield from _outside(line, [*_differences(before), said["value"]], interval, "interval")


def _intervals_below(table: Table) -> Iterator[Fault]:
    """Each interval in a row of its own, against the values above it: the next one, where that is named."""
    first = 0
    for at, row in enumerate(table.rows):
        if not row.cells or not _INTERVAL.search(row.cells[0]):
            continue
        above: Sequence[Row] = table.rows[first:at]
        above = _named(row.cells[0], above)
        for column, interval in list(enumerate(row.cells))[1:]:
            beside = [one.cells[column] for one in above if column < len(one.cells)]
            yield from _outside(row.line, beside, interval, "interval")
        first = at + 1


def _named(label: str, above: Sequence[Row]) -> Sequence[Row]:
    """Of the rows above an interval, those that it is of: by the words of its label, where it has some."""
    words = set(re.findall(r"[^\W\d_]+", _INTERVAL.sub(" ", label).lower())) - _PLAIN_WORDS
    if words:
        return [row for row in above if words & set(re.findall(r"[^\W\d_]+", row.cells[0].lower()))]
    last = above[-1].cells[0] if above else ""
    return above[-1:] if _PERPLEXITY.search(last) and not _DIFFERENCE.search(last) else above


def _across(table: Table) -> Iterator[Fault]:
    """Medians beside their quartiles, values beside their intervals, percentiles beside higher ones."""
    head = table.header.cells
    for at, name in enumerate(head):
        if at and (_QUARTILES.search(name) or _INTERVAL.search(name)):
            what = "quartiles" if _QUARTILES.search(name) else "interval"
            for row in table.rows:
                if at < len(row.cells):
                    later = zip(head[at + 1 :], row.cells[at + 1 :], strict=False)
                    after = [cell for name, cell in later if not _COUNTS.search(name)]
                    yield from _outside(row.line, [*after, *row.cells[1:at]], row.cells[at], what)
    for row in table.rows:
        yield from _percentiles(head, row)


def _percentiles(head: tuple[str, ...], row: Row) -> Iterator[Fault]:
    """p50, p95, ... in one cell or in cells side by side, each of which is at least the one before."""
    known: list[tuple[int, float, str]] = []
    of = ""  # what they are percentiles of
    for name, cell in zip(head, row.cells, strict=False):
        ranks = [int(rank) for rank in _PERCENTILE.findall(name)]
        times = [
            (float(n.replace(",", "")) * _SECONDS[unit], f"{n} {unit}") for n, unit in _TIME.findall(cell)
        ]
        if not ranks or len(ranks) != len(times):
            known = []
            continue
        before, of = of, " ".join(_PERCENTILE.sub(" ", name).lower().split())
        if before and of and before != of:
            known = []
        known += [(rank, seconds, said) for rank, (seconds, said) in zip(ranks, times, strict=True)]
        for (low, one, said), (high, other, more) in pairwise(known):
            if low < high and one > other:
                yield found(
                    row.line, f"p{low} is above p{high}.", says=f"{said} and {more}",
                    mend="measure again: hubkit measure",
                )  # fmt: skip
        if len(ranks) > 1:
            known = []


def _outside(line: int, beside: Sequence[str], interval: str, what: str) -> Iterator[Fault]:
    """An interval that holds none of the values beside it, or ends before it begins."""
    ends = _RANGE.match(values.plain(_without_unit(interval)))
    low, high = (values.number(end.replace("−", "-")) for end in ends.groups()) if ends else (None, None)
    numbers = [number for value in beside if (number := values.number(_without_unit(value)))]
    if low is None or high is None:
        return
    if low.value > high.value:
        yield found(
            line, f"The {what} ends before it begins.", says=interval, mend="measure again: hubkit measure"
        )
    elif numbers and not any(_inside(one, low, high) for one in numbers):
        yield found(
            line,
            f"{numbers[-1].value:g} lies outside of its {what}.",
            says=interval,
            mend="measure again: hubkit measure",
        )


def _inside(one: Number, low: Number, high: Number) -> bool:
    """Whether an interval holds a value, up to rounding; a share may stand beside one in percent."""
    scales = [1.0, *([100.0] if abs(one.value) <= 1 else ()), *([0.01] if abs(high.value) <= 1 else ())]
    return any(
        low.value - 0.51 * (low.step + scale * one.step)
        <= scale * one.value
        <= high.value + 0.51 * (high.step + scale * one.step)
        for scale in scales
    )


def _differences(sentence: str) -> list[str]:
    """The numbers of a sentence, and by how much any two of them differ: an interval may be of that."""
    said = re.findall(_DIGITS, sentence, re.IGNORECASE)[-6:]
    numbers = [number for one in said if (number := values.number(one.replace("−", "-").rstrip(",")))]
    by = [f"{b.value - a.value:.6f}" for a in numbers for b in numbers if a is not b]
    return [*said, *by]


def _without_unit(text: str) -> str:
    """`21.4 tokens/s (noisy)` -> `21.4`: the quartiles beside it have no unit."""
    return re.sub(r"^(\**[\d,.]+\**) (?:tokens?|samples?|sequences?)/s\b.*$", r"\1", text.strip())


def _changes(table: Table) -> Iterator[Fault]:
    """A change beside the two values that it is of: base alone, this adapter, change."""
    heads = [cell.lower() for cell in table.header.cells]
    if not {"base alone", "with this adapter", "change"} <= set(heads):
        return
    base, own, change = (heads.index(name) for name in ("base alone", "with this adapter", "change"))
    for row in table.rows:
        if len(row.cells) <= max(base, own, change):
            continue
        before, after = values.number(row.cells[base]), values.number(row.cells[own])
        stated = values.shares(row.cells[change])
        if before is None or after is None or len(stated) != 1 or before.value <= 0:
            continue
        right = 100 * (after.value / before.value - 1)
        slack = stated[0].step + 100 * (before.step + after.step) / before.value
        said = -stated[0].value if row.cells[change].strip().startswith(("-", "−")) else stated[0].value
        if abs(said - right) > slack:
            yield found(
                row.line, f"From {before.value:g} to {after.value:g} is {right:+.1f}%.",
                says=row.cells[change], instead=f"{right:+.1f}%", mend=f"write {right:+.1f}%",
            )  # fmt: skip


def _bytes(subject: Subject) -> Iterator[Fault]:
    """Bits per byte against byte perplexity, where the card gives one of each for this adapter."""
    said: dict[str, list[tuple[int, Number]]] = {"bits per byte": [], "byte perplexity": []}
    for claim in subject.document.claims:
        label = labels.normal(claim.label)
        of_the_base = claim.kind == "row" and "base" in claim.column.lower() + claim.row.lower()
        if label in said and claim.kind in ("row", "item") and not of_the_base and claim.column != "Change":
            number = values.number(re.split(r",\s", claim.value)[0])
            if number:
                said[label].append((claim.line, number))
    bits, perplexities = said["bits per byte"], said["byte perplexity"]
    if len(bits) == len(perplexities) == 1 and perplexities[0][1].value > 0:
        (line, one), (_, other) = bits[0], perplexities[0]
        right = math.log2(other.value)
        if abs(one.value - right) > one.step + other.step / other.value / math.log(2):
            yield found(
                line,
                f"log2 of a byte perplexity of {other.value:g} is {right:.4g}.",
                says=f"{one.value:g}",
                instead=f"{right:.4g}",
                mend="measure again: hubkit measure",
            )


def _bytes_beside(table: Table) -> Iterator[Fault]:
    """A size, and beside it the same to the byte."""
    heads = [cell.lower() for cell in table.header.cells]
    if "about" not in heads or "bytes" not in heads:
        return
    about, exact = heads.index("about"), heads.index("bytes")
    for row in table.rows:
        if len(row.cells) <= max(about, exact):
            continue
        short, whole = values.size(row.cells[about]), values.number(row.cells[exact])
        if short and whole and not short.agrees(whole.value):
            yield found(
                row.line, f"{whole.value:,.0f} bytes are not {row.cells[about]}.",
                says=row.cells[about], instead=f"{whole.value:,.0f} bytes", mend="count again",
            )  # fmt: skip


def _parts(table: Table) -> Iterator[Fault]:
    """`of these, embeddings` and `of these, not embeddings` add up to the row above them."""
    for whole, part, rest in zip(table.rows, table.rows[1:], table.rows[2:], strict=False):
        named = [labels.normal(row.cells[0]).replace(",", "") for row in (part, rest)]
        if named != ["of these embeddings", "of these not embeddings"] or len(whole.cells) < 2:
            continue
        counts = [values.count(row.cells[1]) for row in (whole, part, rest) if len(row.cells) > 1]
        known = [count.value for count in counts if count]
        if len(known) == 3 and "of these" not in whole.cells[0] and known[0] != known[1] + known[2]:
            yield found(
                part.line, f"{known[1]:,.0f} and {known[2]:,.0f} are not {known[0]:,.0f}.",
                says=part.cells[1], instead=f"{known[0] - known[2]:,.0f}", mend="count again: hubkit measure",
            )  # fmt: skip
