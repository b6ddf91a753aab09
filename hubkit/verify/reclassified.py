"""A recorded classification beside the one of now: how many answers may differ, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubkit.record import Classification
from hubkit.verify.numbers import Number, equal, within

TIED = 10_000  # documents of which one may be answered otherwise, where numbers are exact
TIED_COARSE = 100  # and where they are not
ROUNDING = 1e-9  # of sums and quotients

_EQUAL = (
    "documents", "context", "dtype", "truncated", "tokens", "dataset_sha256", "labels_sha256",
    "majority_accuracy",
)  # fmt: skip


def compare(recorded: Classification, now: Classification, nats: float, exact: bool) -> Iterator[Number]:
    """Every number; `nats` is how far the mean loss may be off, `exact` whether logits are near the same."""
    name = "classification"
    for field in _EQUAL:
        yield equal(f"{name}.{field}", getattr(recorded, field), getattr(now, field))
    others = now.documents // TIED if exact else max(1, now.documents // TIED_COARSE)
    yield within(f"{name}.loss", recorded.loss, now.loss, nats, f"{nats:.0e} nats")
    yield within(
        f"{name}.confusion: documents answered otherwise",
        _apart(recorded.confusion, now.confusion),
        0,
        others,
        f"{others:,} documents",
    )
    share = others / max(now.documents, 1) + ROUNDING
    most = others * _most(now) + ROUNDING
    yield within(f"{name}.accuracy", recorded.accuracy, now.accuracy, share, f"{share:.1e}")
    for field in ("macro_f1", "weighted_f1"):
        yield within(f"{name}.{field}", getattr(recorded, field), getattr(now, field), most, f"{most:.1e}")
    yield from _classes(recorded, now, others)
    for field, allowed in (("accuracy_interval", share), ("macro_f1_interval", most)):
        yield from _interval(f"{name}.{field}", getattr(recorded, field), getattr(now, field), allowed)


def _apart(recorded: list[list[int]], now: list[list[int]]) -> float:
    """How many documents two matrices of the same text hold in other cells."""
    if [len(row) for row in recorded] != [len(row) for row in now]:
        return float("inf")
    pairs = (pair for rows in zip(recorded, now, strict=True) for pair in zip(*rows, strict=True))
    return sum(abs(was - found) for was, found in pairs) / 2


def _most(now: Classification) -> float:
    """By how much one other answer can move an F1: it touches two classes, the rarest of them most."""
    columns = [sum(column) for column in zip(*now.confusion, strict=True)]
    there = [one.support + told for one, told in zip(now.classes, columns, strict=True) if one.support + told]
    return 4 / min(there, default=1)


def _classes(recorded: Classification, now: Classification, others: int) -> Iterator[Number]:
    """The names and supports of the classes, and of each its scores."""
    for field in ("label", "support"):
        was, found = ([getattr(one, field) for one in held.classes] for held in (recorded, now))
        yield equal(f"classification.classes.{field}", was, found)
    for was_one, now_one in zip(recorded.classes, now.classes, strict=False):
        for field in ("precision", "recall", "f1"):
            was, found = getattr(was_one, field), getattr(now_one, field)
            if was is None or (found is None and others):  # with other answers it may not be there
                continue
            allowed = 2 * others / max(now_one.support, 1) + ROUNDING
            name = f"classification.{now_one.label}.{field}"
            yield within(name, was, found, allowed, f"{allowed:.1e}")


def _interval(name: str, recorded: Any, now: Any, allowed: float) -> Iterator[Number]:
    if recorded is None:
        return
    for field in ("resamples", "confidence", "seed"):
        yield equal(f"{name}.{field}", getattr(recorded, field), getattr(now, field, None))
    for field in ("low", "high"):
        was, found = getattr(recorded, field), getattr(now, field, None)
        yield within(f"{name}.{field}", was, found, allowed, f"{allowed:.1e}")
