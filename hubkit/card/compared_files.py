"""A comparison of several adapters in each of its forms: Markdown, rows of CSV, and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hubkit import compare, compared_rows, grouping
from hubkit.card import comparison, grouped, side_by_side
from hubkit.card.comparison import Read
from hubkit.compare import Measure
from hubkit.grouping import Group

BY_BYTE = {"bits_per_byte", "base_bits_per_byte", "bytes"}


def markdown(found: Read, groups: Sequence[Group], by: Measure | None) -> str:
    """Means over seeds first, where there are groups, then the adapters one by one."""
    whole = side_by_side.markdown(comparison.sides_of(found), by, over_seeds=bool(groups))
    return "\n\n".join(part for part in (grouped.markdown(groups, by), whole) if part)


def rows(found: Read, groups: Sequence[Group], without_perplexity: bool) -> list[dict[str, Any]]:
    """A flat row for each group where there are any, else for each adapter."""
    if groups:
        flat = grouping.rows_of(groups)
    else:
        pairs = zip(found.adapters, found.labels, strict=True)
        flat = [compared_rows.plain(adapter, label) for adapter, label in pairs]
    if without_perplexity:
        flat = [{key: value for key, value in row.items() if not _is_quality(key)} for row in flat]
    return flat


def _is_quality(name: str) -> bool:
    if name.startswith(("accuracy", "macro_f1", "weighted_f1", "majority_accuracy", "classification_")):
        return True
    return "perplexity" in name or name.removesuffix("_mean").removesuffix("_sd") in BY_BYTE


def data(found: Read, groups: Sequence[Group], without_perplexity: bool) -> dict[str, Any]:
    """All of it as data, with what was left out, and whether the speeds may be compared."""
    by = None if without_perplexity else compare.by(found.adapters, found.labels)
    told: dict[str, Any] = {} if without_perplexity else {"compared_by": by}
    told["adapters"] = rows(found, [], without_perplexity)
    if groups:
        told["groups"] = rows(found, groups, without_perplexity)
        told["best"] = _best(groups, by)
    told["speeds_are_comparable"] = compare.speeds_are_comparable(found.adapters)
    return {**told, "left_out": found.left_out}


def _best(groups: Sequence[Group], by: Measure | None) -> dict[str, str]:
    """The group that is best by each quality, where seeds do not explain it."""
    names = [name for name in grouping.QUALITIES if name in ("accuracy", "macro_f1", by)]
    found = {name: grouping.best(groups, name) for name in names}
    return {name: groups[at].label for name, at in found.items() if at is not None}
