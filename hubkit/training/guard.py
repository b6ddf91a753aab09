"""What may end training early: a signal, after the step at hand and with a checkpoint, or a broken loss."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback


class Guard(TrainerCallback):
    """Stops on a signal after the step at hand, with a checkpoint; and on a loss that is no number."""

    stopped_by: int | None = None
    broken_at: int | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Save and stop when a signal came; look at the loss before each save and at the end."""
        if self.stopped_by is not None:
            control.should_save = control.should_training_stop = True
        if control.should_save or state.global_step >= state.max_steps:
            control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Stop without saving when a loss is NaN or infinite."""
        losses = [(logs or {}).get(name, 0.0) for name in ("loss", "eval_loss")]
        if not all(map(math.isfinite, losses)):
            self.broken_at = state.global_step
            control.should_training_stop = True
            control.should_save = False


@contextmanager
def signals(guard: Guard) -> Iterator[None]:
    """While training: the first SIGINT or SIGTERM asks for a stop, the second one is as ever."""
    before: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: Any) -> None:
        guard.stopped_by = number
        signal.signal(number, before[signal.Signals(number)])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
    except ValueError:  # not the main thread: signals are somebody else's
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
