"""What a user would pick instead of hubkit, each behind the same two calls, one small file a peer.

A peer's `prepare(work)` loads model and tokenizer as its documentation says and returns a function without
arguments: the evaluation itself, which is what is timed. Merging for a peer that takes no adapter is part of
`prepare`; what hubkit does after loading (probes, merging, reordering of weights) is part of what is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Work:
    """One evaluation: a base, an adapter, a text, and how it is to be scored."""

    peer: str
    base: str
    adapter: str
    text: str  # a file
    dtype: str = "float32"
    context: int = 1024
    stride: int = 1024
    batch: int = 4
    task: str = "causal-lm"
    probability: float = 0.15
    seed: int = 0

    def words(self) -> str:
        """The text."""
        return Path(self.text).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Answer:
    """What the peer says of the text, and how many tokens it predicted for that."""

    perplexity: float
    scored: int
    more: dict[str, Any] = field(default_factory=dict)
    afterwards: Callable[[], dict[str, Any]] = dict  # what is to be found out once time and memory are taken


def adapted(work: Work, auto_class: str, *, merged: bool = False) -> tuple[Any, Any]:
    """Base with adapter by transformers and PEFT, in eval mode, and the tokenizer."""
    import torch
    import transformers
    from peft import PeftModel

    kind = getattr(transformers, auto_class)
    base = kind.from_pretrained(work.base, dtype=getattr(torch, work.dtype))
    model = PeftModel.from_pretrained(base, work.adapter)
    tokenizer = transformers.AutoTokenizer.from_pretrained(work.base)
    return (model.merge_and_unload() if merged else model).eval(), tokenizer
