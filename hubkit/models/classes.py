"""Labels of text: from the values of a column to numbers, and the names of these, in an order that stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hubkit.errors import DataError

MOST = 1_000  # different values, above which a column is none of labels
Value = int | str
Told = list[str] | dict[str | int, str] | None


def value(cell: Any, where: str) -> Value | None:
    """A cell as a label; None where it is empty. A whole float is the number that it is.

    Raises DataError for what can be no label.
    """
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, int):
        return cell
    kind = "a number with a fraction" if isinstance(cell, float) else f"of the type {type(cell).__name__}"
    raise DataError(
        f"{where}: the label is {kind}", "labels are names or whole numbers; check dataset.label_column"
    )


def names(values: Iterable[Value], told: Told, classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the labels, in order: of the settings, else of the column, else its sorted values."""
    if isinstance(told, dict):
        return tuple(dict.fromkeys(told.values()))
    if told or classes:
        return tuple(told or classes or ())
    found = set(values)
    if len(found) > MOST:
        raise DataError(
            f"the column of labels has {len(found):,} different values", "check dataset.label_column"
        )
    if all(isinstance(one, int) for one in found):
        return tuple(map(str, sorted(found, key=int)))
    return tuple(sorted(map(str, found)))


def numbers(
    values: Iterable[Value], known: Sequence[str], told: Told, classes: Sequence[str] | None
) -> list[int]:
    """Each value as the number of its label. Raises DataError, which names the label that is not known."""
    place = {name: at for at, name in enumerate(known)}
    of_value = {str(raw): place[name] for raw, name in told.items()} if isinstance(told, dict) else {}
    found = []
    for one in values:
        if isinstance(told, dict):
            label = of_value.get(str(one), place.get(str(one)))
        elif classes and isinstance(one, int):
            label = place.get(classes[one]) if 0 <= one < len(classes) else None
        else:
            label = place.get(str(one))
            if label is None and told and isinstance(one, int) and 0 <= one < len(known):
                label = one  # the names are told in the order of the numbers
        if label is None:
            raise DataError(
                f"the text has the label {str(one)[:60]!r}, which is none of {_shown(known)}",
                "name all labels by dataset.labels, or leave those texts out",
            )
        found.append(label)
    return found


def counts(labels: Iterable[int], known: Sequence[str]) -> list[int]:
    """How many documents have each label, in the order of the labels."""
    found = [0] * len(known)
    for label in labels:
        found[label] += 1
    return found


def _shown(known: Sequence[str]) -> str:
    more = f" and {len(known) - 20:,} more" if len(known) > 20 else ""
    return ", ".join(name[:40] for name in known[:20]) + more
