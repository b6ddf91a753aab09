"""The Trainer, so that neither a look at the held-out text nor a stop changes what is trained and told."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import Trainer


class Steady(Trainer):
    """Evaluation leaves the random numbers of training alone, and losses that no log has told are known."""

    def evaluate(self, *given: Any, **named: Any) -> dict[str, float]:
        """As the Trainer does; training goes on with the random numbers that it would have had without it."""
        with unmoved():
            return dict(super().evaluate(*given, **named))

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """The order that the documents ask for, where they ask for one."""
        order = getattr(self.train_dataset, "order", None)
        if order is None:
            return super()._get_train_sampler(train_dataset)
        return order(self.args.train_batch_size, self.args.seed)

    def pending(self) -> tuple[float, int]:
        """The losses of this process summed since the last log, exactly, and the step of that log."""
        return float(self._tr_loss), self._globalstep_last_logged

    def take_pending(self, loss: float, logged_at: int) -> None:
        """Go on with what was summed before a stop: the next log tells the mean of all its steps."""
        self._tr_loss += loss
        self._globalstep_last_logged = logged_at


@contextmanager
def unmoved() -> Iterator[None]:
    """Whatever is drawn in this block, the random numbers after it are those that would have come without."""
    import numpy
    import torch

    python, numbers = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    numpy.random.set_state(numbers)
