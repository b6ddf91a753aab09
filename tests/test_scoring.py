"""Which windows are run together, and that it changes no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from hubkit.measures import scoring
from hubkit.measures.scored_rows import ScoredRows
from hubkit.measures.scoring import ENOUGH, grouped
from hubkit.measures.windows import Window


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 9), st.integers(1, 2000))
def test_every_window_is_in_one_batch_and_no_batch_is_too_large(
    lengths: list[int], batch_size: int, tokens: int
) -> None:
    batches = list(grouped(lengths, batch_size, tokens))
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[number] for number in batch)
        assert lengths[batch[0]] == longest
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * longest <= tokens
        before_last = sum(lengths[number] for number in batch[:-1])
        if len(batch) > 1 and before_last >= ENOUGH:
            assert before_last + lengths[batch[-1]] >= 0.9 * len(batch) * longest


def test_windows_of_one_length_are_not_padded() -> None:
    assert list(grouped([64] * 3 + [128] * 4, 16, 512)) == [[3, 4, 5, 6], [0, 1, 2]]
    assert list(grouped([512, 512, 40], 16, 4096)) == [[0, 1], [2]]


@pytest.mark.parametrize("masked", [False, True])
def test_padding_changes_no_number_with_or_without_a_mask(
    masked: bool, tiny_llama: Path, tiny_bert: Path
) -> None:
    model: Any = (
        AutoModelForMaskedLM.from_pretrained(tiny_bert, dtype=torch.float32)
        if masked
        else AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    )
    draw = numpy.random.default_rng(0)
    made = []
    for number, length in enumerate((60, 41, 17, 2, 1)):
        ids = draw.integers(0, model.config.vocab_size, (2, length)).astype(numpy.int32)
        made.append(Window(ids[0], ids[1], numpy.full(length, number, numpy.int32)))
    whole = scoring.score(model, made, 8, 5)
    parts = [scoring.score(model, [window], 1, 5).nll for window in made]
    assert whole.nll_by_document == pytest.approx(parts, rel=2e-6)
    rows = ScoredRows(model.eval())
    inputs = torch.from_numpy(made[0].inputs).long()[None]
    with torch.inference_mode():
        rows.losses(inputs, torch.ones_like(inputs), inputs == inputs, inputs[0])
    assert rows.unmasked is not masked


def test_a_batch_is_no_larger_than_the_cache_likes(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    monkeypatch.setattr(scoring, "CPU_TOKENS", 64)
    seen: list[int] = []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    ids = numpy.arange(32, dtype=numpy.int32)
    scoring.score(model, [Window(ids, ids, ids * 0)] * 7, 16, 1)
    assert max(seen) == 64
    assert seen.count(64) == 3
