"""TensorBoard and trackio, for those who have them: the numbers of training, in files on this machine.

Nothing is sent anywhere, unless the user's own TRACKIO_SPACE_ID or TRACKIO_SERVER_URL tells trackio to. A
tracker that fails is said once and left out; training goes on.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from hubkit import processes
from hubkit.errors import MissingExtra
from hubkit.training.job import Job

FOLDER = "logs"
NAMES = {  # of the Trainer's log -> of the chart
    "loss": "train/loss",
    "eval_loss": "eval/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/grad_norm",
}
PERPLEXITIES = {"loss": "train/perplexity", "eval_loss": "eval/perplexity"}
LARGEST = 700.0  # nats; the exponential of more is no number
ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


def check(names: Sequence[str]) -> None:
    """The packages must be there, before anything else is done. Raises MissingExtra."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(f"training.report_to: {name} is not installed", f"pip install {name}")


def trackers(job: Job) -> list[TrainerCallback]:
    """A callback for each tracker that the settings name; in the main process only. Raises MissingExtra."""
    check(job.training.report_to)
    if not processes.is_main():
        return []
    made = {"tensorboard": TensorBoard, "trackio": Trackio}
    told = job.output_dir, job.task.PERPLEXITY is not None, job.say
    return [made[name](*told) for name in dict.fromkeys(job.training.report_to)]


class Tracker(TrainerCallback):
    """What a tracker is told, and what becomes of its failures. A subclass opens, writes and closes."""

    name = ""

    def __init__(self, output_dir: Path, is_language: bool, say: Callable[[str], None]) -> None:
        self.output_dir, self.is_language, self.say = output_dir, is_language, say
        self.is_open = False

    def open(self, step: int, settings: dict[str, Any]) -> str:
        """Begin at a step, above 0 after a stop; gives where the numbers go."""
        raise NotImplementedError

    def write(self, values: dict[str, float], step: int) -> None:
        """Keep some numbers of a step."""
        raise NotImplementedError

    def close(self) -> None:
        """Bring all of it to the disk."""
        raise NotImplementedError

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Open it, and say where it writes."""
        told = {name: getattr(args, name) for name in ("learning_rate", "seed", "max_steps")}

        def begin() -> None:
            self.say(f"{self.name}: numbers go to {self.open(state.global_step, told)}")
            self.is_open = True

        self._try(begin)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Write the numbers that charts are drawn of."""
        values = numbers(logs or {}, self.is_language)
        if self.is_open and values:
            self._try(lambda: self.write(values, state.global_step))

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Close it."""
        if self.is_open:
            self._try(self.close)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # stdout holds the result, and nothing else
                work()
        except Exception as error:  # whatever a tracker raises: it is no reason to lose a training
            self.is_open = False
            reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
            self.say(f"{self.name} failed, and training goes on without it: {reason}")


def numbers(logs: dict[str, Any], is_language: bool) -> dict[str, float]:
    """The numbers of a log by the names that charts have; perplexity is exp of the loss."""
    found = {chart: float(logs[name]) for name, chart in NAMES.items() if name in logs}
    if is_language:
        found |= {
            chart: math.exp(logs[name])
            for name, chart in PERPLEXITIES.items()
            if name in logs and logs[name] < LARGEST
        }
    return {chart: value for chart, value in found.items() if math.isfinite(value)}


class TensorBoard(Tracker):
    """Event files in `<output_dir>/logs`; after a stop, what was written past the checkpoint is hidden."""

    name = "tensorboard"

    def open(self, step: int, settings: dict[str, Any]) -> str:
        """Open an event file."""
        from torch.utils.tensorboard import SummaryWriter

        where = self.output_dir / FOLDER
        self.writer = SummaryWriter(str(where), purge_step=step + 1 if step else None)
        return str(where)

    def write(self, values: dict[str, float], step: int) -> None:
        """Add points."""
        for chart, value in values.items():
            self.writer.add_scalar(chart, value, step)
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()


class Trackio(Tracker):
    """A run of the project `hubkit`, in `<output_dir>/logs/trackio` or where TRACKIO_DIR says."""

    name = "trackio"

    def open(self, step: int, settings: dict[str, Any]) -> str:
        """Begin a run, or go on with it."""
        os.environ.setdefault("TRACKIO_DIR", str((self.output_dir / FOLDER / "trackio").resolve()))
        trackio = _trackio()
        self.run = trackio.init(
            project="hubkit",
            name=self.output_dir.resolve().name,
            resume="allow" if step else "never",
            config=settings,
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        sent = [os.environ[name] for name in ELSEWHERE if os.environ.get(name)]
        return sent[0] if sent else str(trackio.utils.TRACKIO_DIR)

    def write(self, values: dict[str, float], step: int) -> None:
        """Log points."""
        _trackio().log(values, step=step)

    def close(self) -> None:
        """End the run."""
        _trackio().finish()


def _trackio() -> Any:
    """The package, which need not be there when types are checked."""
    return importlib.import_module("trackio")
