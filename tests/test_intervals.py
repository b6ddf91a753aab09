"""Bootstrap intervals against a plain loop, and how often they hold the true value."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.measures import intervals as bootstrap
from hubkit.measures.intervals import intervals
from hubkit.measures.scoring import Score

DOCUMENTS = st.lists(
    st.tuples(st.floats(0, 500), st.floats(0, 500), st.integers(0, 90)), min_size=0, max_size=12
)


def scores(rows: list[tuple[float, float, int]]) -> tuple[Score, Score]:
    """Of base + adapter, and of the base; a document without a token has no loss."""
    tokens = np.array([count for _, _, count in rows], dtype=np.int64)
    one, other = (np.array([row[at] if row[2] else 0.0 for row in rows]) for at in (0, 1))
    return Score(one, tokens), Score(other, tokens)


def drawn(documents: int, resamples: int, seed: int) -> list[list[int]]:
    return np.random.default_rng(seed).integers(documents, size=(resamples, documents)).tolist()


def percentile(values: list[float], share: float) -> float:
    """Between the two nearest ranks, in proportion."""
    ranked = sorted(values)
    at = share * (len(ranked) - 1)
    low = math.floor(at)
    return ranked[low] + (at - low) * (ranked[min(low + 1, len(ranked) - 1)] - ranked[low])


@settings(max_examples=25)
@given(DOCUMENTS, st.integers(0, 3))
def test_they_are_those_of_a_plain_loop(rows: list[tuple[float, float, int]], seed: int) -> None:
    score, alone = scores(rows)
    found = intervals(score, alone, 40, seed)
    kept = [row for row in rows if row[2]]
    if len(kept) < 2:
        assert found == {}
        return
    values, bases, changes = [], [], []
    for draw in drawn(len(kept), 40, seed):
        tokens = sum(kept[at][2] for at in draw)
        one, other = (sum(kept[at][which] for at in draw) / tokens for which in (0, 1))
        values.append(math.exp(one))
        bases.append(math.exp(other))
        changes.append(math.exp(one - other) - 1)
    for name, plain in (("interval", values), ("base_interval", bases), ("change_interval", changes)):
        assert found[name].low == pytest.approx(percentile(plain, 0.025), rel=1e-9, abs=1e-12)
        assert found[name].high == pytest.approx(percentile(plain, 0.975), rel=1e-9, abs=1e-12)
        assert (found[name].resamples, found[name].confidence, found[name].seed) == (40, 0.95, seed)


def test_how_many_are_drawn_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    score, alone = scores([(float(at), at + 1.0, 3 + at) for at in range(7)])
    whole = intervals(score, alone, 30)
    monkeypatch.setattr(bootstrap, "CHUNK", 20)  # two draws of seven documents
    assert intervals(score, alone, 30) == whole


def test_without_a_base_there_is_one_interval_and_without_documents_or_draws_none() -> None:
    score, alone = scores([(30.0, 33.0, 10), (50.0, 52.0, 20)])
    assert list(intervals(score, None, 10)) == ["interval"]
    assert intervals(score, alone, 0) == {}
    one_document, its_base = scores([(30.0, 33.0, 10), (0.0, 0.0, 0)])
    assert bootstrap.documents_with_tokens(one_document) == 1
    assert intervals(one_document, its_base, 10) == {}


def test_an_interval_whose_end_overflows_is_left_out() -> None:
    score, alone = scores([(1e5, 20.0, 10), (20.0, 20.0, 10)])
    assert list(intervals(score, alone, 50)) == ["base_interval"]


def test_the_change_is_paired() -> None:
    """Documents are of very unlike difficulty, and the adapter helps each by the same little."""
    draw = random.Random(0)
    bases = [draw.uniform(1, 6) for _ in range(30)]
    score, alone = scores([(100 * (base - 0.1), 100 * base, 100) for base in bases])
    found = intervals(score, alone, 200)
    change = found["change_interval"]
    assert change.low == pytest.approx(math.exp(-0.1) - 1) == pytest.approx(change.high)
    assert found["interval"].high / found["interval"].low > 1.5


@pytest.mark.parametrize(("documents", "least", "most"), [(5, 0.70, 0.90), (40, 0.85, 0.98)])
def test_they_hold_the_true_value_about_as_often_as_they_should(
    documents: int, least: float, most: float
) -> None:
    """Lengths are lognormal with sigma 1, mean losses normal around 3; with 5 documents it is too narrow."""
    generator, rounds, held = np.random.default_rng(1), 200, 0
    for seed in range(rounds):
        tokens = np.maximum(1, generator.lognormal(5, 1, documents)).astype(np.int64)
        losses = tokens * generator.normal(3, 0.3, documents)
        found = intervals(Score(losses, tokens), None, 200, seed)["interval"]
        held += found.low <= math.exp(3) <= found.high
    assert least <= held / rounds <= most
