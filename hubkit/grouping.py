"""Adapters that are equal but for the seed of their training, as one row: mean and standard deviation.

The deviation is that of a sample (n - 1 in the denominator); of one adapter there is none. A best value is
marked only where seeds do not explain that it is best: against each other group, the interval of the
difference of the means at 95% (Welch 1947, Student's t with Satterthwaite's degrees of freedom) leaves out
zero. For a group of one nothing is known of its seeds, so beside it nothing is marked.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hubkit.record import Record

CONFIDENCE = 0.95
# What shapes a training, of what its record says.
SHAPING = (
    "steps", "batch_size", "gradient_accumulation", "effective_batch_size", "block_size", "learning_rate",
    "scheduler", "warmup_steps", "weight_decay", "max_grad_norm", "optimizer", "precision", "labels",
    "class_weights", "processes", "documents", "kernels", "gradient_checkpointing",
)  # fmt: skip
QUALITIES = {"perplexity": "lowest", "bits_per_byte": "lowest", "accuracy": "highest", "macro_f1": "highest"}
OF_ONE = ("adapter", "repo_id", "adapter_sha256")  # columns that say which adapter a row is
ENDS = ("_low", "_high")  # of intervals, which are of one adapter


@dataclass(frozen=True)
class Key:
    """What adapters of one group have in common: the parts that a label can show, and all of it as text."""

    shown: dict[str, Any]
    whole: str


@dataclass(frozen=True)
class Group:
    """Adapters that differ in their seed alone."""

    label: str
    rows: list[dict[str, Any]]  # as `compared_rows.plain` gives them
    seeds: list[int]
    at: list[int] = field(default_factory=list)  # where they stand among all

    @property
    def n(self) -> int:
        """How many adapters."""
        return len(self.rows)

    def values(self, column: str) -> list[float]:
        """The numbers of one column, of those that have it."""
        return [row[column] for row in self.rows if _is_number(row.get(column))]


def key(known: Record) -> Key | None:
    """What a record says of how its adapter came about, but for the seed; None where that is not known."""
    run, base, data, method = known.training, known.base_model, known.dataset, known.method
    if run is None:
        return None
    shaping = {name: getattr(run, name) for name in SHAPING}
    shown = {
        "method": method.name if method else None,
        **(method.parameters if method else {}),
        "base_model": base.id if base else None,
        "dataset": data.name if data else None,
        **shaping,
    }
    whole = [
        shown,
        known.task,
        [base.revision, base.weights_sha256, base.quantization] if base else None,
        [data.train_sha256, data.eval_sha256] if data else None,
    ]
    return Key(shown, json.dumps(msgspec.to_builtins(whole), sort_keys=True))


def seed(known: Record) -> int | None:
    """The seed of an adapter's training."""
    return known.training.seed if known.training else None


def groups(
    rows: Sequence[dict[str, Any]], keys: Sequence[Key | None], seeds: Sequence[int | None]
) -> list[Group]:
    """The groups of rows, in the order of their first; each of several seeds, or alone.

    Empty where no two rows differ in their seed alone. An adapter of a seed that its group has is left to
    itself: it is the same training twice.
    """
    by_key: dict[str, list[int]] = {}
    for at, (one, own) in enumerate(zip(keys, seeds, strict=True)):
        whole = one.whole if one else f"row {at}"
        if any(seeds[other] == own for other in by_key.get(whole, [])):
            whole = f"{whole} {at}"
        by_key.setdefault(whole, []).append(at)
    if all(len(members) == 1 for members in by_key.values()):
        return []
    named = labels([keys[members[0]] for members in by_key.values()], rows, list(by_key.values()))
    return [
        Group(
            label,
            [rows[at] for at in members],
            [own for at in members if (own := seeds[at]) is not None],
            members,
        )
        for label, members in zip(named, by_key.values(), strict=True)
    ]


def labels(keys: Sequence[Key | None], rows: Sequence[dict[str, Any]], members: list[list[int]]) -> list[str]:
    """The method of each group, and in what the groups differ; else the adapter's own name."""
    known = [one.shown for one in keys if one]
    names = dict.fromkeys(name for shown in known for name in shown if name != "method")
    differ = [
        name for name in names
        if len({json.dumps(shown[name], default=str) for shown in known if name in shown}) > 1
    ]  # fmt: skip
    found = []
    for one, own in zip(keys, members, strict=True):
        row = rows[own[0]]
        told = [f"{name} {_shown(one.shown[name])}" for name in differ if one and name in one.shown]
        found.append(", ".join([str(row.get("method")), *told]) if one else str(row.get("adapter")))
    return [
        f"{label} ({rows[own[0]].get('adapter')})" if found.count(label) > 1 else label
        for label, own in zip(found, members, strict=True)
    ]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def rows_of(found: Sequence[Group]) -> list[dict[str, Any]]:
    """A flat row for each group: what its adapters share, and of what differs mean and deviation."""
    return [_row(group) for group in found]


def _row(group: Group) -> dict[str, Any]:
    row: dict[str, Any] = {"group": group.label, "n": group.n, "seeds": " ".join(map(str, group.seeds))}
    for name in dict.fromkeys(name for one in group.rows for name in one):
        values = [one.get(name) for one in group.rows]
        if name in OF_ONE or name.endswith(ENDS):
            continue
        numbers = group.values(name)
        if name in QUALITIES or (len(numbers) == group.n and len(set(numbers)) > 1):
            row |= _summary(name, numbers)
        elif values[0] is not None and all(value == values[0] for value in values):
            row[name] = values[0]
    return row


def _summary(name: str, numbers: list[float]) -> dict[str, Any]:
    """Mean and deviation; how many there are, where some adapters have none."""
    found: dict[str, Any] = {f"{name}_mean": statistics.fmean(numbers)} if numbers else {}
    if (spread := deviation(numbers)) is not None:
        found[f"{name}_sd"] = spread
    return found


def deviation(numbers: Sequence[float]) -> float | None:
    """Sample standard deviation, with n - 1; None of fewer than two."""
    return statistics.stdev(numbers) if len(numbers) > 1 else None


def best(found: Sequence[Group], column: str) -> int | None:
    """The group with the best mean of a quality, where seeds do not explain that it is; else None."""
    values = [group.values(column) for group in found]
    known = [at for at, numbers in enumerate(values) if numbers]
    if len(known) < 2:
        return None
    sign = -1.0 if QUALITIES[column] == "highest" else 1.0
    first = min(known, key=lambda at: sign * statistics.fmean(values[at]))
    beaten = all(differs(values[first], values[at]) for at in known if at != first)
    return first if beaten else None


def differs(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two means differ by more than seeds explain: Welch's t-test, two-sided, at 95%."""
    if len(a) < 2 or len(b) < 2:
        return False
    of_a, of_b = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    apart = abs(statistics.fmean(a) - statistics.fmean(b))
    if of_a + of_b == 0:
        return apart > 0
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    return two_sided(apart / math.sqrt(of_a + of_b), freedom) < 1 - CONFIDENCE


def two_sided(t: float, freedom: float) -> float:
    """P(|T| > t) of Student's t: the regularized incomplete beta function at df / (df + t^2)."""
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def _beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = (
        math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
        / a
    )
    fraction = 0.0
    for m in range(200, 0, -1):  # from the end: the terms are those of d(m)
        half, odd = divmod(m, 2)
        if odd:
            d = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            d = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        fraction = d / (1 + fraction)
    return front / (1 + fraction)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
