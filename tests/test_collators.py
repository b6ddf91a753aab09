"""Batches with labels: what is hidden, what is not, and where the draws come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from hubkit import tasks

MASKED = tasks.get("masked-lm")


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert)


def blocks(tokenizer: Any, count: int = 50, size: int = 100) -> list[dict[str, Any]]:
    inner = torch.randint(5, len(tokenizer), (count, size), generator=torch.Generator().manual_seed(0))
    return [
        {"input_ids": [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id], "draw": at}
        for at, ids in enumerate(inner.tolist())
    ]


def test_labels_are_the_hidden_tokens_and_nothing_else(tokenizer: Any) -> None:
    given = blocks(tokenizer)
    batch = MASKED.collator(tokenizer, MASKED.Parameters(mask_probability=0.3))(given)
    original = torch.tensor([block["input_ids"] for block in given])
    inputs, labels = batch["input_ids"], batch["labels"]
    hidden = labels != -100
    assert torch.equal(labels[hidden], original[hidden])
    assert torch.equal(inputs[~hidden], original[~hidden])
    assert not hidden[:, 0].any()
    assert not hidden[:, -1].any()
    assert bool(batch["attention_mask"].all())
    assert float(hidden[:, 1:-1].float().mean()) == pytest.approx(0.3, abs=0.03)
    masked = inputs[hidden] == tokenizer.mask_token_id
    kept = inputs[hidden] == original[hidden]
    assert float(masked.float().mean()) == pytest.approx(0.8, abs=0.05)
    assert float(kept.float().mean()) == pytest.approx(0.1, abs=0.04)


def test_what_is_hidden_in_a_block_does_not_depend_on_its_batch(tokenizer: Any) -> None:
    collate = MASKED.collator(tokenizer, MASKED.Parameters())
    given = blocks(tokenizer, count=6)
    together = collate(given)
    for at in (4, 1):
        alone = collate([given[at]])
        assert torch.equal(alone["labels"][0], together["labels"][at])
        assert torch.equal(alone["input_ids"][0], together["input_ids"][at])
    again = collate([{**given[1], "draw": 99}])
    assert not torch.equal(again["labels"][0], together["labels"][1])


def test_something_is_hidden_of_every_block(tokenizer: Any) -> None:
    """At 2 % nothing of most blocks of 8 would be."""
    task = tasks.get("masked-lm")
    collate = task.collator(tokenizer, task.Parameters(mask_probability=0.02))
    batch = collate([{"input_ids": [*range(5, 13)], "draw": draw} for draw in range(50)])
    assert (batch["labels"] != -100).any(1).all()


def test_causal_labels_are_the_inputs() -> None:
    causal = tasks.get("causal-lm")
    batch = causal.collator(None, causal.Parameters())([{"input_ids": [1, 2, 3], "draw": 0}] * 2)
    assert batch["input_ids"].tolist() == batch["labels"].tolist() == [[1, 2, 3]] * 2
    batch["input_ids"][0, 0] = 9
    assert batch["labels"][0, 0] == 1
