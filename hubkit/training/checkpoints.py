"""Checkpoints of a training that was stopped: where to go on, and how long it had taken until there.

A checkpoint is whole once its last file lies there, and only then are older ones removed: at any moment a
stop, a crash or a full disk leaves the newest whole one. That file holds the digests of the others, so that
one that was damaged since is passed over. Nothing is removed that training did not write.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import TrainerCallback
from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME

from hubkit import files, processes
from hubkit.errors import TrainingError
from hubkit.measures.memory import Peak
from hubkit.training import choices, legs
from hubkit.training.legs import Legs
from hubkit.training.steady import Steady

FOLDER = "checkpoints"
STAMP = "settings.sha256"
START = "start.safetensors"  # what the adapter began with, where it took a part out of the base
LEGS = legs.NAME  # written last: a checkpoint without it was cut off
KEPT = 2  # checkpoints
STATE = "trainer_state.json"
PARTS = (ADAPTER_SAFE_WEIGHTS_NAME, "optimizer.pt", "scheduler.pt", STATE, LEGS)
Say = Callable[[str], None]


def find(
    folder: Path, settings_sha256: str, say: Say = print, *, fresh: bool, must_resume: bool
) -> Path | None:
    """The checkpoint to go on from, if any; checkpoints of other settings are an error, not a loss."""
    _check_ours(folder)
    if fresh:
        drop(folder)
    if any(map(_is_whole, _all(folder))) and not is_of(folder, settings_sha256):
        raise TrainingError(
            f"{folder} holds checkpoints of other settings",
            "give another output_dir, or --fresh to drop them and start anew",
        )
    drop_cut_off(folder)
    last = _last_sound(folder, say)
    if must_resume and not last:
        raise TrainingError(
            f"there is no checkpoint in {folder} to resume from", "leave --resume out to start"
        )
    return last


def drop_cut_off(folder: Path) -> None:
    """Remove checkpoints that were not written to their end: nothing goes on from them."""
    for path in _all(folder):
        if not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)


def _last_sound(folder: Path, say: Say) -> Path | None:
    """The last checkpoint whose files are what was written; later ones are damaged, and removed."""
    for path in sorted(_all(folder), key=step_of, reverse=True):
        wrong = legs.damage(path)
        if wrong is None:
            return path
        say(f"{path} is damaged ({wrong}) and was removed")
        shutil.rmtree(path, ignore_errors=True)
    return None


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


class Clock(TrainerCallback):
    """Adds this leg to those before it, and writes what was run until now beside each checkpoint.

    A leg counts from when this is made; where a checkpoint leaves nothing to train, there is none. `trainer`
    is whose losses are kept that no log has told yet; without it, none are.
    """

    trainer: Steady | None = None

    def __init__(self, checkpoint: Path | None) -> None:
        self.before = legs.read(checkpoint)
        self.resumes = checkpoint is not None
        self.made = time.monotonic()
        self.has_begun = False
        self.peak = Peak()

    def legs(self) -> Legs:
        """What was run until now."""
        if not self.has_begun:
            return self.before
        import torch

        here, there = self.peak.read(), (self.before.peak_memory_bytes, self.before.memory_kind)
        highest, kind = max(here, there, key=lambda peak: peak[0] or 0)
        return replace(
            self.before,
            seconds=self.before.seconds + time.monotonic() - self.made,
            resumed=self.before.resumed + self.resumes,
            peak_memory_bytes=highest,
            memory_kind=kind,
            threads=torch.get_num_threads(),
            torch=torch.__version__,
        )

    def changes(self) -> str | None:
        """What is another than before the stop and moves the last digits of losses, in words."""
        import torch

        was, now = self.before, {"threads": torch.get_num_threads(), "torch": torch.__version__}
        told = [
            f"{name} {getattr(was, name)} before, {value} now"
            for name, value in now.items()
            if getattr(was, name) not in (None, value)
        ]
        return f"{'; '.join(told)}: losses may differ in their last digits" if told else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The leg begins; how often to log, evaluate and save is as it is set now, not as it was."""
        self.has_begun = True
        state.compute_steps(args, state.max_steps)
        if self.resumes and self.trainer and self.before.pending_loss:
            self.trainer.take_pending(self.before.pending_loss[processes.index()], self.before.logged_at)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Say that the checkpoint is whole, once all processes have written; then older ones can go."""
        loss, logged_at = self.trainer.pending() if self.trainer else (0.0, state.global_step)
        losses = processes.gather(loss) if processes.count() > 1 else [loss]  # all have written theirs
        if not args.should_save:
            return
        now, folder = replace(self.legs(), pending_loss=losses, logged_at=logged_at), Path(args.output_dir)
        legs.write(folder / f"checkpoint-{state.global_step}", now)
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
    """The stamp and what is kept beside it, or what a stop left of them."""
    ours = (STAMP, START, choices.NAME)
    return path.name in ours or path.name.startswith(tuple(f".{name}." for name in ours))


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
