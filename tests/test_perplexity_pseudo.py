"""Pseudo-perplexity against a loop that hides one token at a time, and what it is said to cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from text_cases import Case

from hubkit.errors import MeasureError, SettingsError
from hubkit.measures import pseudo
from hubkit.measures.scoring import Score
from hubkit.measures.windows import IGNORE, Special, Stream, Window

TEXT = [text[:90] for text in tiny.text(2, seed=5)]


@pytest.fixture(scope="module")
def case(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case("masked-lm", tiny_bert, tmp_path_factory.mktemp("pseudo"))


def plain(case: Case, model: Any, ids: list[int], context: int, limit: int) -> float:
    """The sum of losses, one forward pass for each hidden token."""
    tokenizer, total = case.tokenizer, 0.0
    for at in range(min(limit, len(ids))):
        begin = at - at % (context - 2)
        piece = ids[begin : begin + context - 2]
        piece[at - begin] = tokenizer.mask_token_id
        block = torch.tensor([[tokenizer.cls_token_id, *piece, tokenizer.sep_token_id]])
        with torch.inference_mode():
            logits = model(input_ids=block).logits[0, at - begin + 1].double()
        total -= float(logits.log_softmax(0)[ids[at]])
    return total


@pytest.mark.parametrize(("kept", "limit"), [("packed", 20), ("apart", None)])
def test_it_is_that_of_a_plain_loop(case: Case, kept: str, limit: int | None) -> None:
    found = case.measures(
        TEXT, pseudo_perplexity=True, pseudo_tokens=limit, documents=kept, context=12, resamples=20
    ).pseudo_perplexity
    assert found is not None
    texts = TEXT if kept == "apart" else ["\n\n".join(TEXT)]
    count = sum(len(case.ids(text)) for text in texts)
    for model, nll in ((case.adapted, found.nll_sum), (case.alone, found.base_nll_sum)):
        whole = sum(plain(case, model, case.ids(text), 12, limit or count) for text in texts)
        assert nll == pytest.approx(whole, rel=1e-5)
    assert (found.definition, found.tokens_total) == ("pseudo", count)
    assert found.tokens_scored == (limit or count)
    assert found.value == pytest.approx(math.exp((found.nll_sum or 0) / found.tokens_scored))
    assert found.mask_seed is found.mask_probability is found.word_perplexity is None
    assert (found.change_interval is None) == (kept == "packed" and limit == 0)


def test_it_is_another_number_than_that_of_fixed_masks(case: Case) -> None:
    found = case.measures(TEXT, pseudo_perplexity=True)
    assert found.perplexity is not None
    assert found.pseudo_perplexity is not None
    assert found.pseudo_perplexity.tokens_sha256 == found.perplexity.tokens_sha256
    assert abs(found.pseudo_perplexity.value / found.perplexity.value - 1) > 1e-3
    only = case.measures(TEXT, perplexity=False, pseudo_perplexity=True)
    assert only.perplexity is None
    assert only.pseudo_perplexity is not None
    assert only.pseudo_perplexity.value == found.pseudo_perplexity.value


def test_what_it_costs_is_said_before_and_while(case: Case) -> None:
    found = case.measures(TEXT, pseudo_perplexity=True, batch_size=1).pseudo_perplexity
    assert found is not None
    costs = f"pseudo-perplexity takes {found.tokens_scored} forward rows of up to 32 tokens"
    before = next(at for at, line in enumerate(case.said) if line.startswith(costs))
    begun = case.said.index("measuring pseudo-perplexity of the base")
    assert before < begun
    assert case.said[begun + 1].startswith("about ")
    assert case.said[begun + 1].endswith(" to go")


def test_the_time_of_a_token_is_told_apart_from_that_of_a_part() -> None:
    assert pseudo.per_token((2.1, 10), (2.5, 50)) == pytest.approx(0.01)
    assert pseudo.per_token((3.0, 10), (2.5, 50)) == pytest.approx(0.05)  # noise: at most so long
    assert pseudo.per_token((1.0, 50), (2.5, 50)) == pytest.approx(0.05)


def test_durations_are_told_in_words() -> None:
    told = {0.2: "about 1 s", 80: "about 80 s", 150: "about 2 minutes", 9000: "about 2.5 hours"}
    assert {seconds: pseudo._duration(seconds) for seconds in told} == told


def test_only_masked_models_have_one(tiny_llama: Path, tmp_path: Path) -> None:
    causal = Case("causal-lm", tiny_llama, tmp_path)
    with pytest.raises(SettingsError, match=r"pseudo_perplexity: causal language modeling hides no token"):
        causal.measures(TEXT, pseudo_perplexity=True)


@given(
    st.lists(st.integers(0, 40), max_size=5),
    st.integers(3, 20),
    st.none() | st.integers(1, 80),
    st.integers(1, 9),
)
def test_every_token_is_hidden_once_among_all_of_its_block(
    lengths: list[int], context: int, limit: int | None, batch: int
) -> None:
    ids = np.arange(100, 100 + sum(lengths), dtype=np.int32)
    owners = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    parts = zip(
        np.split(ids, np.cumsum(lengths)[:-1]), np.split(owners, np.cumsum(lengths)[:-1]), strict=True
    )
    rows = pseudo.Rows([Stream(*part) for part in parts] if lengths else [], Special(1, 2, 3), context, limit)
    seen: list[int] = []

    def count(windows: list[Window]) -> Score:
        tokens = np.zeros(len(lengths), dtype=np.int64)
        for window in windows:
            hidden = np.flatnonzero(window.inputs == 3)
            assert hidden.tolist() == np.flatnonzero(window.targets != IGNORE).tolist()
            assert len(hidden) == 1
            assert len(window.inputs) <= context
            whole = np.where(window.targets != IGNORE, window.targets, window.inputs)[1:-1]
            assert np.diff(whole).tolist() == [1] * (len(whole) - 1)
            seen.append(int(window.targets[hidden[0]]))
            tokens[window.documents[hidden[0]]] += 1
        return Score(tokens * 2.0, tokens)

    if not len(rows):
        with pytest.raises(MeasureError, match="no token to score"):
            pseudo.score(rows, batch, count, tiny.quiet)
        return
    found = pseudo.score(rows, batch, count, tiny.quiet)
    assert seen == ids[: len(rows)].tolist()
    assert found.tokens == len(rows) == min(len(ids), limit or len(ids))
    assert (
        found.tokens_by_document.tolist() == np.bincount(owners[: len(rows)], minlength=len(lengths)).tolist()
    )


def test_the_kernels_of_all_parts_are_named() -> None:
    def part(kernels: str | None) -> Score:
        return Score(np.ones(1), np.ones(1, dtype=np.int64), kernels=kernels)

    assert pseudo.added(part(None), part(None)).kernels is None
    assert pseudo.added(part("oneDNN"), part("oneDNN")).kernels == "oneDNN"
    both = pseudo.added(part("oneDNN"), part(None))
    assert both.kernels == "oneDNN; torch's own"
    assert pseudo.added(both, part("oneDNN")).kernels == "oneDNN; torch's own"
