"""Perplexity: exp of the mean negative log-likelihood per predicted token, in nats.

Causal: the tokens are cut into windows as in the rolling log-likelihood of lm-evaluation-harness: the first
token is predicted from the begin-of-text token (end-of-text where there is none), each token is predicted
exactly once, and each window but the first sees `context` tokens, of which the last `stride` are scored.

Masked: the tokens are cut into blocks between [CLS] and [SEP]; each token is hidden with a fixed probability
under a fixed seed, every hidden token becomes [MASK], and the mean runs over hidden tokens only. It is not
comparable with causal perplexity.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hubkit.errors import MeasureError
from hubkit.measures.scored_rows import ScoredRows
from hubkit.models import corpus

IGNORE = -100


@dataclass(frozen=True)
class Window:
    """One forward pass: `inputs`, and for each position the token to predict there, or IGNORE."""

    inputs: list[int]
    targets: list[int]


@dataclass(frozen=True)
class Score:
    """Sums over all windows: negative log-likelihood in nats, and the number of predictions."""

    nll: float
    tokens: int

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


def streams(tokenizer: Any, documents: list[str], kept: str) -> list[list[int]]:
    """The token sequences to score: one per document ("apart"), or all joined by blank lines ("packed")."""
    if kept == "apart":
        return [ids for ids in corpus.token_ids(tokenizer, documents) if ids]
    joined = [text if at == 0 else "\n\n" + text for at, text in enumerate(documents)]
    packed = [token for ids in corpus.token_ids(tokenizer, joined) for token in ids]
    return [packed] if packed else []


def streams_digest(streams: list[list[int]]) -> str:
    """The digest of the tokens to score: of the text as this tokenizer sees it."""
    whole = hashlib.sha256()
    for ids in streams:
        whole.update(json.dumps(ids, separators=(",", ":")).encode() + b"\n")
    return whole.hexdigest()


def causal_windows(ids: list[int], prefix: int, context: int, stride: int) -> list[Window]:
    """Windows over one stream; every token is a target exactly once."""
    windows = []
    sequence = [prefix, *ids]
    done = 0  # tokens of `ids` scored so far
    while done < len(ids):
        end = min(done + (context if done == 0 else stride), len(ids))
        start = max(0, end - context)
        inputs, targets = sequence[start:end], sequence[start + 1 : end + 1]
        skip = done - start
        windows.append(Window(inputs, [IGNORE] * skip + targets[skip:]))
        done = end
    return windows


def masked_windows(
    all_ids: list[list[int]], tokenizer: Any, context: int, probability: float, seed: int
) -> list[Window]:
    """Blocks over all streams. The choice of hidden tokens depends on seed and text, not on batches."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    cls, sep, mask = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id
    if None in (cls, sep, mask):
        raise MeasureError("the tokenizer has no [CLS], [SEP] or [MASK]", "use task: causal-lm for this base")
    if context < 3:
        raise MeasureError(f"a context of {context} tokens has no room for a token to hide", "raise it")
    windows = []
    for ids in all_ids:
        hidden = (torch.rand(len(ids), generator=generator) < probability).tolist()
        for at in range(0, len(ids), context - 2):
            piece, chosen = ids[at : at + context - 2], hidden[at : at + context - 2]
            inputs = [mask if hide else token for token, hide in zip(piece, chosen, strict=True)]
            targets = [token if hide else IGNORE for token, hide in zip(piece, chosen, strict=True)]
            windows.append(Window([cls, *inputs, sep], [IGNORE, *targets, IGNORE]))
    return windows


def score(model: Any, windows: list[Window], batch_size: int) -> Score:
    """Run the model over the windows. Windows of like length share a batch, so that padding is rare."""
    import torch

    nll = torch.zeros((), dtype=torch.float64)
    tokens, rows = 0, ScoredRows(model)
    model.eval()
    with torch.inference_mode():
        for inputs, attention, targets in _batches(windows, batch_size, model.device):
            if not bool((targets != IGNORE).any()):
                continue
            wanted = targets != IGNORE
            nll += rows.nll(inputs, attention, wanted, targets[wanted])
            tokens += int(wanted.sum())
    if tokens == 0:
        raise MeasureError("there is no token to score", "give more evaluation text")
    return Score(float(nll), tokens)


def _batches(windows: list[Window], batch_size: int, device: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Tensors of shape (batch, longest): inputs, attention mask (None without padding), targets."""
    import torch

    ordered = sorted(windows, key=lambda window: len(window.inputs), reverse=True)
    for at in range(0, len(ordered), batch_size):
        batch = ordered[at : at + batch_size]
        longest = len(batch[0].inputs)

        def padded(rows: list[list[int]], fill: int, longest: int = longest) -> Any:
            return torch.tensor([row + [fill] * (longest - len(row)) for row in rows], device=device)

        inputs = padded([window.inputs for window in batch], 0)
        attention = padded([[1] * len(window.inputs) for window in batch], 0)
        targets = padded([window.targets for window in batch], IGNORE)
        yield inputs, None if bool(attention.all()) else attention, targets


def prefix_token(tokenizer: Any) -> int:
    """What stands before the first token: begin-of-text, or end-of-text where there is none."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise MeasureError("the tokenizer has neither a begin-of-text nor an end-of-text token")
