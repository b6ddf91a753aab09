"""The progress bar of training: steps, loss, tokens per second and time left, on stderr."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback


class ProgressBar(TrainerCallback):
    """One line that a person watches; made only where stderr is a terminal."""

    bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Begin where the checkpoint stood."""
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", file=sys.stderr)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """One step further."""
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Show the newest losses."""
        shown = {key: f"{logs[key]:.4f}" for key in ("loss", "eval_loss") if key in (logs or {})}
        if self.bar is not None and shown:
            self.bar.set_postfix(shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Leave the line as it is."""
        self.bar.close()
