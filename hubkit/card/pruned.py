"""What pruning left of an adapter: how it was pruned, ranks that were dropped, and the shares by module."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean

from hubkit.card import text
from hubkit.card.facts import Facts

MODULES = 40  # names of modules that a table lists
ALIKE = 0.0005  # a spread of shares that a table of percentages would not show


def settings(facts: Facts) -> str | None:
    """What the configuration file of the adapter cannot say: how it was pruned. Nothing of another method."""
    method = facts.record.method
    if method is None or method.name != "sparse-lora":
        return None
    how = method.parameters.get("pruning")
    named = [f"pruning {text.code(str(how))}"] if how else []
    for key in ("sparsity", "strength", "prune_start", "prune_end"):
        value = method.parameters.get(key)
        if isinstance(value, int | float):
            named.append(f"{key.replace('_', ' ')} {text.number(float(value))}")
    return ", ".join(named) or None


def ranks_kept(facts: Facts) -> str | None:
    """`120 of 480, in 58 of 60 modules`: ranks in the file, of those that were trained."""
    run = facts.record.training
    if run is None or run.ranks is None:
        return None
    told, left = run.ranks, run.ranks.modules - run.ranks.modules_left_out
    where = f", in {text.count(left)} of {text.count(told.modules)} modules" if told.modules_left_out else ""
    return f"{text.count(told.kept)} of {text.count(told.trained)}{where}"


def by_module(facts: Facts) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Zeros or ranks of the modules of one name, mean and range over the layers, and the head of their table.

    Nothing where all modules are alike: then the whole says it.
    """
    counts = facts.parameters
    shares, ranks = counts.sparsity_by_module, counts.rank_by_module
    if shares and max(shares.values()) - min(shares.values()) > ALIKE:
        found = _grouped(shares)
        rows = [_row(name, values, text.percent) for name, values in found.items()]
        return rows, ("Modules", "Count", "Zeros, mean", "Lowest", "Highest")
    if ranks:
        found = _grouped({name: float(rank) for name, rank in ranks.items()})
        rows = [_row(name, values, text.number) for name, values in found.items()]
        return rows, ("Modules", "Count", "Rank, mean", "Lowest", "Highest")
    return [], ()


def _row(name: str, values: list[float], shown: Callable[[float], str]) -> tuple[str, ...]:
    numbers = (round(mean(values), 4), min(values), max(values))
    return (text.code(name), text.count(len(values)), *map(shown, numbers))


def _grouped(by_name: dict[str, float]) -> dict[str, list[float]]:
    """The values of the modules of one last name."""
    found: dict[str, list[float]] = {}
    for module, value in by_name.items():
        parts = [part for part in module.split(".") if not part.isdigit()]
        found.setdefault(parts[-1] if parts else module, []).append(value)
    return dict(sorted(found.items())[:MODULES])
