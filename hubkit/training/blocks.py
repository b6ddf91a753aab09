"""Blocks of tokens as the Trainer reads them, each with the number that its random draws come from."""

from __future__ import annotations

import random
from typing import Any

from transformers import TrainerCallback

from hubkit.models import chat, packing
from hubkit.models.prepared import Prepared

AT_ONCE = 4_096  # blocks looked through at a time


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

    def shared(self) -> dict[str, Any] | None:
        """The first block that holds several documents; None where none does, or nothing tells."""
        return None

    @property
    def said(self) -> str:
        """How many of what there are, in words."""
        return f"{len(self):,} blocks"

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of them, as fields of its Dataset."""
        return {"train_tokens": self.tokens}


class Packed(Blocks):
    """Blocks that lie on disk, with the documents that their tokens are of and, of conversations, labels."""

    def __init__(self, prepared: Prepared, seed: int) -> None:
        super().__init__([], seed)
        self.prepared = prepared

    def __len__(self) -> int:
        return self.prepared.made.blocks

    @property
    def tokens(self) -> int:
        """How many tokens all of them have together, without what fills up blocks of conversations."""
        return self.prepared.made.tokens

    def __getitem__(self, index: int) -> dict[str, Any]:
        found = self.prepared
        ids = found.ids[index].tolist()
        segments = [-1 if of == packing.FILL else of for of in found.segments[index].tolist()]
        draw = random.Random(f"{self.seed} {self.epoch} {index}").getrandbits(63)
        item = {"input_ids": ids, "draw": draw, "segments": segments}
        if found.counted is not None:
            counts = found.counted[index].tolist()
            item["labels"] = [
                token if own else chat.NOT_COUNTED for token, own in zip(ids, counts, strict=True)
            ]
        return item

    def shared(self) -> dict[str, Any] | None:
        """The first block that holds several documents; None where none does."""
        for first in range(0, len(self), AT_ONCE):
            found = (self.prepared.segments[first : first + AT_ONCE] == 1).any(axis=1).nonzero()[0]
            if len(found):
                return self[first + int(found[0])]
        return None

    @property
    def said(self) -> str:
        """How many of what there are, in words."""
        made = self.prepared.made
        told = f"{made.blocks:,} blocks of {made.size} tokens"
        if made.answer_tokens is None:
            return told
        cut = f", {made.conversations_cut:,} conversations cut" if made.conversations_cut else ""
        out = (
            f", {made.conversations_left_out:,} too long and left out" if made.conversations_left_out else ""
        )
        return f"{told} ({made.answer_tokens:,} of {made.tokens:,} are of answers{cut}{out})"

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of them, as fields of its Dataset."""
        made = self.prepared.made
        return {
            "train_tokens": made.tokens,
            "answer_tokens": made.answer_tokens,
            "conversations_cut": made.conversations_cut,
            "conversations_left_out": made.conversations_left_out,
        }


class Epochs(TrainerCallback):
    """Tells the training blocks which epoch it is."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The epoch that begins, or the one that goes on after a restart."""
        self.blocks.epoch = int((state.epoch or 0) + 1e-6)
