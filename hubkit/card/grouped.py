"""Groups of adapters that differ in their seed alone, as a Markdown table of means and deviations."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from hubkit import grouping
from hubkit.card import text
from hubkit.compare import Measure
from hubkit.grouping import Group

NOTE = (
    "A mean over seeds, ± the standard deviation of a sample (n - 1). The best mean is bold only where seeds"
    " do not explain it: its difference from each other is not zero at 95% (Welch's t-test)."
)
Column = tuple[str, list[str]]


def markdown(found: Sequence[Group], by: Measure | None) -> str:
    """The table and its note; empty where no adapters differ in their seed alone."""
    if not found:
        return ""
    columns: list[Column] = [
        ("Training", [text.phrase(group.label) for group in found]),
        ("Seeds", [text.count(group.n) for group in found]),
    ]
    if by:
        name = "Perplexity" if by == "perplexity" else "Bits per byte"
        columns += [
            (name, _best(found, by, text.perplexity)),
            ("Base alone", _means(found, f"base_{by}", text.perplexity)),
        ]
    if by == "perplexity":
        columns.append(("Change", _means(found, "perplexity_change", _signed)))
    columns += [
        ("Accuracy", _best(found, "accuracy", text.score)),
        ("Macro F1", _best(found, "macro_f1", text.score)),
        (
            "Trainable parameters",
            _means(found, "trainable_parameters", lambda value: text.count(round(value))),
        ),
        ("Zeros", _means(found, "sparsity", text.percent)),
        ("Training time", _means(found, "training_seconds", text.duration)),
    ]
    held = [(head, cells) for head, cells in columns if any(cells)]
    rows = list(zip(*(cells for _, cells in held), strict=True))
    return f"{text.table(rows, *(head for head, _ in held))}\n\n{NOTE}"


def _means(found: Sequence[Group], column: str, write: Callable[[float], str]) -> list[str]:
    """Mean and deviation of each group; a deviation of nothing is not shown."""
    return [_mean(group.values(column), write) for group in found]


def _mean(numbers: list[float], write: Callable[[float], str]) -> str:
    if not numbers:
        return ""
    spread = grouping.deviation(numbers)
    own = write(statistics.fmean(numbers))
    return own if not spread else f"{own} ± {_spread(spread, own, write)}"


def _spread(spread: float, own: str, write: Callable[[float], str]) -> str:
    """A deviation with as many decimals as its mean has, or one digit where that leaves none."""
    if not own.replace(",", "").replace(".", "").isdigit():
        return write(spread).removeprefix("+")
    rounded = f"{spread:.{len(own.partition('.')[2])}f}"
    return rounded if float(rounded) else f"{spread:.0e}"


def _best(found: Sequence[Group], column: str, write: Callable[[float], str]) -> list[str]:
    written = _means(found, column, write)
    if (at := grouping.best(found, column)) is not None:
        written[at] = f"**{written[at]}**"
    return written


def _signed(value: float) -> str:
    return text.percent(value, signed=True)
