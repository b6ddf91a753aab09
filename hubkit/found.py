"""What an adapter's own files tell of a training that hubkit did not do: the history in trainer_state.json.

It is somebody's word: the card says whose, and hubkit neither measured nor checked it. training_args.bin,
which would say more, is a pickle and is never read.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import msgspec

from hubkit import bounded_json, files
from hubkit.record import FoundHistory, LogPoint, Record

NAME = "trainer_state.json"
LARGEST = 16_000_000  # bytes; a history of 100,000 lines has about so many
MOST_POINTS = 2_000  # of a history that is kept; what is between is left out evenly
MOST_STEPS = 2**53  # the last whole number that JSON's readers agree on


def with_history(record: Record, directory: Path, adapter_sha256: str) -> Record:
    """The record with the history that lies beside the adapter, where hubkit did not train it."""
    if record.training is not None:
        return record
    found = history(directory / NAME, adapter_sha256)
    return msgspec.structs.replace(record, found_history=found) if found else record


def history(path: Path, adapter_sha256: str) -> FoundHistory | None:
    """What a trainer_state.json says; nothing where there is none, or none that can be read."""
    try:
        content = files.read(path, LARGEST)
    except OSError:
        return None
    return said(content, path.name, adapter_sha256)


def said(content: bytes, source: str, adapter_sha256: str) -> FoundHistory | None:
    """The same of the bytes of such a file. Numbers that are none (NaN, infinity, text) are left out."""
    try:
        state = bounded_json.loads(content, LARGEST)
    except (ValueError, RecursionError):
        return None
    if not isinstance(state, dict):
        return None
    points = _points(state.get("log_history"))
    steps = _whole(state.get("global_step"))
    if steps is None and not points:
        return None
    return FoundHistory(
        adapter_sha256=adapter_sha256,
        source=source,
        source_sha256=hashlib.sha256(content).hexdigest(),
        steps=steps if steps is not None else points[-1].step,
        planned_steps=_whole(state.get("max_steps")) or None,
        epochs=_number(state.get("epoch")),
        batch_size=_whole(state.get("train_batch_size")) or None,
        final_train_loss=_last([point.loss for point in points]),
        final_eval_loss=_last([point.eval_loss for point in points]),
        points=len(points),
        history=_thinned(points),
    )


def _points(lines: Any) -> list[LogPoint]:
    """The lines of a log that tell a loss, in the order of their steps."""
    found = []
    for line in lines if isinstance(lines, list) else []:
        step = _whole(line.get("step")) if isinstance(line, dict) else None
        if step is None:
            continue
        loss, eval_loss = _number(line.get("loss")), _number(line.get("eval_loss"))
        if loss is not None or eval_loss is not None:
            rate = _number(line.get("learning_rate"))
            found.append(LogPoint(step=step, loss=loss, eval_loss=eval_loss, learning_rate=rate))
    return sorted(found, key=lambda point: point.step)


def _thinned(points: list[LogPoint]) -> list[LogPoint]:
    """So many that a record stays small: the first, the last, and evenly between."""
    if len(points) <= MOST_POINTS:
        return points
    return [points[round(i * (len(points) - 1) / (MOST_POINTS - 1))] for i in range(MOST_POINTS)]


def _last(losses: list[float | None]) -> float | None:
    return next((loss for loss in reversed(losses) if loss is not None), None)


def _whole(value: Any) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_STEPS
    return value if is_whole else None


def _number(value: Any) -> float | None:
    """A number that a person would print: finite, and no larger than what a loss or an epoch can be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < 1e15 else None
