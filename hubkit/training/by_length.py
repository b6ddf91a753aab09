"""The order of documents in training: at random, and those of like length in one batch.

A batch is padded to its longest document, and so computes little that is padding.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from torch.utils.data import Sampler

POOL = 50  # batches whose documents are put in order of length together; between pools, all is at random


class ByLength(Sampler[int]):
    """Every document once an epoch. The order comes from the seed and the epoch alone: it can be resumed."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Whose order is to come."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        draw = random.Random(f"{self.seed} {self.epoch}")
        order, pool = list(range(len(self.lengths))), POOL * self.batch_size
        draw.shuffle(order)
        batches = []
        for begin in range(0, len(order), pool):
            alike = sorted(order[begin : begin + pool], key=self.lengths.__getitem__, reverse=True)
            batches += [alike[at : at + self.batch_size] for at in range(0, len(alike), self.batch_size)]
        short = batches.pop() if batches and len(batches[-1]) < self.batch_size else []
        draw.shuffle(batches)
        for batch in [*batches, short]:
            yield from batch
