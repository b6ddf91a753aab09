"""Which document each token of a batch is of."""

from __future__ import annotations

from typing import Any


def segments(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """The part of a batch that tells it, (batch, length), where the blocks do; -1 for what fills up."""
    import torch

    if not all("segments" in block for block in blocks):
        return {}
    return {"segments": torch.tensor([block["segments"] for block in blocks])}
