"""The loss of a batch and its gradients, by the fastest way that gives what the model itself gives.

A language model's head turns each hidden state into a row as wide as the vocabulary. In masked language
modeling one row in seven has a label; in causal language modeling all have, and 2,048 rows of 49,152 words
are 400 MB in float32, several times over until the gradients are done. So the head is handed the states of
labelled positions alone, and where it is frozen, so many rows at a time as stay in the cache: their loss, and
at once the gradient to the states, and no logits are kept.

On the first batch each way is held against the model's own loss and gradients, on the row with most labels;
the first that agrees is gone from then on. The random numbers (dropout) are those that the model would draw.

The loss is the sum over labelled positions by the number of them in all batches of an optimizer step, on all
processes: the mean that one large batch would have. (Some models of transformers 5.23, BERT among them, give
the mean of each batch whatever they are told, and the Trainer adds these up.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from hubkit.measures.scored_rows import with_heads
from hubkit.training import apart, frozen

IGNORED = -100
LOGITS = {"cpu": 24 << 20}  # bytes of float32 logits at a time
LOGITS_ELSEWHERE = 256 << 20
HEAD = "head at labelled positions"
OWN = "the model's own loss"
# Largest difference to the model's own, relative, of loss and of all gradients together (2-norm)
FULL_PRECISION = (1e-5, 1e-3)  # in float64 too, as many models take their loss in float32
LOW_PRECISION = (1e-2, 1e-1)  # 16 bits: each rounds in other places


@dataclass(frozen=True)
class Way:
    """How the loss is found: by a head apart, by the model's logits, or (`own`) as the model does."""

    head: Any = None
    kernels: frozen.Frozen | None = None
    own: bool = False

    @property
    def name(self) -> str:
        """For the record."""
        parts = [
            HEAD if self.head is not None else OWN if self.own else "",
            frozen.NAME if self.kernels else "",
        ]
        return ", ".join(filter(None, parts)) or "plain"


