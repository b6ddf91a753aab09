"""Text cut into windows: what one forward pass sees, and which tokens are predicted in it.

Causal: the tokens are cut as in the rolling log-likelihood of lm-evaluation-harness: the first token is
predicted from the begin-of-text token (end-of-text where there is none), each token is predicted exactly
once, and each window but the first sees `context` tokens, of which the last `stride` are scored.

Masked: the tokens are cut into blocks between [CLS] and [SEP]; each token is hidden with a fixed probability
under a fixed seed, and every hidden token becomes [MASK].

Each token carries the number of the document it is of, also where documents are packed into one stream.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from hubkit.errors import MeasureError
from hubkit.models import corpus

IGNORE = -100


@dataclass(frozen=True, eq=False)
class Stream:
    """A sequence of tokens to score: `ids` and, for each, the number of its document; int32, (tokens,)."""

    ids: Any
    documents: Any


@dataclass(frozen=True, eq=False)
class Window:
    """One forward pass; int32, (length,) each.

    `targets` are the tokens to predict at each position, or IGNORE; `documents` what the targets are of.
    """

    inputs: Any
    targets: Any
    documents: Any


def streams(tokenizer: Any, documents: list[str], kept: str) -> list[Stream]:
    """The token sequences to score: one per document ("apart"), or all joined by blank lines ("packed").

    Documents without a token are in none of them, and keep their number.
    """
    import numpy

    if kept == "apart":
        texts = documents
    else:
        texts = [text if at == 0 else "\n\n" + text for at, text in enumerate(documents)]
    pieces = [numpy.asarray(ids, dtype=numpy.int32) for ids in corpus.token_ids(tokenizer, texts)]
    owners = [numpy.full(len(ids), at, dtype=numpy.int32) for at, ids in enumerate(pieces)]
    if kept == "apart":
        return [Stream(ids, owner) for ids, owner in zip(pieces, owners, strict=True) if len(ids)]
    whole = Stream(numpy.concatenate(pieces), numpy.concatenate(owners)) if pieces else None
    return [whole] if whole is not None and len(whole.ids) else []


def streams_digest(streams: list[Stream]) -> str:
    """The digest of the tokens to score: of the text as this tokenizer sees it."""
    whole = hashlib.sha256()
    for stream in streams:
        whole.update(json.dumps(stream.ids.tolist(), separators=(",", ":")).encode() + b"\n")
    return whole.hexdigest()


def causal_windows(stream: Stream, prefix: int, context: int, stride: int) -> list[Window]:
    """Windows over one stream; every token is a target exactly once."""
    import numpy

    windows = []
    ids = stream.ids
    sequence = numpy.concatenate([numpy.asarray([prefix], dtype=numpy.int32), ids])
    done = 0  # tokens of `ids` scored so far
    while done < len(ids):
        end = min(done + (context if done == 0 else stride), len(ids))
        start = max(0, end - context)
        targets = ids[start:end]
        if done > start:
            targets = targets.copy()
            targets[: done - start] = IGNORE
        windows.append(Window(sequence[start:end], targets, stream.documents[start:end]))
        done = end
    return windows


def masked_windows(
    all_streams: list[Stream], tokenizer: Any, context: int, probability: float, seed: int
) -> list[Window]:
    """Blocks over all streams. The choice of hidden tokens depends on seed and text, not on batches."""
    import numpy
    import torch

    generator = torch.Generator().manual_seed(seed)
    cls, sep, mask = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id
    if None in (cls, sep, mask):
        raise MeasureError("the tokenizer has no [CLS], [SEP] or [MASK]", "use task: causal-lm for this base")
    if context < 3:
        raise MeasureError(f"a context of {context} tokens has no room for a token to hide", "raise it")
    windows = []
    for stream in all_streams:
        hidden = (torch.rand(len(stream.ids), generator=generator) < probability).numpy()
        for at in range(0, len(stream.ids), context - 2):
            piece, hide = stream.ids[at : at + context - 2], hidden[at : at + context - 2]
            inputs = numpy.pad(numpy.where(hide, numpy.int32(mask), piece), 1)
            inputs[0], inputs[-1] = cls, sep
            targets = numpy.pad(numpy.where(hide, piece, numpy.int32(IGNORE)), 1, constant_values=IGNORE)
            owners = numpy.pad(stream.documents[at : at + context - 2], 1, mode="edge")
            windows.append(Window(inputs, targets, owners))
    return windows


def prefix_token(tokenizer: Any) -> int:
    """What stands before the first token: begin-of-text, or end-of-text where there is none."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise MeasureError("the tokenizer has neither a begin-of-text nor an end-of-text token")
