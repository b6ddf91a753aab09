"""What is seen of a training while it runs: how far it is, loss, perplexity, tokens per second, time left.

A person at a terminal sees a bar. Elsewhere (logs of CI, of a batch system) a plain line is said at the first
log, then at most each 30 seconds, and at the end.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

EVERY = 30.0  # seconds between plain lines
WINDOW = 60.0  # seconds that the shown speed is the mean of
DIVERGED = 10.0  # times the first loss
LARGEST = 1e6  # a perplexity above it says nothing


@dataclass
class Course:
    """How fast training is. A mark is (seconds, step, tokens); `marks` are those of the window."""

    clock: Callable[[], float] = time.monotonic
    marks: deque[tuple[float, int, int]] = field(default_factory=deque)
    begun: tuple[float, int, int] | None = None

    def mark(self, step: int, tokens: int) -> None:
        """A step has ended, or (the first mark) this leg begins."""
        now = (self.clock(), step, tokens)
        self.begun = self.begun or now
        self.marks.append(now)
        while len(self.marks) > 2 and now[0] - self.marks[1][0] >= WINDOW:
            self.marks.popleft()

    def tokens_per_second(self) -> float | None:
        """The mean over the window, evaluation and checkpoints included."""
        if len(self.marks) < 2:
            return None
        (since, _, before), (now, _, after) = self.marks[0], self.marks[-1]
        return (after - before) / (now - since) if now > since else None

    def seconds_left(self, last_step: int) -> float | None:
        """At the pace of this leg: what was run before a stop, perhaps elsewhere, does not count."""
        if self.begun is None or not self.marks:
            return None
        (since, first, _), (now, step, _) = self.begun, self.marks[-1]
        return (now - since) / (step - first) * (last_step - step) if step > first else None


class Progress(TrainerCallback):
    """Shows the course of training, and says once when the loss has grown far beyond the first.

    `tokens_a_step` is what a step reads where the Trainer does not count tokens itself.
    """

    bar: Any = None
    first: float | None = None  # loss
    told_of: float | None = None  # seconds: when the last plain line was said
    said_diverged = False

    def __init__(
        self, say: Callable[[str], None], *, watched: bool, is_language: bool, tokens_a_step: int
    ) -> None:
        self.say, self.watched, self.is_language = say, watched, is_language
        self.tokens_a_step = tokens_a_step
        self.course = Course()
        self.shown: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Begin where the checkpoint stood."""
        self.first = next((line["loss"] for line in state.log_history if "loss" in line), None)
        self.course.mark(state.global_step, self._tokens(state))
        if self.watched:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", file=sys.stderr)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """One step further."""
        self.course.mark(state.global_step, self._tokens(state))
        if self.bar is not None:
            self.bar.set_postfix(self._postfix(), refresh=False)
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Take the newest losses; show them where a line is due."""
        losses = {name: logs[name] for name in ("loss", "eval_loss") if name in (logs or {})}
        if not losses:
            return
        self.shown |= {name.replace("_", " "): f"{loss:.4f}" for name, loss in losses.items()}
        if self.is_language:
            self.shown |= {
                name.replace("loss", "perplexity").replace("_", " "): perplexity(loss)
                for name, loss in losses.items()
            }
        self._look_at(losses.get("loss"), state.global_step)
        if self.bar is not None:
            self.bar.set_postfix(self._postfix())
        elif state.global_step < state.max_steps and self._is_due():  # the last line is that of the end
            self._line(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Leave the bar as it is, or say the last line."""
        if self.bar is not None:
            self.bar.close()
        elif self.shown:
            self._line(state)

    def _tokens(self, state: Any) -> int:
        return int(state.num_input_tokens_seen or state.global_step * self.tokens_a_step)

    def _is_due(self) -> bool:
        return self.told_of is None or self.course.clock() - self.told_of >= EVERY

    def _line(self, state: Any) -> None:
        self.told_of = self.course.clock()
        parts = [f"step {state.global_step:,} of {state.max_steps:,}"]
        parts += [f"{name} {value}" for name, value in self.shown.items()]
        if speed := self.course.tokens_per_second():
            parts.append(f"{speed:,.0f} tokens/s")
        if left := self.course.seconds_left(state.max_steps):
            parts.append(f"{duration(left)} left")
        self.say(", ".join(parts))

    def _postfix(self) -> dict[str, str]:
        speed = self.course.tokens_per_second()
        return self.shown | ({"tokens/s": f"{speed:,.0f}"} if speed else {})

    def _look_at(self, loss: float | None, step: int) -> None:
        if loss is None:
            return
        self.first = loss if self.first is None else self.first
        if self.said_diverged or not math.isfinite(loss) or not 0 < DIVERGED * self.first < loss:
            return
        self.said_diverged = True
        more = f"more than {DIVERGED:.0f} times the first ({self.first:.4g})"
        self.say(
            f"the loss is {loss:.4g} at step {step:,}, {more}: training.learning_rate may be too high;"
            " training goes on"
        )


def perplexity(loss: float) -> str:
    """exp of a loss in nats, as it is shown."""
    value = math.exp(min(loss, 700.0))
    return f"{value:,.2f}" if value < LARGEST else f"above {LARGEST:,.0f}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min 30 s`, `3 h 05 min`, `2 d 4 h`."""
    whole = math.ceil(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
