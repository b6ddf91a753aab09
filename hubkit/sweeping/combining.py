"""The combinations of a matrix, with `include` and `exclude` as GitHub Actions has them.

`exclude` comes first: an entry takes out every combination that has all of its values. Then each entry of
`include` is added to the combinations of the matrix whose own values it does not change; one that fits none
is a combination by itself. A value that an earlier entry added may be replaced by a later one.
Keys are dotted settings; `method: hira` is found in `method: {name: hira, r: 8}` and `method.name: hira` too.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

from hubkit.yaml_source import Source

MOST = 10_000  # combinations; more is a slip
NAMED = {"base_model": "id", "dataset": "id"}  # what a text in place of a mapping means; else its name


@dataclass
class Combination:
    """Values of settings by dotted key, and where in the sweep file each of them stands."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)  # the keys that a name shows: not those that were added


def combinations(
    matrix: dict[str, list[Any]], include: list[dict[str, Any]], exclude: list[dict[str, Any]], source: Source
) -> list[Combination]:
    """All combinations, in the order of the file: the last key changes fastest. Raises SettingsError."""
    for key, values in matrix.items():
        _check_key(key, ["matrix", key], source)
        if not values:
            raise source.error(["matrix", key], f"matrix.{key} has no values")
    if (size := math.prod(len(values) for values in matrix.values())) > MOST:
        raise source.error(["matrix"], f"matrix has {size:,} combinations, and {MOST:,} are the most")
    kept = _excluded(_product(matrix), exclude, source)
    found = [*kept, *_included(kept, include, source)]
    if not found:
        raise source.error(["exclude"], "exclude leaves no combination of the matrix")
    return found


def _product(matrix: dict[str, list[Any]]) -> list[Combination]:
    if not matrix:
        return []
    numbered = [list(enumerate(values)) for values in matrix.values()]
    return [
        Combination(
            {key: value for key, (_, value) in zip(matrix, chosen, strict=True)},
            {key: ["matrix", key, str(at)] for key, (at, _) in zip(matrix, chosen, strict=True)},
            list(matrix),
        )
        for chosen in itertools.product(*numbered)
    ]


def _excluded(found: list[Combination], exclude: list[dict[str, Any]], source: Source) -> list[Combination]:
    for at, entry in enumerate(exclude):
        left = [
            one for one in found if not (entry and all(_has(one.values, *pair) for pair in entry.items()))
        ]
        if len(left) == len(found):
            raise source.error(["exclude", str(at)], f"exclude.{at} is in no combination of the matrix")
        found = left
    return found


def _included(kept: list[Combination], include: list[dict[str, Any]], source: Source) -> list[Combination]:
    """Add to the combinations of the matrix what fits them; the entries that fit none."""
    alone = []
    originals = [dict(one.values) for one in kept]
    for at, entry in enumerate(include):
        places = {key: ["include", str(at), key] for key in entry}
        for key in entry:
            _check_key(key, places[key], source)
        fitting = [pair for pair in zip(kept, originals, strict=True) if _fits(pair[1], entry)]
        for one, original in fitting:
            added = [key for key in entry if _lookup(original, key) is ABSENT]
            one.values.update({key: entry[key] for key in added})
            one.places.update({key: places[key] for key in added})
        if not fitting:
            alone.append(Combination(dict(entry), places, list(entry)))
    return alone


def _check_key(key: str, place: list[str], source: Source) -> None:
    if key.partition(".")[0] in ("output_dir", "adapter", "hub"):
        raise source.error(place, f"a sweep cannot vary {key}: it trains, into directories of its own")
    if not all(key.split(".")):
        raise source.error(place, f"{key[:60]!r} is no dotted key, such as training.seed")


ABSENT = object()


def _fits(original: dict[str, Any], entry: dict[str, Any]) -> bool:
    """Whether an entry leaves the values of the matrix as they are."""
    return all(_lookup(original, key) is ABSENT or _has(original, key, value) for key, value in entry.items())


def _has(values: dict[str, Any], key: str, wanted: Any) -> bool:
    found = _lookup(values, key)
    return found is not ABSENT and _is_part(_whole(key, wanted), _whole(key, found))


def _lookup(values: dict[str, Any], key: str) -> Any:
    """The value at a dotted key: its own, a part of a mapping above it, or the name below it."""
    if key in values:
        return values[key]
    if (name := f"{key}.{NAMED.get(key, 'name')}") in values:
        return values[name]
    above, _, below = key.rpartition(".")
    while above:
        if above in values:
            return _inside(_whole(above, values[above]), below.split("."))
        above, _, more = above.rpartition(".")
        below = f"{more}.{below}"
    return ABSENT


def _inside(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return ABSENT
        value = value[key]
    return value


def _whole(key: str, value: Any) -> Any:
    """`lora` as `{name: lora}`, at the keys of settings that can be written so."""
    shorthand = key in ("method", "task", *NAMED) and isinstance(value, str)
    return {NAMED.get(key, "name"): value} if shorthand else value


def _is_part(wanted: Any, found: Any) -> bool:
    """Whether all that is wanted is found; of mappings, each key that is named."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and _is_part(value, found[key]) for key, value in wanted.items())
    return type(wanted) is type(found) and bool(wanted == found)
