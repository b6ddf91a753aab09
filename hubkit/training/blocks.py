"""Blocks of tokens as the Trainer reads them, each with the number that its random draws come from."""

from __future__ import annotations

import random
from typing import Any

from transformers import TrainerCallback


class Blocks:
    """A dataset of blocks. `draw` is where a collator's draws for a block come from: seed, epoch and block.

    Training that goes on from a checkpoint so draws what it would have drawn without the stop.
    """

    def __init__(self, blocks: list[list[int]], seed: int) -> None:
        self.blocks = blocks
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def tokens(self) -> int:
        """How many tokens all of them have together."""
        return sum(map(len, self.blocks))

    def __getitem__(self, index: int) -> dict[str, Any]:
        draw = random.Random(f"{self.seed} {self.epoch} {index}").getrandbits(63)
        return {"input_ids": self.blocks[index], "draw": draw}


class Epochs(TrainerCallback):
    """Tells the training blocks which epoch it is."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The epoch that begins, or the one that goes on after a restart."""
        self.blocks.epoch = int((state.epoch or 0) + 1e-6)
