"""The loss of chosen positions, without logits for the others, and never all logits at once.

A language model's head turns each hidden state into a row as wide as the vocabulary: for 4,096 tokens and
49,152 words 800 MB in float32, of which perplexity needs one number a row. So the head is handed the hidden
states of the scored positions alone, so many rows at a time as stay in the cache. Where the head is several
layers (BERT's transforms each state before it projects it), it is the whole of it.

Some models do more to their logits after the head (Gemma 2 caps them, Cohere scales them), which this would
leave out. Whether it is so is found on the model itself, and so it is with the faster kernels: each way is
gone for a few tokens, and where it differs from the model's own, by torch's own kernels, the next is tried.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

PROBE = 16  # tokens that tell which way may be gone
LOGITS = {"cpu": 24 << 20}  # bytes of float32 logits at a time
LOGITS_ELSEWHERE = 256 << 20
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}  # relative, of the loss; kernels differ by the rows
SAME = 1e-6  # relative, of losses by the same kernels on the same shapes
LOW_PRECISION = 2e-3  # in 16 bits, where a logit is rounded to 8 or 11 bits
ROUNDED_ELSEWHERE = 1e-2  # in 16 bits, by kernels that round each layer's values in other places


@dataclass(frozen=True, slots=True)
class Way:
    """How losses are found: by a head apart, or (None) by the model's own logits; with these kernels."""

    head: Any = None
    kernels: Any = None


@dataclass(slots=True)
class ScoredRows:
    """The loss of a model's predictions, by the fastest way that gives the model's own.

    `kernels` (see that module) are used where they change nothing. `way` tells what was found, at the first
    call.
    """

    model: Any
    kernels: Any = None
    way: Way | None = None  # None: not found out yet
    unmasked: bool | None = None  # whether padding on the right needs no mask; None: not found out yet

    def losses(self, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        """The loss of each prediction in nats, float64 on the CPU, (predictions,).

        `inputs`, `attention` (or None) and `wanted`, a mask, have the shape (batch, length); `targets` holds
        the tokens to predict at the wanted positions, in order. Padding stands on the right.
        """
        if self.way is None:
            self.way = self._found(inputs[:1, :PROBE])
        if attention is not None and self.unmasked is None:
            self.unmasked = self._needs_no_mask(inputs[:1, :PROBE])
        mask = None if self.unmasked else attention
        return self._gone(self.way, inputs, mask, wanted, targets)

    def _found(self, tokens: Any) -> Way:
        """The first way that gives the model's own loss, on a few tokens each taken as its own target."""
        probe = (tokens, None, tokens == tokens, tokens[0])
        plain = self._gone(Way(), *probe)
        heads = self._heads()
        if self.kernels and heads:  # as it mostly is: both at once
            faster = Way(heads[0], self.kernels)
            if _agree(self._gone(faster, *probe), plain, self._tolerance(LOW_PRECISION)):
                return faster
        way = Way()
        for head in heads:
            found = self._gone(Way(head), *probe)
            if _agree(found, plain, self._tolerance(LOW_PRECISION)):
                plain, way = found, Way(head)
                break
        faster = Way(way.head, self.kernels)
        if self.kernels and _agree(self._gone(faster, *probe), plain, self._tolerance(ROUNDED_ELSEWHERE)):
            return faster
        return way

    def _needs_no_mask(self, tokens: Any) -> bool:
        """Whether tokens on the right change nothing for those before them, as in causal models."""
        assert self.way is not None
        half = tokens.shape[1] // 2
        wanted, other = tokens != tokens, tokens.clone()
        wanted[:, :half] = True
        other[:, half:] = tokens[:, half:] != 1  # 0 for a 1, and 1 for any other
        first, second = (self._gone(self.way, one, None, wanted, tokens[0, :half]) for one in (tokens, other))
        return bool(half and (first - second).abs().max() <= SAME * first.abs().max())

    def _tolerance(self, in_16_bits: float) -> float:
        return TOLERANCE.get(str(self.model.dtype).removeprefix("torch."), in_16_bits)

    def _gone(self, way: Way, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        """The losses by one way; None where the head is not called as it would have to be."""
        with way.kernels or contextlib.nullcontext():
            if way.head is not None:
                return self._by_head(way.head, inputs, attention, wanted, targets)
            logits = self.model(input_ids=inputs, attention_mask=attention).logits
            return row_losses(logits[wanted], targets, logits.shape[-1])

    def _by_head(self, head: Any, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        kept: list[Any] = []

        def first_row_only(_: Any, args: tuple[Any, ...]) -> Any:
            if kept or not args or args[0].shape[:2] != inputs.shape:
                return None  # called twice, or not with a state for each token: it will not agree
            kept.append(args[0][wanted])
            return (args[0][:, :1], *args[1:])

        hook = head.register_forward_pre_hook(first_row_only)
        try:
            vocabulary = self.model(input_ids=inputs, attention_mask=attention).logits.shape[-1]
        finally:
            hook.remove()
        return row_losses(kept[0], targets, vocabulary, head) if kept else None

    def _heads(self) -> list[Any]:
        """What may be the head: the outermost module around the output embedding, and that itself.

        Outermost without the input embedding, as that would be the model.
        """
        try:
            last, first = self.model.get_output_embeddings(), self.model.get_input_embeddings()
        except (AttributeError, NotImplementedError):
            return []
        if last is None:
            return []
        around = [
            module
            for module in self.model.modules()  # outer ones first
            if any(part is last for part in module.modules())
            and not any(part is first for part in module.modules())
        ]
        return around[:1] if around[:1] == [last] else [*around[:1], last]


def _agree(other: Any, plain: Any, tolerance: float) -> bool:
    """Whether two ways give the same loss; what is no number agrees with nothing."""
    return other is not None and bool((other - plain).sum().abs() <= tolerance * plain.sum().abs())


def row_losses(rows: Any, targets: Any, vocabulary: int, head: Any = None) -> Any:
    """The loss in nats of each of (rows, vocabulary) logits, or of what `head` makes of (rows, hidden).

    Log-probabilities are taken in float32, and given as float64 on the CPU.
    """
    import torch

    some = max(1, LOGITS.get(rows.device.type, LOGITS_ELSEWHERE) // (4 * vocabulary))
    parts = []
    for at in range(0, len(targets), some):
        logits = rows[at : at + some] if head is None else head(rows[at : at + some])
        losses = torch.nn.functional.cross_entropy(logits.float(), targets[at : at + some], reduction="none")
        parts.append(losses.double().cpu())
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
