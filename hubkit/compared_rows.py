"""Adapters as flat rows: for CSV, for JSON, and to tell which of them differ in what."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from hubkit import compare
from hubkit.record import Classification, Compared, Perplexity


def plain(adapter: Compared, label: str) -> dict[str, Any]:
    """One adapter as flat data, without what is not known: a row of CSV, an object of JSON."""
    measured, speed = adapter.perplexity, adapter.throughput
    rates: dict[str, Any] = {}
    for name in compare.RATES:
        if speed and (rate := getattr(speed, name)):
            rates |= {f"{name}_{part}": getattr(rate, part) for part in ("median", "low", "high")}
            rates[f"{name}_unit"] = rate.unit
    found: dict[str, Any] = {
        "adapter": label,
        "repo_id": adapter.repo_id,
        "method": adapter.method,
        "base_model": adapter.base_id,
        "base_weights": adapter.base_weights,
        "rank": adapter.rank,
        "rank_low": adapter.ranks[0] if adapter.ranks else None,
        "rank_high": adapter.ranks[-1] if adapter.ranks else None,
        "trainable_parameters": adapter.trainable,
        "total_parameters": adapter.total,
        "trainable_share": compare.share(adapter),
        "sparsity": adapter.sparsity,
        "adapter_bytes": adapter.adapter_weights_bytes,
        "perplexity": measured and measured.value,
        "base_perplexity": measured and measured.base_value,
        "perplexity_change": compare.change(adapter),
        **_intervals(measured),
        "bits_per_byte": measured and measured.bits_per_byte,
        "base_bits_per_byte": measured and measured.bits_per_byte and compare.base_bits_per_byte(measured),
        "bytes": measured and measured.bytes,
        **{f"perplexity_{name}": measured and getattr(measured, name) for name, _ in compare.CONDITIONS},
        "perplexity_dataset": measured and measured.dataset_name,
        **_of_classes(adapter.classification),
        **rates,
        **({f"speed_{k}": v for k, v in compare.speed_conditions(speed).items()} if speed else {}),
        "training_steps": adapter.training_steps,
        "tokens_seen": adapter.tokens_seen,
        "training_seconds": adapter.training_seconds,
        "training_memory_bytes": adapter.training_memory_bytes,
        "training_machine": adapter.training_machine,
        "adapter_sha256": adapter.adapter_sha256,
    }
    return {name: value for name, value in found.items() if value is not None}


def _intervals(measured: Perplexity | None) -> dict[str, float]:
    """The ends of the intervals that are known."""
    named = (
        ("interval", "perplexity"),
        ("base_interval", "base_perplexity"),
        ("change_interval", "perplexity_change"),
    )
    return {
        f"{name}_{end}": getattr(interval, end)
        for field, name in named
        for end in ("low", "high")
        if measured and (interval := getattr(measured, field))
    }


def _of_classes(measured: Classification | None) -> dict[str, Any]:
    """Accuracy and F1 with what they depend on."""
    if measured is None:
        return {}
    own = ("accuracy", "macro_f1", "weighted_f1", "majority_accuracy")
    found: dict[str, Any] = {name: getattr(measured, name) for name in own}
    for name in own[:2]:
        if interval := getattr(measured, f"{name}_interval"):
            found |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    conditions = ("loss", "dataset_name", *(name for name, _ in compare.OF_CLASSES))
    return found | {f"classification_{name}": getattr(measured, name) for name in conditions}


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Flat rows as CSV, with a column for each name that any of them has."""
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
