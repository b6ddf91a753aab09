"""The loss of chosen positions, without logits for the others, and never all logits at once.

A language model's head turns each hidden state into a row as wide as the vocabulary: for 4,096 tokens and
49,152 words 800 MB in float32, of which perplexity needs one number a row. So the head is handed the hidden
states of the scored positions alone, some rows at a time.

Some models do more to their logits after the head (Gemma 2 caps them, Cohere scales them), which this would
leave out. Whether it is so is found on the model itself: both ways are gone for a few tokens, and where they
differ the model's own logits are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PROBE = 64  # tokens that tell whether the head may be called apart
ROWS = 256  # rows of logits at a time, in float32
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}  # relative, of the loss; kernels differ by the rows
LOW_PRECISION = 2e-3  # in 16 bits, where a logit is rounded to 8 or 11 bits


@dataclass(slots=True)
class ScoredRows:
    """The loss of a model's predictions; `apart` tells whether its head may be called apart."""

    model: Any
    apart: bool | None = None  # None: not found out yet

    def losses(self, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        """The loss of each prediction in nats, float64 on the CPU, (predictions,).

        `inputs`, `attention` (or None) and `wanted`, a mask, have the shape (batch, length); `targets` holds
        the tokens to predict at the wanted positions, in order.
        """
        if self.apart is None:
            self.apart = self._agrees(inputs[:1, :PROBE])
        go = self._by_head if self.apart else self._by_model
        return go(inputs, attention, wanted, targets)

    def _agrees(self, tokens: Any) -> bool:
        """Whether the head alone gives the model's own loss, on a few tokens each taken as its own target."""
        if self._head() is None:
            return False
        probe = (tokens, None, tokens == tokens, tokens[0])
        plain, other = self._by_model(*probe).sum(), self._by_head(*probe)
        if other is None or not bool(plain.isfinite()):
            return False
        tolerance = TOLERANCE.get(str(self.model.dtype).removeprefix("torch."), LOW_PRECISION)
        return bool(abs(other.sum() - plain) <= tolerance * abs(plain))

    def _by_model(self, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        logits = self.model(input_ids=inputs, attention_mask=attention).logits
        return row_losses(logits[wanted], targets)

    def _by_head(self, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        head = self._head()
        kept: list[Any] = []

        def first_row_only(_: Any, args: tuple[Any, ...]) -> Any:
            if kept or not args or args[0].shape[:2] != inputs.shape:
                return None  # called twice, or not with a state for each token: it will not agree
            kept.append(args[0][wanted])
            return (args[0][:, :1], *args[1:])

        hook = head.register_forward_pre_hook(first_row_only)
        try:
            self.model(input_ids=inputs, attention_mask=attention)
        finally:
            hook.remove()
        return row_losses(kept[0], targets, head) if kept else None

    def _head(self) -> Any:
        try:
            return self.model.get_output_embeddings()
        except (AttributeError, NotImplementedError):
            return None


def row_losses(rows: Any, targets: Any, head: Any = None) -> Any:
    """The loss in nats of each of (rows, vocabulary) logits, or of what `head` makes of (rows, hidden).

    Log-probabilities are taken in float32, and given as float64 on the CPU.
    """
    import torch

    parts = []
    for at in range(0, len(targets), ROWS):
        logits = rows[at : at + ROWS] if head is None else head(rows[at : at + ROWS])
        losses = torch.nn.functional.cross_entropy(logits.float(), targets[at : at + ROWS], reduction="none")
        parts.append(losses.double().cpu())
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