class Losses:
    """Of a model in training. `kind` is "causal" where a state predicts the next token, "masked" where it
    predicts its own, and None where only the model itself knows its loss.

    `wanted` is training.kernels; `apart`: the documents of a block do not see each other. `known` is the key
    of the way that an earlier part of this training went, which is gone on without another look.
    `way` is None until the first look.
    """

    def __init__(
        self,
        model: Any,
        kind: str | None,
        wanted: str,
        say: Callable[[str], None],
        *,
        apart: bool = False,
        known: str | None = None,
    ) -> None:
        self.model, self.kind, self.wanted, self.say, self.known = model, kind, wanted, say, known
        self.apart = apart
        self.way: Way | None = None
        self.kernels = frozen.choose(model, wanted)
        self._entered: Any = None

    @property
    def causal(self) -> bool:
        """Whether a state predicts the next token."""
        return self.kind == "causal"

    @property
    def name(self) -> str:
        """Of the way that is gone, for the record."""
        return self.way.name if self.way else ""

    @property
    def key(self) -> str:
        """Of the way that is gone, for a later part of this training: its name, and which head."""
        return self._key(self.way) if self.way else ""

    def _key(self, way: Way) -> str:
        """Two heads, one around the other, have one name, and need not give the same."""
        place = next((name for name, part in self.model.named_modules() if part is way.head), None)
        return way.name if way.head is None else f"{way.name}, at {place}"

    def prepared(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """A collator's batch as the model is called with it, beside `labels`."""
        if self.apart:
            return apart.inputs(self.model, inputs, self.causal)
        return {name: value for name, value in inputs.items() if name != "segments"}

    def look(self, inputs: dict[str, Any]) -> None:
        """Find the way, on a collator's batch; random numbers and gradients stay as they are."""
        self.way = self._found(_fullest(self.prepared(inputs)))

    def __call__(self, called: Any, inputs: dict[str, Any], items: Any = None) -> Any:
        """The loss of a prepared batch, (): the sum over its labels by `items`, or their mean without.

        `called` is what is called, the model or what several processes wrap it in. None: the way is the
        model's own.
        """
        assert self.way is not None, "look first"
        return None if self.way.own else self._gone(self.way, called, inputs, items)

    def leave_to_model(self) -> None:
        """Go no way but the model's own."""
        self.way = Way(own=True)

    def probed(self, inputs: dict[str, Any]) -> Any:
        """The loss of a collator's batch, whatever the way."""
        assert self.way is not None, "look first"
        return self._gone(self.way, self.model, self.prepared(inputs), None)

    def entered(self) -> Any:
        """The kernels in use, as a context."""
        return self._kernels(self.way.kernels if self.way else None)

    def checkpoint(self) -> None:
        """Keep the inputs of the model's layers alone for the way back, and compute the rest again there."""
        given = {"use_reentrant": False, "context_fn": self._contexts}
        self.model.activation_checkpointing_enable(activation_checkpointing_kwargs=given)

    def _contexts(self) -> tuple[Any, Any]:
        """What a layer is computed in, the first time and again on the way back: in the same kernels."""
        return contextlib.nullcontext(), self._entered or contextlib.nullcontext()

    @contextlib.contextmanager
    def _kernels(self, kernels: frozen.Frozen | None) -> Iterator[None]:
        before, self._entered = self._entered, kernels
        try:
            with kernels or contextlib.nullcontext():
                yield
        finally:
            self._entered = before

    def _gone(self, way: Way, called: Any, inputs: dict[str, Any], items: Any) -> Any:
        given = {name: value for name, value in inputs.items() if name != "labels"}
        labels = inputs["labels"]
        with self._kernels(way.kernels):
            if way.own:
                return called(**given, labels=labels).loss
            wanted, targets = labelled(labels, self.causal)
            if way.head is None:
                logits = called(**given).logits
                total = cross_entropy(_wide(logits[wanted]), targets, reduction="sum")
            else:
                total = self._by_head(way.head, called, given, wanted, targets)
        counted = len(targets) if items is None else items
        return total / max(counted, 1)  # a batch may have no label

    def _by_head(self, head: Any, called: Any, inputs: dict[str, Any], wanted: Any, targets: Any) -> Any:
        kept: list[Any] = []

        def first_row_only(_: Any, args: tuple[Any, ...]) -> Any:
            kept.append(args[0][wanted])
            return (args[0][:, :1], *args[1:])

        hook = head.register_forward_pre_hook(first_row_only)
        try:
            words = called(**inputs).logits.shape[-1]
        finally:
            hook.remove()
        wanted_of_head = any(parameter.requires_grad for parameter in head.parameters())
        targets = targets.to(kept[0].device)
        if wanted_of_head:
            return cross_entropy(_wide(head(kept[0])), targets, reduction="sum")
        return Chunked.apply(kept[0], targets, head, words)

    def _found(self, row: dict[str, Any]) -> Way:
        """The first way whose loss and gradients on a row are the model's own."""
        ways = self._ways(row)
        if self.known is not None:
            if again := next((way for way in ways if self._key(way) == self.known), None):
                return again
            self.say(f"before the stop, losses were found another way: {self.known}")
        own = self._tried(Way(own=True), row)
        found = next(way for way in ways if way == Way(own=True) or self._agrees(self._tried(way, row), own))
        if self.kind and found.own:
            self.say("losses and gradients are found as the model does: nothing else gave the same")
        return found

    def _ways(self, row: dict[str, Any]) -> list[Way]:
        """Those that may be gone, the fastest first; the last is always right."""
        kernels = [self.kernels, None] if self.kernels else [None]
        heads = self._heads(row) if self.kind and self.wanted == "auto" else []
        by_head = [Way(head, kernel) for head in heads for kernel in kernels]
        by_logits = [Way(None, kernel) for kernel in kernels if self.kind]
        return by_head + by_logits + [Way(None, kernel, own=True) for kernel in kernels]

    def _heads(self, row: dict[str, Any]) -> list[Any]:
        """The heads that give the model's logits and draw no random numbers of their own."""
        given = {name: value for name, value in row.items() if name != "labels"}
        with _unmoved(), torch.no_grad():
            _, heads = with_heads(self.model, lambda: self.model(**given).logits)
        return [head for head in heads if not _draws(head)]

    def _tried(self, way: Way, row: dict[str, Any]) -> tuple[Any, list[Any]] | None:
        """Loss and gradients by one way; None where it cannot be gone."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        try:
            with _unmoved(), torch.enable_grad():
                loss = self._gone(way, self.model, row, None)
                found = torch.autograd.grad(loss, trained, allow_unused=True)
        except (RuntimeError, TypeError, AttributeError, IndexError):
            if way.own:
                raise
            return None
        return loss.detach(), [gradient for gradient in found if gradient is not None]

    def _agrees(self, found: tuple[Any, list[Any]] | None, own: tuple[Any, list[Any]] | None) -> bool:
        if found is None or own is None or len(found[1]) != len(own[1]):
            return False
        in_loss, in_gradients = LOW_PRECISION if self.model.dtype.itemsize < 4 else FULL_PRECISION
        apart = sum(float((a - b).double().norm() ** 2) for a, b in zip(found[1], own[1], strict=True)) ** 0.5
        length = sum(float(b.double().norm() ** 2) for b in own[1]) ** 0.5
        same_loss = float((found[0] - own[0]).abs()) <= in_loss * float(own[0].abs())
        return same_loss and apart <= in_gradients * length


class Chunked(torch.autograd.Function):
    """The summed loss of (rows, hidden) states under a frozen head, so many rows at a time.

    The gradient to the states is found at once, while the rows' logits are at hand; none are kept. It is
    (softmax - target) times the head's Jacobian, in float32 up to the head.
    """

    @staticmethod
    def forward(ctx: Any, states: Any, targets: Any, head: Any, words: int) -> Any:
        """The sum, () in float32 (float64 for float64)."""
        wanted = ctx.needs_input_grad[0]
        some = max(1, LOGITS.get(states.device.type, LOGITS_ELSEWHERE) // (4 * words))
        total, gradients = [], []
        for rows, right in zip(states.split(some), targets.split(some), strict=True):
            with torch.set_grad_enabled(wanted):
                rows = rows.detach().requires_grad_(wanted)
                logits = head(rows)
            scores = torch.log_softmax(_wide(logits.detach()), -1)
            at = torch.arange(len(right), device=right.device), right
            total.append(-scores[at].sum())
            if wanted:
                scores.exp_()[at] -= 1
                gradients.append(torch.autograd.grad(logits, rows, scores.to(logits.dtype))[0])
        ctx.save_for_backward(torch.cat(gradients) if gradients else torch.zeros_like(states))
        return torch.stack(total).sum() if total else _wide(states.new_zeros(()))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """To the states, (rows, hidden)."""
        (found,) = ctx.saved_tensors
        return (found * gradients[0]).to(found.dtype), None, None, None


def labelled(labels: Any, causal: bool) -> tuple[Any, Any]:
    """Which positions predict, as a mask (batch, length), and what each should, (predictions,)."""
    if causal:
        labels = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    wanted = labels != IGNORED
    return wanted, labels[wanted]


def _wide(logits: Any) -> Any:
    """In float32 at least."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _fullest(inputs: dict[str, Any]) -> dict[str, Any]:
    """The row of a batch that has most labels."""
    labels = inputs["labels"]
    at = int((labels != IGNORED).reshape(len(labels), -1).sum(1).argmax())
    return {name: value[at : at + 1] if torch.is_tensor(value) else value for name, value in inputs.items()}


def _draws(head: Any) -> bool:
    return any(isinstance(part, torch.nn.Dropout) and part.p for part in head.modules())


@contextlib.contextmanager
def _unmoved() -> Iterator[None]:
    """The random numbers after this are those that would have come without; each begins with the same."""
    with torch.random.fork_rng():
        yield
