"""The loss of chosen positions, without logits for the others, and never all logits at once.

A language model's head turns each hidden state into a row as wide as the vocabulary: for 4,096 tokens and
49,152 words 800 MB in float32, of which perplexity needs one number a row. So the head is handed the hidden
states of the scored positions alone, so many rows at a time as stay in the cache. Where the head is several
layers (BERT's transforms each state before it projects it), it is the whole of it.

Some models do more to their logits after the head (Gemma 2 caps them, Cohere scales them), which this would
leave out. So a head is handed rows apart only where, on a few tokens, what it gives is the logits, number for
number; a tolerance would let a small cap pass in 16 bits. The faster kernels are tried on the same tokens:
where their loss differs from that of torch's own, the next way is tried.

Rows of unlike length are padded. A few models look at padding whatever the mask says (FNet mixes all
positions, ConvBERT folds neighbours), and some scale their positions by the longest row (dynamic and long
RoPE): these are handed each row without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
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
    unpadded: bool = False  # whether each row has to go by itself, as padding changes it mask or no mask

    def losses(self, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        """The loss of each prediction in nats, float64 on the CPU, (predictions,).

        `inputs`, `attention` (or None) and `wanted`, a mask, have the shape (batch, length); `targets` holds
        the tokens to predict at the wanted positions, in order. Padding stands on the right.
        """
        if self.way is None:
            self.way = self._found(inputs[:1, :PROBE])
        if attention is not None and self.unmasked is None:
            self.unmasked = self._same_beside(inputs[:1, :PROBE], masked=False)
            self.unpadded = scales_by_length(self.model) or not (
                self.unmasked or self._same_beside(inputs[:1, :PROBE], masked=True)
            )
        if attention is not None and self.unpadded:
            return self._one_by_one(inputs, attention, wanted, targets)
        mask = None if self.unmasked else attention
        return self._gone(self.way, inputs, mask, wanted, targets)

    def _found(self, tokens: Any) -> Way:
        """The first way that gives the model's own loss, on a few tokens each taken as its own target."""
        probe = (tokens, None, tokens == tokens, tokens[0])
        plain, heads = self._plain(*probe)
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

    def _plain(self, *probe: Any) -> tuple[Any, list[Any]]:
        """The model's own loss, and the heads that, called once and with states alone, give the logits."""
        logits, heads = with_heads(self.model, lambda: self._logits(*probe[:2]))
        return row_losses(logits[probe[2]], probe[3], logits.shape[-1]), heads

    def _same_beside(self, tokens: Any, masked: bool) -> bool:
        """Whether other tokens on the right change nothing for those before them.

        Without a mask that is so in causal models; with one it should be in all. LLM.int8 rounds by what else
        is in the batch, which is no reason to give up padding.
        """
        assert self.way is not None
        same = ROUNDED_ELSEWHERE if masked and getattr(self.model, "is_quantized", False) else SAME
        half = tokens.shape[1] // 2
        wanted, other = tokens != tokens, tokens.clone()
        wanted[:, :half] = True
        other[:, half:] = tokens[:, half:] != 1  # 0 for a 1, and 1 for any other
        mask = wanted.long() if masked else None
        first, second = (self._gone(self.way, one, mask, wanted, tokens[0, :half]) for one in (tokens, other))
        return bool(half and (first - second).abs().max() <= same * first.abs().max())

    def _one_by_one(self, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        """The losses of each row without its padding; the shortest, which is the last, goes first."""
        import torch

        assert self.way is not None
        lengths, found = attention.sum(1).tolist(), []
        parts = targets.split(wanted.sum(1).tolist())
        for row in reversed(range(len(lengths))):
            one = slice(row, row + 1), slice(lengths[row])
            found.append(self._gone(self.way, inputs[one], None, wanted[one], parts[row]))
        return torch.cat(found[::-1])

    def _tolerance(self, in_16_bits: float) -> float:
        return TOLERANCE.get(str(self.model.dtype).removeprefix("torch."), in_16_bits)

    def _gone(self, way: Way, inputs: Any, attention: Any, wanted: Any, targets: Any) -> Any:
        """The losses by one way; None where the head is not called as it would have to be."""
        with way.kernels or contextlib.nullcontext():
            if way.head is not None:
                return self._by_head(way.head, inputs, attention, wanted, targets)
            logits = self._logits(inputs, attention)
            return row_losses(logits[wanted], targets, logits.shape[-1])

    def _logits(self, inputs: Any, attention: Any) -> Any:
        """The model's own of each token; those of a prompt that an adapter puts before them are left out."""
        logits = self.model(input_ids=inputs, attention_mask=attention).logits
        return logits[:, logits.shape[1] - inputs.shape[1] :]

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


def with_heads(model: Any, logits_of: Callable[[], Any]) -> tuple[Any, list[Any]]:
    """The logits that a call of the model gives, and the heads that gave them, called once with states alone.

    The outermost comes first.
    """
    calls: dict[Any, list[tuple[int, Any]]] = {head: [] for head in _heads(model)}

    def note(head: Any, args: Any, kwargs: Any, out: Any) -> None:
        calls[head].append((len(args) + 2 * len(kwargs), out))

    hooks = [head.register_forward_hook(note, with_kwargs=True) for head in calls]
    try:
        logits = logits_of()
    finally:
        for hook in hooks:
            hook.remove()
    return logits, [head for head, seen in calls.items() if len(seen) == 1 and _is_logits(*seen[0], logits)]


def _heads(model: Any) -> list[Any]:
    """What may be the head: the outermost module around the output embedding, and that itself.

    Outermost without the input embedding, as that would be the model.
    """
    try:
        last, first = model.get_output_embeddings(), model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return []
    if last is None:
        return []
    around = [
        module
        for module in model.modules()  # outer ones first
        if any(part is last for part in module.modules())
        and not any(part is first for part in module.modules())
    ]
    return around[:1] if around[:1] == [last] else [*around[:1], last]


def scales_by_length(model: Any) -> bool:
    """Whether positions are scaled by the longest row beside: RoPE of the kinds "dynamic" and "longrope".

    transformers keeps the scale of "dynamic" for the shorter rows that come after, so the shortest must be
    first. The few tokens of the probe set it back.
    """
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    told = getattr(config, "rope_parameters", None) or {}
    kinds = [told, *told.values()]  # one for all layers, or one for each kind of layer
    return any(isinstance(one, dict) and one.get("rope_type") in ("dynamic", "longrope") for one in kinds)


def _is_logits(given: int, out: Any, logits: Any) -> bool:
    """Whether what a head made of its one argument is the model's logits, number for number."""
    import torch

    return given == 1 and isinstance(out, torch.Tensor) and torch.equal(out.float(), logits.float())


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
