"""The logits of a classifier for whole documents, by the fastest way that gives the model's own.

Documents of like length share a batch, so that little is padding. Three things could change a number, and
each is tried on the first documents, against the model's own logits for a document alone:

- the CPU's faster kernels (see `kernels`);
- padding on the right, without a mask (as decoders allow) or with one. A few models look at padding whatever
  the mask says (FNet mixes all positions, ConvBERT folds neighbours): their batches hold one length each;
- positions that scale with the longest row beside (dynamic and long RoPE): one length each, shortest first.

What differs by more than rounding is not used.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubkit.measures.kernels import choose
from hubkit.measures.scored_rows import ROUNDED_ELSEWHERE, TOLERANCE, scales_by_length
from hubkit.measures.scoring import CPU_TOKENS, grouped

LONGEST_PROBE = 256  # tokens; a longer document is tried by its beginning


@dataclass
class ClassifiedRows:
    """A model, and the ways to run it that change no logit; `prepare` finds them out."""

    model: Any
    pad: int  # the token that fills a row up
    kernels: Any = None
    padded: bool = True  # whether documents of unlike length may share a batch
    masked: bool = True  # whether padding needs a mask
    _shortest_first: bool = field(default=False, init=False)

    def prepare(self, sequences: Sequence[Sequence[int]], wanted_kernels: str) -> None:
        """Find out how these documents may be run. `wanted_kernels` is measuring.kernels."""
        self._shortest_first = scales_by_length(self.model)
        by_length = sorted(sequences, key=len)
        short, middle = (list(one[:LONGEST_PROBE]) for one in (by_length[0], by_length[len(by_length) // 2]))
        kernels = choose(self.model, wanted_kernels)
        if kernels is not None and all(
            self._same(self._run([row], None), self._run([row], None, kernels)) for row in (short, middle)
        ):
            self.kernels = kernels
        more = len(by_length[-1]) - len(short)
        if self._shortest_first or not more:
            self.padded = not self._shortest_first
            return
        alone, filled = (
            self._run([short], None, self.kernels),
            [*short, *[self.pad] * min(more, LONGEST_PROBE)],
        )
        mask = [int(at < len(short)) for at in range(len(filled))]
        self.masked = not self._same(alone, self._run([filled], None, self.kernels))
        self.padded = not self.masked or self._same(alone, self._run([filled], [mask], self.kernels))

    def logits(self, sequences: Sequence[Sequence[int]], batch_size: int) -> Any:
        """float64 on the CPU, (documents, classes), in their order; at most `batch_size` at once."""
        import torch

        found: list[Any] = [None] * len(sequences)
        for numbers in self._batches([len(one) for one in sequences], batch_size):
            rows = [list(sequences[number]) for number in numbers]
            longest = max(map(len, rows))
            mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
            whole = all(len(row) == longest for row in rows)
            filled = [[*row, *[self.pad] * (longest - len(row))] for row in rows]
            got = self._run(filled, None if whole or not self.masked else mask, self.kernels)
            for number, row in zip(numbers, got, strict=True):
                found[number] = row
        return torch.stack(found)

    def _batches(self, lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
        """The numbers of the documents that are run together."""
        tokens = CPU_TOKENS if self.model.device.type == "cpu" else sys.maxsize
        if self.padded:
            yield from grouped(lengths, batch_size, tokens)
            return
        for length in sorted(set(lengths), reverse=not self._shortest_first):
            same = [at for at, one in enumerate(lengths) if one == length]
            for group in grouped([length] * len(same), batch_size, tokens):
                yield [same[at] for at in group]

    def _run(self, rows: list[list[int]], mask: list[list[int]] | None, kernels: Any = None) -> Any:
        """The logits of rows of one length; a mask where some of it is padding."""
        import torch

        device = self.model.device
        inputs = torch.tensor(rows, device=device)
        attention = None if mask is None else torch.tensor(mask, device=device)
        with kernels or contextlib.nullcontext():
            logits = self.model(input_ids=inputs, attention_mask=attention).logits
        return logits.double().cpu()

    def _same(self, plain: Any, other: Any) -> bool:
        """Whether logits are the same, to rounding; what is no number is not."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        quantized = getattr(self.model, "is_quantized", False)
        near = ROUNDED_ELSEWHERE if quantized else TOLERANCE.get(dtype, ROUNDED_ELSEWHERE)
        return bool((plain - other).abs().max() <= near * plain.abs().max())
