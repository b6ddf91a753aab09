"""Run a model over windows and sum its loss, by document: the negative log-likelihood in nats."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hubkit.errors import MeasureError
from hubkit.measures.scored_rows import ScoredRows, scales_by_length
from hubkit.measures.windows import IGNORE, Window

CPU_TOKENS = 1024  # in a batch: more do not run faster, and push what lies between layers out of the cache
ENOUGH = 256  # tokens in a batch, from which on padding costs more than a batch of its own


@dataclass(frozen=True, eq=False)
class Score:
    """Sums by document, (documents,) each: negative log-likelihood in nats (float64), predictions (int64).

    `kernels` names what computed the linear layers where it was not torch's own choice; `merged` tells
    whether the adapter was merged into the base for it.
    """

    nll_by_document: Any
    tokens_by_document: Any
    kernels: str | None = None
    merged: bool = False

    @property
    def nll(self) -> float:
        """Over all documents."""
        return float(self.nll_by_document.sum())

    @property
    def tokens(self) -> int:
        """How many predictions."""
        return int(self.tokens_by_document.sum())

    @property
    def perplexity(self) -> float:
        """exp(nll / tokens). Raises MeasureError where that is no number."""
        try:
            value = math.exp(self.nll / self.tokens)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise MeasureError(
                "perplexity is not finite: the model's logits overflow or are NaN", "measure with float32"
            )
        return value


def score(
    model: Any, windows: Sequence[Window], batch_size: int, documents: int, kernels: str = "auto"
) -> Score:
    """Run the model over the windows of so many documents, at most `batch_size` at a time.

    `kernels` is measuring.kernels. Raises MeasureError without a token.
    """
    import torch

    from hubkit.measures.kernels import choose

    nll = torch.zeros(documents, dtype=torch.float64)
    tokens = torch.zeros(documents, dtype=torch.int64)
    model.eval()
    rows = ScoredRows(model, choose(model, kernels))
    with torch.inference_mode(), _without_cache(model):
        batches = _batches(windows, batch_size, model.device, shortest_first=scales_by_length(model))
        for inputs, attention, targets, owners in batches:
            wanted = targets != IGNORE
            owner = owners[wanted.cpu()]
            if not len(owner):
                continue
            nll.index_add_(0, owner, rows.losses(inputs, attention, wanted, targets[wanted]))
            tokens.index_add_(0, owner, torch.ones_like(owner))
    if not int(tokens.sum()):
        raise MeasureError("there is no token to score", "give more evaluation text")
    used = rows.way.kernels.names or None if rows.way and rows.way.kernels else None
    return Score(nll.numpy(), tokens.numpy(), kernels=used)


@contextlib.contextmanager
def _without_cache(model: Any) -> Iterator[None]:
    """Keys and values are for generating: scoring has no use for them."""
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    before = getattr(config, "use_cache", None)
    if before is not None:
        config.use_cache = False
    try:
        yield
    finally:
        if before is not None:
            config.use_cache = before


def grouped(lengths: Sequence[int], batch_size: int, tokens: int) -> Iterator[list[int]]:
    """The numbers of the windows that are run together, longest first.

    At most `batch_size` of them, `tokens` with padding (or one window), and of a batch with ENOUGH tokens at
    most a tenth padding.
    """
    batch: list[int] = []
    longest = real = 0
    for number in sorted(range(len(lengths)), key=lambda one: (-lengths[one], one)):
        whole = (len(batch) + 1) * longest
        wasteful = real >= ENOUGH and real + lengths[number] < 0.9 * whole
        if batch and (len(batch) == batch_size or whole > tokens or wasteful):
            yield batch
            batch, real = [], 0
        longest = longest if batch else lengths[number]
        batch.append(number)
        real += lengths[number]
    if batch:
        yield batch


def _batches(
    windows: Sequence[Window], batch_size: int, device: Any, shortest_first: bool = False
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Tensors (batch, longest): inputs, attention mask (None without padding), targets, documents."""
    import numpy
    import torch

    tokens = CPU_TOKENS if device.type == "cpu" else sys.maxsize
    groups = list(grouped([len(window.inputs) for window in windows], batch_size, tokens))
    for numbers in reversed(groups) if shortest_first else groups:
        batch = [windows[number] for number in numbers]
        longest = len(batch[0].inputs)

        def padded(rows: list[Any], fill: int, longest: int = longest) -> Any:
            whole = numpy.full((len(rows), longest), fill, dtype=numpy.int64)
            for row, part in zip(whole, rows, strict=True):
                row[: len(part)] = part
            return torch.from_numpy(whole)

        inputs = padded([window.inputs for window in batch], 0)
        attention = padded([numpy.ones(len(window.inputs)) for window in batch], 0)
        targets = padded([window.targets for window in batch], IGNORE)
        owners = padded([window.documents for window in batch], 0)
        mask = None if bool(attention.all()) else attention.to(device)
        yield inputs.to(device), mask, targets.to(device), owners
