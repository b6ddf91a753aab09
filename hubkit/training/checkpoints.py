"""Checkpoints of a training that was stopped: where to go on, and how long it had taken until there.

A checkpoint is whole once its last file lies there, and only then are older ones removed: at any moment a
stop, a crash or a full disk leaves the newest whole one. Nothing is removed that training did not write.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import TrainerCallback
from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME

from hubkit import files
from hubkit.errors import TrainingError
from hubkit.measures.memory import Peak

FOLDER = "checkpoints"
STAMP = "settings.sha256"
LEGS = "hubkit_legs.json"  # written last: a checkpoint without it was cut off
KEPT = 2  # checkpoints
STATE = "trainer_state.json"
PARTS = (ADAPTER_SAFE_WEIGHTS_NAME, "optimizer.pt", "scheduler.pt", STATE, LEGS)


@dataclass(frozen=True)
class Legs:
    """The parts of a training that were run so far."""

    started: str  # date, UTC
    seconds: float = 0.0
    resumed: int = 0
    peak_memory_bytes: int | None = None  # the highest of them
    memory_kind: str | None = None


def find(folder: Path, settings_sha256: str, *, fresh: bool, must_resume: bool) -> Path | None:
    """The checkpoint to go on from, if any; checkpoints of other settings are an error, not a loss."""
    _check_ours(folder)
    if fresh:
        drop(folder)
    last = max(filter(_is_whole, _all(folder)), key=step_of, default=None)
    if last and not is_of(folder, settings_sha256):
        raise TrainingError(
            f"{folder} holds checkpoints of other settings",
            "give another output_dir, or --fresh to drop them and start anew",
        )
    if must_resume and not last:
        raise TrainingError(
            f"there is no checkpoint in {folder} to resume from", "leave --resume out to start"
        )
    for path in _all(folder):
        if not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)  # cut off: nothing goes on from it
    return last


def stamp(folder: Path, settings_sha256: str) -> None:
    """Make the folder of a training that begins now, and say in it whose checkpoints it will hold."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"cannot make {folder}: {error.strerror or error}", "give another output_dir"
        ) from error
    files.write_atomically(folder / STAMP, settings_sha256.encode())


def is_of(folder: Path, settings_sha256: str) -> bool:
    """Whether a training with these settings was begun in this folder and has not ended."""
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text() == settings_sha256


def last_finite(folder: Path) -> Path | None:
    """The last checkpoint whose weights are all numbers; those after it are removed."""
    for path in sorted(filter(_is_whole, _all(folder)), key=step_of, reverse=True):
        weights = load_file(path / ADAPTER_SAFE_WEIGHTS_NAME)
        if all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def drop(folder: Path) -> None:
    """Remove what training wrote, and the folder where that was all."""
    if not (folder / STAMP).is_file():
        return
    for path in _all(folder):
        shutil.rmtree(path, ignore_errors=True)
    for path in filter(_is_stamp, folder.iterdir()):
        path.unlink()
    with contextlib.suppress(OSError):  # something else lies there
        folder.rmdir()


def legs(checkpoint: Path | None) -> Legs:
    """What was run until a checkpoint; a first leg that begins now without one."""
    if checkpoint is None:
        return Legs(datetime.now(UTC).date().isoformat())
    return Legs(**json.loads((checkpoint / LEGS).read_text(encoding="utf-8")))


class Clock(TrainerCallback):
    """Adds this leg to those before it, and writes what was run until now beside each checkpoint.

    A leg counts from when this is made; where a checkpoint leaves nothing to train, there is none.
    """

    def __init__(self, checkpoint: Path | None) -> None:
        self.before = legs(checkpoint)
        self.resumes = checkpoint is not None
        self.made = time.monotonic()
        self.has_begun = False
        self.peak = Peak()

    def legs(self) -> Legs:
        """What was run until now."""
        if not self.has_begun:
            return self.before
        here, there = self.peak.read(), (self.before.peak_memory_bytes, self.before.memory_kind)
        highest, kind = max(here, there, key=lambda peak: peak[0] or 0)
        return replace(
            self.before,
            seconds=self.before.seconds + time.monotonic() - self.made,
            resumed=self.before.resumed + self.resumes,
            peak_memory_bytes=highest,
            memory_kind=kind,
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The leg begins."""
        self.has_begun = True

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Say that the checkpoint is whole; then older ones can go."""
        if not args.should_save:
            return
        now, folder = self.legs(), Path(args.output_dir)
        text = json.dumps(asdict(now))
        files.write_atomically(folder / f"checkpoint-{state.global_step}" / LEGS, text.encode())
        for path in sorted(filter(_is_whole, _all(folder)), key=step_of)[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True)


def _check_ours(folder: Path) -> None:
    """Refuse a folder with content that training did not put there."""
    if folder.is_dir() and not (folder / STAMP).is_file() and not all(map(_is_stamp, folder.iterdir())):
        raise TrainingError(
            f"{folder} holds files that are not of hubkit's training, and checkpoints would go there",
            "give another output_dir, or move them away",
        )


def _is_stamp(path: Path) -> bool:
    """The stamp, or what a stop left of it."""
    return path.name == STAMP or path.name.startswith(f".{STAMP}.")


def _all(folder: Path) -> list[Path]:
    """The checkpoints of a folder that training has stamped, whole or not."""
    if not (folder / STAMP).is_file():
        return []
    return [path for path in folder.iterdir() if re.fullmatch(r"checkpoint-\d+", path.name) and path.is_dir()]


def _is_whole(checkpoint: Path) -> bool:
    """Whether all of its files lie there, and those that tell where it stands can be read."""
    parts = [checkpoint / name for name in PARTS]
    if not all(part.is_file() and part.stat().st_size for part in parts):
        return False
    try:
        return all(isinstance(json.loads(part.read_bytes()), dict) for part in parts[-2:])
    except ValueError:
        return False


def step_of(checkpoint: Path) -> int:
    """The optimizer step that it was written after."""
    return int(checkpoint.name.rpartition("-")[2])
