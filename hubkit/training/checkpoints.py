"""Checkpoints of a training that was stopped: where to go on, and how long it had taken until there."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from hubkit import files
from hubkit.errors import TrainingError

FOLDER = "checkpoints"
STAMP = "settings.sha256"
LEGS = "hubkit_legs.json"  # written last: a checkpoint without it was cut off


@dataclass(frozen=True)
class Legs:
    """The parts of a training that were run so far."""

    started: str  # date, UTC
    seconds: float = 0.0
    resumed: int = 0


def find(folder: Path, settings_sha256: str, *, fresh: bool, must_resume: bool) -> Path | None:
    """The checkpoint to go on from, if any; checkpoints of other settings are an error, not a loss."""
    if fresh:
        drop(folder)
    last = max(_whole(folder), key=_step, default=None)
    stamp = folder / STAMP
    if last and (not stamp.is_file() or stamp.read_text() != settings_sha256):
        raise TrainingError(
            f"{folder} holds checkpoints of other settings",
            "give another output_dir, or --fresh to drop them and start anew",
        )
    if must_resume and not last:
        raise TrainingError(
            f"there is no checkpoint in {folder} to resume from", "leave --resume out to start"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"cannot make {folder}: {error.strerror or error}", "give another output_dir"
        ) from error
    files.write_atomically(stamp, settings_sha256.encode())
    return last


def drop(folder: Path) -> None:
    """Remove all checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)


def legs(checkpoint: Path | None) -> Legs:
    """What was run until a checkpoint; a first leg that begins now without one."""
    if checkpoint is None:
        return Legs(datetime.now(UTC).date().isoformat())
    before = Legs(**json.loads((checkpoint / LEGS).read_text(encoding="utf-8")))
    return replace(before, resumed=before.resumed + 1)


class Clock(TrainerCallback):
    """Adds this leg's time to that of the legs before it, and writes it beside each checkpoint."""

    def __init__(self, before: Legs) -> None:
        self.before = before
        self.begun = time.monotonic()

    def legs(self) -> Legs:
        """What was run until now."""
        return replace(self.before, seconds=self.before.seconds + time.monotonic() - self.begun)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The checkpoint is whole: say so."""
        now = self.legs()
        text = json.dumps({"started": now.started, "seconds": now.seconds, "resumed": now.resumed})
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        files.write_atomically(folder / LEGS, text.encode())


def _whole(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob(f"checkpoint-*/{LEGS}")]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
