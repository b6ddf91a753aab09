"""Zeros of an adapter's weights in the saved file, counted without torch, and when they are next to none."""

from __future__ import annotations

from array import array
from typing import Any

from hubkit.adapter import Adapter
from hubkit.trained import Training

FEW = 0.005  # a smaller share of zeros makes no adapter sparse: chance and underflow leave some too
_ZERO_TYPES = {"float32": "I", "float16": "H", "bfloat16": "H", "float64": "Q"}
_CHUNK = 1 << 20


def is_sparse(share: float | None, run: Training | None) -> bool:
    """Whether an adapter may be called sparse: by its share of zeros, or as training dropped whole ranks.

    True where the share is not known.
    """
    dropped = run is not None and run.ranks is not None and run.ranks.kept < run.ranks.trained
    return dropped or share is None or share >= FEW


def share(adapter: Adapter) -> float | None:
    """The share of exact zeros in the updates of the saved file; None where the dtype cannot be counted."""
    total = counted = 0
    whole = {tensor.name for tensor in adapter.whole_tensors}
    with adapter.weights.open("rb") as file:
        for tensor in adapter.tensors:
            if tensor.name in whole or "magnitude" in tensor.name:
                continue
            kind = _ZERO_TYPES.get(tensor.dtype)
            if kind is None:
                return None
            file.seek(tensor.start)
            counted += _zeros_in(file, tensor.end - tensor.start, kind)
            total += tensor.numel
    return counted / total if total else None


def _zeros_in(file: Any, length: int, kind: str) -> int:
    """Zeros among so many bytes, read in parts; a zero with a sign is one too."""
    found = 0
    sign = {"I": 1 << 31, "H": 1 << 15, "Q": 1 << 63}[kind]
    while length > 0 and (block := file.read(min(length, _CHUNK))):
        length -= len(block)
        words = array(kind)
        words.frombytes(block[: len(block) - len(block) % words.itemsize])
        found += words.count(0) + words.count(sign)
    return found
