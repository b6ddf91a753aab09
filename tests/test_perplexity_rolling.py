"""The rolling windows, the units and the documents of causal perplexity, each by a way of its own."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from text_cases import Case, rolling

from hubkit.measures import perplexity
from hubkit.measures.intervals import intervals
from hubkit.measures.scoring import score
from hubkit.measures.windows import IGNORE, Stream, causal_windows, streams

TEXT = [*(text[:70] for text in tiny.text(2, seed=3)), "Straße 東京 😀 — naïve.", "x"]


@pytest.fixture(scope="module")
def case(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case("causal-lm", tiny_llama, tmp_path_factory.mktemp("rolling"))


@pytest.mark.parametrize(
    ("kept", "context", "stride"), [("packed", 24, 10), ("apart", 20, 20), ("apart", 2, 1)]
)
def test_perplexity_is_that_of_a_rolling_loop(case: Case, kept: str, context: int, stride: int) -> None:
    documents = TEXT if context > 2 else TEXT[-2:]
    found = case.perplexity(documents, documents=kept, context=context, stride=stride, resamples=20)
    texts = documents if kept == "apart" else ["\n\n".join(documents)]
    assert found.base_nll_sum is not None
    for model, nll in ((case.adapted, found.nll_sum), (case.alone, found.base_nll_sum)):
        plain = sum(rolling(model, case.ids(text), 0, context, stride) for text in texts)
        assert nll == pytest.approx(plain, rel=1e-5)
    tokens = sum(len(case.ids(text)) for text in texts)
    words = sum(len(re.split(r"\s+", text)) for text in texts)
    size = sum(len(text.encode()) for text in texts)
    assert found.nll_sum is not None
    assert (found.tokens_scored, found.tokens_total, found.words, found.bytes) == (
        tokens,
        tokens,
        words,
        size,
    )
    assert found.value == pytest.approx(math.exp(found.nll_sum / tokens))
    assert found.word_perplexity == pytest.approx(math.exp(found.nll_sum / words))
    assert found.byte_perplexity == pytest.approx(math.exp(found.nll_sum / size))
    assert found.bits_per_byte == pytest.approx(math.log2(found.byte_perplexity or 0))
    if found.memory_kind:  # of a process that has loaded torch, and of no whole machine
        assert 50e6 < (found.peak_memory_bytes or 0) < 50e9


def test_intervals_are_over_documents(case: Case) -> None:
    found = case.perplexity(TEXT, documents="apart", resamples=50)
    cut = streams(case.tokenizer, TEXT, "apart")
    windows = [w for stream in cut for w in causal_windows(stream, 0, 32, 32)]
    scores = [score(model, windows, 4, len(TEXT), "plain") for model in (case.adapted, case.alone)]
    for name, interval in intervals(*scores, 50).items():
        told = getattr(found, name)
        assert (told.low, told.high) == pytest.approx((interval.low, interval.high), rel=1e-5)
        assert told.low < told.high
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high
    assert "4 documents are too few for an interval: it comes out too narrow" in case.said
    alone = case.perplexity(TEXT[:1], resamples=50)
    assert alone.interval is alone.base_interval is alone.change_interval is None


@given(st.lists(st.integers(0, 60), max_size=6), st.integers(1, 30), st.data())
def test_a_token_sees_what_its_window_gives_it(lengths: list[int], context: int, data: st.DataObject) -> None:
    """By a closed form, and with the document that each token is of: none lost, none twice."""
    stride = data.draw(st.integers(1, context))
    owners = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    ids = np.arange(1, len(owners) + 1, dtype=np.int32)
    seen: dict[int, list[int]] = {}
    counted = np.zeros(len(lengths), dtype=np.int64)
    for window in causal_windows(Stream(ids, owners), 0, context, stride):
        for at, target in enumerate(window.targets):
            if target != IGNORE:
                assert int(target) not in seen
                seen[int(target)] = window.inputs[: at + 1].tolist()
                counted[window.documents[at]] += 1
                assert owners[target - 1] == window.documents[at]
    assert counted.tolist() == lengths
    for target in ids.tolist():
        windows_on = math.ceil(max(0, target - context) / stride)
        end = min(len(ids), context + windows_on * stride)
        assert seen[target] == list(range(max(0, end - context), target))


@given(st.lists(st.text(max_size=30), max_size=5), st.sampled_from(["apart", "packed"]))
def test_units_are_counted_as_they_are_defined(documents: list[str], kept: str) -> None:
    texts = documents if kept == "apart" else ["\n\n".join(documents)]
    assert perplexity.text_units(documents, kept) == {
        "words": sum(len(re.split(r"\s+", text)) for text in texts),
        "bytes": sum(len(text.encode("utf-8")) for text in texts),
    }


def test_apart_no_document_sees_another(case: Case) -> None:
    """Another first document leaves the sums of the second one as they are, to the bit."""

    def sums(first: str, batch: int) -> list[float]:
        cut = streams(case.tokenizer, [first, TEXT[1]], "apart")
        windows = [w for stream in cut for w in causal_windows(stream, 0, 32, 32)]
        return score(case.adapted, windows, batch, 2, "plain").nll_by_document.tolist()  # type: ignore[no-any-return]

    one, other = sums(TEXT[0], 1), sums(TEXT[2], 1)
    assert one[0] != other[0]
    assert one[1] == other[1]
    assert sums(TEXT[2], 8)[1] == pytest.approx(one[1], rel=1e-6)  # in a batch with windows of the first


def mistakes(case: Case) -> dict[str, float]:
    """Perplexity of TEXT apart, 20 of context and 8 of stride, as it comes out with a classic mistake."""
    cut = streams(case.tokenizer, TEXT, "apart")
    texts = [causal_windows(stream, 0, 20, 8) for stream in cut]
    flat = [window for windows in texts for window in windows]

    def of(windows: list, documents: int = len(TEXT)) -> float:
        return score(case.adapted, windows, 4, documents, "plain").perplexity

    one_by_one = [score(case.adapted, windows, 4, len(TEXT), "plain") for windows in texts]
    window = type(flat[0])

    def changed(one: object, **parts: object) -> object:
        return window(**{**{name: getattr(one, name) for name in window.__dataclass_fields__}, **parts})

    def padded(one: object) -> object:
        missing = 20 - len(one.inputs)
        parts = {name: np.pad(getattr(one, name), (0, missing)) for name in ("inputs", "labels", "documents")}
        return changed(one, **parts)

    joined = streams(case.tokenizer, TEXT, "packed")[0]
    return {
        "the mean of the texts' losses": math.exp(np.mean([part.nll / part.tokens for part in one_by_one])),
        "the mean of the texts' perplexities": float(np.mean([part.perplexity for part in one_by_one])),
        "the first token dropped": of(
            [changed(one, given=max(1, one.given)) for one in flat if len(one.inputs) > 1]
        ),
        "padding counted": of([padded(one) for one in flat]),
        "overlap counted twice": of([changed(one, given=0) for one in flat]),
        "attention across documents": of(causal_windows(joined, 0, 20, 8)),
        "labels not shifted": of([changed(one, labels=one.inputs) for one in flat]),
    }


def test_the_classic_mistakes_would_be_found_out(case: Case) -> None:
    """Each moves the number by far more than the 1e-5 within which it must agree with a plain loop."""
    right = case.perplexity(TEXT, documents="apart", context=20, stride=8)
    plain = sum(rolling(case.adapted, case.ids(text), 0, 20, 8) for text in TEXT)
    assert right.value == pytest.approx(math.exp(plain / right.tokens_scored), rel=1e-5)
    for name, value in mistakes(case).items():
        assert abs(value / right.value - 1) > 1e-4, name
