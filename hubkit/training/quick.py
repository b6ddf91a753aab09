"""The Trainer with another way to the same loss. One method is its own; the loop is the Trainer's."""

from __future__ import annotations

from typing import Any

from hubkit.training.choices import Choices
from hubkit.training.losses import Losses
from hubkit.training.steady import Steady


class Quick(Steady):
    """Takes losses as `losses` finds them; without, as the model gives them."""

    losses: Losses | None = None
    choices: Choices | None = None  # what training found out before it began

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a batch, (); with `return_outputs` beside no outputs, as they are nowhere read."""
        if self.losses is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = self.losses.prepared(inputs)
        loss = self.losses(model, inputs, num_items_in_batch)
        if loss is None:
            with self.losses.entered():
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over them
        return (loss, {}) if return_outputs else loss
