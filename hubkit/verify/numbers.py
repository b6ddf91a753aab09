"""A recorded number beside the one measured now: its verdict, its line in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HOLDS, DIFFERS, UNCOMPARED, UNMEASURED = "holds", "differs", "not comparable", "not measured"


@dataclass(frozen=True)
class Number:
    """A recorded number, what was measured now, and whether the two agree."""

    name: str  # "perplexity.value"
    recorded: Any
    measured: Any
    tolerance: str  # in words; empty where nothing was compared
    verdict: str
    why: str = ""


def equal(name: str, recorded: Any, measured: Any, why: str = "") -> Number:
    """A number that must be the same."""
    if recorded is not None and measured is None:
        return Number(name, recorded, None, "equal", DIFFERS, why or "there is no such number now")
    return Number(name, recorded, measured, "equal", HOLDS if recorded == measured else DIFFERS, why)


def within(name: str, recorded: float | None, measured: float | None, tolerance: float, words: str) -> Number:
    """A number that may differ by `tolerance`."""
    if recorded is None or measured is None:
        return equal(name, recorded, measured)
    near = abs(recorded - measured) <= tolerance
    return Number(name, recorded, measured, words, HOLDS if near else DIFFERS)


def incomparable(name: str, recorded: Any, measured: Any, why: str) -> Number:
    """A number that nothing can be said of, and why."""
    return Number(name, recorded, measured, "", UNCOMPARED, why)


def holds(numbers: list[Number]) -> bool:
    """Whether no number differs."""
    return all(number.verdict != DIFFERS for number in numbers)


def names(numbers: list[Number]) -> dict[str, list[str]]:
    """The names of the numbers of each verdict."""
    found: dict[str, list[str]] = {}
    for number in numbers:
        found.setdefault(number.verdict, []).append(number.name)
    return found


def table(numbers: list[Number]) -> list[str]:
    """One line a number: verdict, name, recorded, measured, tolerance."""
    rows = [
        (n.verdict, n.name, _shown(n.recorded), _shown(n.measured), n.why or n.tolerance) for n in numbers
    ]
    rows.insert(0, ("", "", "recorded", "now", "may differ by"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]).rstrip() for row in rows]


def _shown(value: Any) -> str:
    """A value in few characters."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, bool) or not isinstance(value, int | dict | str):
        return str(value)[:40]
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(below)}" for key, below in value.items())[:40]
    return f"{value:,}" if isinstance(value, int) else value[:12] if len(value) == 64 else value
