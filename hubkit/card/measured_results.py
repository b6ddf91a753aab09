"""hubkit's own numbers inside of results in a model-index that an author wrote on.

Whoever adds a metric of theirs to hubkit's result, or names its dataset otherwise, made it theirs; the number
that hubkit measured is still hubkit's, and changes and goes with the facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from hubkit.card import yaml_spans
from hubkit.card.front_matter import scalar
from hubkit.card.yaml_spans import Source


def origin(result: Any, had: Sequence[Any], theirs: Sequence[Any]) -> Mapping[str, Any] | None:
    """The result of hubkit's, of those in `had`, that the author wrote this one from."""
    metrics = result.get("metrics") if isinstance(result, dict) else None
    if not isinstance(metrics, list) or result in had:
        return None
    known = [was for was in had if isinstance(was, dict) and was not in theirs]
    return next((was for was in known if any(metric in metrics for metric in was.get("metrics") or ())), None)


def successor(was: Mapping[str, Any], ours: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The result that says now what `was` said: of the same task on the same data."""
    return next((now for now in ours if _place(now) == _place(was)), None)


def renew(
    source: Source,
    node: yaml.Node,
    result: Mapping[str, Any],
    was: Mapping[str, Any],
    now: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """Edit hubkit's metrics in the author's result: new values in place, without what there is no value for.

    Gives the result as it reads then; None where no metric is left, and nothing was edited.
    """
    items = _value(source, node, "metrics")
    kept: list[Any] = []
    gone: list[yaml.Node] = []
    edits: list[tuple[int, int, str]] = []
    for item, metric in zip(items.value, result["metrics"], strict=True):
        new = metric
        if metric in was["metrics"]:
            new = (
                next((said for said in now["metrics"] if _name(said) == _name(metric)), None) if now else None
            )
        if new is None:
            gone.append(item)
            continue
        kept.append(new)
        if new != metric:
            value = _value(source, item, "value")
            edits.append((value.start_mark.index, value.end_mark.index, scalar(new["value"])))
    if not kept:
        return None
    source.edits += edits
    if gone and isinstance(items, yaml.SequenceNode):
        yaml_spans.change_block(source, items, gone, [])
    return {**result, "metrics": kept}


def same_but_for_values(results: Sequence[Any], ours: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Of these results, those that give other numbers for just what hubkit measured."""
    forms = [_form(result) for result in ours]
    return [result for result in results if result not in ours and _form(result) in forms]


def numbers(result: Mapping[str, Any]) -> str:
    """The numbers of a result, to be shown."""
    return ", ".join(f"{metric['type']} {metric['value']}" for metric in result["metrics"])


def _form(result: Any) -> Any:
    metrics = result.get("metrics") if isinstance(result, dict) else None
    if not isinstance(metrics, list) or not all(isinstance(metric, dict) for metric in metrics):
        return None
    return {**result, "metrics": [_name(metric) for metric in metrics]}


def _place(result: Mapping[str, Any]) -> Any:
    return {key: value for key, value in result.items() if key != "metrics"}


def _name(metric: Mapping[str, Any]) -> Any:
    return {key: value for key, value in metric.items() if key != "value"}


def _value(source: Source, node: yaml.Node, key: str) -> yaml.Node:
    found: list[yaml.Node] = [value for name, value in node.value if name.value == key]
    if len(found) != 1:
        source.refuse(node.start_mark.index, "hubkit cannot edit a result that is written so")
    return found[0]
