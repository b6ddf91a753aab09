"""Run a model over windows and sum its loss, by document: the negative log-likelihood in nats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hubkit.errors import MeasureError
from hubkit.measures.scored_rows import ScoredRows
from hubkit.measures.windows import IGNORE, Window


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


def score(model: Any, windows: Sequence[Window], batch_size: int, documents: int) -> Score:
    """Run the model over the windows of so many documents.

    Windows of like length share a batch, so that padding is rare. Raises MeasureError without a token.
    """
    import torch

    nll = torch.zeros(documents, dtype=torch.float64)
    tokens = torch.zeros(documents, dtype=torch.int64)
    rows = ScoredRows(model)
    model.eval()
    with torch.inference_mode():
        for inputs, attention, targets, owners in _batches(windows, batch_size, model.device):
            wanted = targets != IGNORE
            owner = owners[wanted.cpu()]
            if not len(owner):
                continue
            nll.index_add_(0, owner, rows.losses(inputs, attention, wanted, targets[wanted]))
            tokens.index_add_(0, owner, torch.ones_like(owner))
    if not int(tokens.sum()):
        raise MeasureError("there is no token to score", "give more evaluation text")
    return Score(nll.numpy(), tokens.numpy())


def _batches(windows: Sequence[Window], batch_size: int, device: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Tensors (batch, longest): inputs, attention mask (None without padding), targets, documents."""
    import numpy
    import torch

    ordered = sorted(windows, key=lambda window: len(window.inputs), reverse=True)
    for at in range(0, len(ordered), batch_size):
        batch = ordered[at : at + batch_size]
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
