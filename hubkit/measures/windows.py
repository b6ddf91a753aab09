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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hubkit.errors import MeasureError
from hubkit.measures.tokenising import Stream as Stream
from hubkit.measures.tokenising import streams as streams

IGNORE = -100
DIGESTED = 1 << 16  # tokens written as text at a time


@dataclass(frozen=True, eq=False)
class Window:
    """One forward pass; int32, (length,) each.

    `labels` are the tokens to predict at each position, or IGNORE; of the first `given` none is: they are
    context, and were predicted in another window. `documents` holds what the labels are of.
    """

    inputs: Any
    labels: Any
    documents: Any
    given: int = 0

    @property
    def targets(self) -> Any:
        """The labels, with IGNORE for those that are given; int32, (length,)."""
        if not self.given:
            return self.labels
        copied = (
            self.labels.copy()
        )  # made when it is asked for: most of it is context where the stride is short
        copied[: self.given] = IGNORE
        return copied


def streams_digest(streams: list[Stream]) -> str:
    """The digest of the tokens to score: SHA-256 over each stream as one line of JSON."""
    whole = hashlib.sha256()
    for stream in streams:
        for at in range(0, len(stream.ids), DIGESTED):
            piece = ",".join(map(str, stream.ids[at : at + DIGESTED].tolist()))
            whole.update(f"{',' if at else '['}{piece}".encode())
        whole.update(b"]\n" if len(stream.ids) else b"[]\n")
    return whole.hexdigest()


def causal_windows(stream: Stream, prefix: int, context: int, stride: int) -> list[Window]:
    """Windows over one stream; every token is a target exactly once.

    The first window begins with `prefix` and predicts up to `context` tokens. Each later one ends `stride`
    tokens (the last: what is left) after the one before, and sees the `context` tokens before its last
    target, also where it predicts fewer: lm-evaluation-harness's `get_rolling_token_windows` with a
    `max_seq_len` of `context` and a `context_len` of `context - stride + 1`.
    """
    import numpy

    windows = []
    ids = stream.ids
    sequence = numpy.concatenate([numpy.asarray([prefix], dtype=numpy.int32), ids])
    done = 0  # tokens of `ids` scored so far
    while done < len(ids):
        end = min(done + (context if done == 0 else stride), len(ids))
        start = max(0, end - context)
        windows.append(Window(sequence[start:end], ids[start:end], stream.documents[start:end], done - start))
        done = end
    return windows


def masked_windows(
    all_streams: list[Stream], tokenizer: Any, context: int, probability: float, seed: int
) -> list[Window]:
    """Blocks over all streams. The choice of hidden tokens depends on seed and text, not on batches."""
    import numpy
    import torch

    generator = torch.Generator().manual_seed(seed)
    special = Special.of(tokenizer, context)
    windows = []
    for stream in all_streams:
        hidden = (torch.rand(len(stream.ids), generator=generator) < probability).numpy()
        for piece, owners in blocks(stream, context):
            hide, hidden = hidden[: len(piece)], hidden[len(piece) :]
            inputs = special.around(numpy.where(hide, numpy.int32(special.mask), piece))
            targets = numpy.pad(numpy.where(hide, piece, numpy.int32(IGNORE)), 1, constant_values=IGNORE)
            windows.append(Window(inputs, targets, owners))
    return windows


def blocks(stream: Stream, context: int) -> Iterator[tuple[Any, Any]]:
    """A stream in pieces of `context - 2` tokens, (length,), and the documents they are of, (length + 2,)."""
    import numpy

    for at in range(0, len(stream.ids), context - 2):
        piece = slice(at, at + context - 2)
        yield stream.ids[piece], numpy.pad(stream.documents[piece], 1, mode="edge")


@dataclass(frozen=True)
class Special:
    """The ids of the tokens that a masked model's blocks are made with."""

    cls: int
    sep: int
    mask: int

    @staticmethod
    def of(tokenizer: Any, context: int) -> Special:
        """Of a tokenizer. Raises MeasureError where it lacks one, or a block has no room for a token."""
        ids = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
        if None in ids:
            raise MeasureError(
                "the tokenizer has no [CLS], [SEP] or [MASK]", "use task: causal-lm for this base"
            )
        if context < 3:
            raise MeasureError(
                f"a context of {context} tokens has no room for a token to hide", "raise measuring.context"
            )
        return Special(*ids)

    def around(self, piece: Any) -> Any:
        """[CLS] piece [SEP]; int32, (length + 2,)."""
        import numpy

        whole = numpy.pad(piece, 1)
        whole[0], whole[-1] = self.cls, self.sep
        return whole


def prefix_token(tokenizer: Any) -> int:
    """What stands before the first token: begin-of-text, or end-of-text where there is none."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise MeasureError(
        "the tokenizer has neither a begin-of-text nor an end-of-text token to stand before the first token",
        "name one as eos_token in the tokenizer_config.json beside the base",
    )
