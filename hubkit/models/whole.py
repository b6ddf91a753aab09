"""Whole documents as tokens, one sequence each: what a classifier reads."""

from __future__ import annotations

from typing import Any

from hubkit.errors import DataError


def whole(tokenizer: Any, documents: list[str], size: int) -> tuple[list[list[int]], int]:
    """The tokens of each document with its special tokens, as a reader's call of the tokenizer gives them.

    Documents of more than `size` tokens are cut at their end, special tokens kept. Returns the sequences and
    how many were cut. Raises DataError for a document that the tokenizer makes nothing of.
    """
    if not documents:
        return [], 0
    sequences: list[list[int]] = tokenizer(documents, return_attention_mask=False)["input_ids"]
    long = [at for at, ids in enumerate(sequences) if len(ids) > size]
    for at in long:
        sequences[at] = tokenizer(documents[at], truncation=True, max_length=size)["input_ids"]
    empty = next((at for at, ids in enumerate(sequences) if not ids), None)
    if empty is not None:
        raise DataError(
            f"the tokenizer makes no token of the text {documents[empty][:40]!r}", "leave that text out"
        )
    return sequences, len(long)
