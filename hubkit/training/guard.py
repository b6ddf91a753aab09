"""What may end training early: a signal, after the step at hand and with a checkpoint, or a broken number."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

from hubkit import processes
from hubkit.interrupts import NUMBERS


class Guard(TrainerCallback):
    """Stops on a signal after the step at hand, with a checkpoint; and, without one, on what is no number."""

    stopped_by: int | None = None
    broken_at: int | None = None
    broken: str = ""  # what is not finite: "the loss is", "the gradient is", "the weights are"

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        """Save and stop when a signal came; look at the weights before each save."""
        self.stopped_by = processes.highest(self.stopped_by or 0) or None  # all of them stop at one step
        if self.stopped_by is not None:
            control.should_save = control.should_training_stop = True
        if state.global_step >= state.max_steps:
            control.should_log = True
        if control.should_save and processes.highest(not is_finite(model)):
            control.should_log = True  # the loss may tell more
            self._break("the weights are", state, control)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **rest: Any
    ) -> None:
        """Stop without saving when a loss is NaN or infinite, or a gradient was that the weights took."""
        told = {name: (logs or {}).get(name, 0.0) for name in ("loss", "eval_loss", "grad_norm")}
        if not (math.isfinite(told["loss"]) and math.isfinite(told["eval_loss"])):
            self._break("the loss is", state, control)
        elif not math.isfinite(told["grad_norm"]) and processes.highest(not is_finite(model)):
            self._break("the gradient is", state, control)

    def _break(self, what: str, state: Any, control: Any) -> None:
        self.broken, self.broken_at = what, state.global_step
        control.should_training_stop = True
        control.should_save = False


def is_finite(model: Any) -> bool:
    """Whether all trained weights are numbers."""
    return all(bool(p.isfinite().all()) for p in model.parameters() if p.requires_grad)


@contextmanager
def signals(guard: Guard) -> Iterator[None]:
    """While training: the first SIGINT, SIGTERM or SIGHUP asks for a stop, the second one is as ever.

    A signal that was being ignored (nohup) stays ignored.
    """
    before: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: Any) -> None:
        guard.stopped_by = number
        for each, handler in before.items():
            signal.signal(each, handler)
        if processes.is_main():  # a signal may come in the midst of a print
            os.write(2, b"hubkit: stopping after the step at hand; once more stops at once\n")

    try:
        for number in NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, ask)
    except ValueError:  # not the main thread: signals are somebody else's
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
