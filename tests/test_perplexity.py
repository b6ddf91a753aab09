"""Perplexity against a plain loop over the stock model's own logits, one block at a time."""

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
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from hubkit import record, stages
from hubkit.errors import MeasureError, SettingsError
from hubkit.measures import windows as cutting
from hubkit.measures.scoring import Score, score
from hubkit.measures.windows import IGNORE, Stream, Window, causal_windows, masked_windows, streams

CONTEXT = 32


def stream(ids: list[int], document: int = 0) -> Stream:
    return Stream(np.array(ids, dtype=np.int32), np.full(len(ids), document, dtype=np.int32))


def window(inputs: list[int], targets: list[int]) -> Window:
    return Window(*(np.array(part, dtype=np.int32) for part in (inputs, targets, [0] * len(inputs))))


class Case:
    """A trained tiny adapter, its held-out documents, and the stock models to compare with."""

    def __init__(self, task: str, base: Path, directory: Path) -> None:
        self.task, self.base, self.directory = task, base, directory
        self.adapter = stages.train(tiny.run(task, base, directory), tiny.quiet)
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        auto = AutoModelForCausalLM if task == "causal-lm" else AutoModelForMaskedLM
        self.alone = auto.from_pretrained(base, dtype=torch.float32).eval()
        again = auto.from_pretrained(base, dtype=torch.float32)
        self.adapted = PeftModel.from_pretrained(again, self.adapter).eval()
        from hubkit.models import corpus

        data = tiny.run(task, base, directory).settings.data
        assert data is not None
        self.documents = corpus.load(data, 42).evaluation

    def measured(self, **measuring: Any) -> record.Perplexity:
        measuring = {"kernels": "plain"} | measuring  # looking for faster ones takes longer than these texts
        run = tiny.run(self.task, self.base, self.directory, measuring=measuring)
        found = record.read(stages.measure(run, tiny.quiet, again=True)).measures.perplexity
        assert found is not None
        return found


@pytest.fixture(scope="module")
def causal(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case("causal-lm", tiny_llama, tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def masked(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case("masked-lm", tiny_bert, tmp_path_factory.mktemp("masked"))


def plain_causal(model: Any, ids: list[int], first: int, context: int, stride: int) -> tuple[float, int]:
    """Each token from at most `context` tokens before it, by windows that move on by `stride`."""
    whole = [first, *ids]
    total, count, at = 0.0, 0, 1  # `at`: the position in `whole` of the next token to predict
    while at < len(whole):
        upto = min(len(whole), at + (context if at == 1 else stride))
        window = whole[max(0, upto - 1 - context) : upto]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([window[:-1]])).logits[0]
        for back in range(upto - at, 0, -1):
            scores = logits[len(logits) - back].double()
            total -= float(scores[window[len(window) - back]] - scores.logsumexp(0))
            count += 1
        at = upto
    return total, count


def packed_ids(case: Case) -> list[int]:
    texts = [case.documents[0], *("\n\n" + text for text in case.documents[1:])]
    return [token for text in texts for token in case.tokenizer.encode(text, add_special_tokens=False)]


@pytest.mark.parametrize("stride", [CONTEXT, 8])
def test_causal_agrees_with_a_plain_loop(causal: Case, stride: int) -> None:
    found = causal.measured(context=CONTEXT, stride=stride, kernels="auto")
    for model, value in ((causal.adapted, found.value), (causal.alone, found.base_value)):
        nll, count = plain_causal(model, packed_ids(causal), 0, CONTEXT, stride)
        assert value == pytest.approx(math.exp(nll / count), rel=1e-5)
        assert found.tokens_scored == found.tokens_total == count
    assert found.base_value is not None
    assert abs(found.value / found.base_value - 1) > 1e-3
    assert (found.definition, found.context, found.stride) == ("causal", CONTEXT, stride)


def test_causal_apart_agrees_with_a_plain_loop(causal: Case) -> None:
    found = causal.measured(context=48, stride=20, documents="apart", batch_size=5)
    sums = [
        plain_causal(causal.adapted, causal.tokenizer.encode(text, add_special_tokens=False), 0, 48, 20)
        for text in causal.documents
    ]
    nll, count = (sum(part) for part in zip(*sums, strict=True))
    assert found.value == pytest.approx(math.exp(nll / count), rel=1e-5)
    assert found.tokens_scored == count
    # The classic mistakes give other numbers.
    per_text = math.exp(sum(nll / count for nll, count in sums) / len(sums))
    mean_of_values = sum(math.exp(nll / count) for nll, count in sums) / len(sums)
    assert min(abs(per_text / found.value - 1), abs(mean_of_values / found.value - 1)) > 1e-4


def test_the_first_token_counts(causal: Case) -> None:
    ids = packed_ids(causal)[:CONTEXT]
    whole = score(causal.alone, causal_windows(stream(ids), 0, CONTEXT, CONTEXT), 1, 1)
    with torch.no_grad():
        from_second = float(causal.alone(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss)
    assert whole.tokens == len(ids)
    assert abs(whole.perplexity / math.exp(from_second) - 1) > 1e-3


def plain_masked(case: Case, model: Any, seed: int = 0, context: int = CONTEXT) -> tuple[float, int]:
    """Hidden tokens under the seed, predicted one block at a time."""
    tokenizer = case.tokenizer
    ids = packed_ids(case)
    hidden = torch.rand(len(ids), generator=torch.Generator().manual_seed(seed)) < 0.15
    total, count, inner = 0.0, 0, context - 2
    for start in range(0, len(ids), inner):
        piece, hide = ids[start : start + inner], hidden[start : start + inner]
        block = [tokenizer.cls_token_id, *piece, tokenizer.sep_token_id]
        places = [at + 1 for at, hides in enumerate(hide) if hides]
        for at in places:
            block[at] = tokenizer.mask_token_id
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([block])).logits[0].double()
        for at in places:
            total -= float(logits[at, piece[at - 1]] - logits[at].logsumexp(0))
            count += 1
    return total, count


def test_masked_agrees_with_a_plain_loop(masked: Case) -> None:
    found = masked.measured(context=CONTEXT, kernels="auto")
    for model, value in ((masked.adapted, found.value), (masked.alone, found.base_value)):
        nll, count = plain_masked(masked, model)
        assert value == pytest.approx(math.exp(nll / count), rel=1e-5)
        assert found.tokens_scored == count
    assert found.tokens_total == len(packed_ids(masked))
    assert (found.definition, found.mask_seed, found.mask_probability) == ("masked", 0, 0.15)


def test_labels_at_every_position_would_measure_something_else(masked: Case) -> None:
    ids = packed_ids(masked)[: CONTEXT - 2]
    hidden = masked_windows([stream(ids)], masked.tokenizer, CONTEXT, 0.15, 0)
    copying = [window([2, *ids, 3], [IGNORE, *ids, IGNORE])]
    assert (
        abs(score(masked.alone, copying, 1, 1).perplexity / score(masked.alone, hidden, 1, 1).perplexity - 1)
        > 0.01
    )


def test_masks_depend_on_the_seed_and_on_nothing_else(masked: Case) -> None:
    one, other = masked.measured(batch_size=1), masked.measured(batch_size=7)
    assert one.value == pytest.approx(other.value, rel=1e-6)
    assert one.tokens_scored == other.tokens_scored
    unlike = masked.measured(mask_seed=1)
    assert unlike.value != one.value
    windows = masked_windows([stream([7] * 40), stream([8] * 20)], masked.tokenizer, 32, 0.5, 3)
    cut_otherwise = masked_windows([stream([7] * 40), stream([8] * 20)], masked.tokenizer, 12, 0.5, 3)
    assert [t for w in windows for t in w.targets[1:-1]] == [
        t for w in cut_otherwise for t in w.targets[1:-1]
    ]


@pytest.mark.parametrize("documents", ["apart", "packed"])
def test_batches_and_padding_change_nothing(causal: Case, masked: Case, documents: str) -> None:
    for case in (causal, masked):
        ids = streams(case.tokenizer, case.documents, documents)
        windows = (
            [w for each in ids for w in causal_windows(each, 0, CONTEXT, CONTEXT)]
            if case is causal
            else masked_windows(ids, case.tokenizer, CONTEXT, 0.15, 0)
        )
        alone, together = (
            score(case.adapted, windows, size, len(case.documents), "plain") for size in (1, len(windows))
        )
        assert alone.tokens == together.tokens
        assert alone.nll == pytest.approx(together.nll, rel=1e-6)


@given(st.integers(0, 200), st.integers(1, 40), st.data())
def test_every_token_is_scored_exactly_once(length: int, context: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, context))
    ids = list(range(100, 100 + length))
    windows = causal_windows(stream(ids), 7, context, stride)
    scored = [target for window in windows for target in window.targets if target != IGNORE]
    assert scored == ids
    for window in windows:
        assert len(window.inputs) == len(window.targets) <= context
        for given_token, target in zip(window.inputs, window.targets, strict=True):
            assert target == IGNORE or given_token == (7 if target == 100 else target - 1)
    for window in windows[1:]:
        assert len(window.inputs) == min(context, length)
        assert sum(target != IGNORE for target in window.targets) <= stride


@given(st.lists(st.integers(0, 90), max_size=5), st.integers(3, 40))
def test_masked_blocks_hold_every_token_once(lengths: list[int], context: int) -> None:
    class Tokenizer:
        cls_token_id, sep_token_id, mask_token_id = 1, 2, 3

    ids = [[100 + at] * length for at, length in enumerate(lengths)]
    windows = masked_windows([stream(part, at) for at, part in enumerate(ids)], Tokenizer(), context, 0.3, 0)
    seen: list[int] = []
    owners: list[int] = []
    for window in windows:
        assert (window.inputs[0], window.inputs[-1]) == (1, 2)
        assert len(window.inputs) == len(window.targets) <= context
        for token, target in zip(window.inputs[1:-1], window.targets[1:-1], strict=True):
            assert (token == 3) == (target != IGNORE)
            seen.append(target if token == 3 else token)
        owners += window.documents[1:-1].tolist()
    assert seen == [token for part in ids for token in part]
    assert owners == [at for at, part in enumerate(ids) for _ in part]


def test_perplexity_that_is_no_number_is_an_error() -> None:
    for nll in (math.nan, math.inf, 1e9):
        with pytest.raises(MeasureError, match="not finite"):
            _ = Score(np.array([nll]), np.array([1])).perplexity
    assert Score(2 * np.log([10.0]), np.array([2])).perplexity == pytest.approx(10)


def test_logits_that_are_no_numbers_are_an_error(causal: Case) -> None:
    class Broken:
        device = torch.device("cpu")

        def eval(self) -> None:
            """As a model has it."""

        def __call__(self, input_ids: Any, attention_mask: Any) -> Any:
            return type("Output", (), {"logits": torch.full((*input_ids.shape, 9), torch.nan)})()

    with pytest.raises(MeasureError, match="not finite"):
        _ = score(Broken(), [window([1, 2], [2, 3])], 1, 1).perplexity


def test_nothing_to_score_is_an_error(causal: Case, masked: Case) -> None:
    assert streams(causal.tokenizer, [], "packed") == streams(causal.tokenizer, [""], "apart") == []
    with pytest.raises(MeasureError, match="no token to score"):
        score(causal.alone, [], 1, 0)
    with pytest.raises(MeasureError, match="no token to score"):
        score(masked.alone, [window([2, 5, 3], [IGNORE] * 3)], 1, 1)
    with pytest.raises(MeasureError, match="no room"):
        masked_windows([stream([5, 6])], masked.tokenizer, 2, 0.15, 0)
    with pytest.raises(MeasureError, match="no \\[CLS\\]"):
        masked_windows([stream([5, 6])], causal.tokenizer, 32, 0.15, 0)


def test_conditions_that_do_not_fit_are_errors(causal: Case) -> None:
    with pytest.raises(MeasureError, match=r"stride \(33\) exceeds the context \(32\)"):
        causal.measured(context=32, stride=33)
    with pytest.raises(SettingsError, match="longer than the model's 128 positions"):
        causal.measured(context=129)


def test_the_first_token_is_predicted_from_begin_of_text_where_there_is_one(causal: Case) -> None:
    class Tokenizer:
        bos_token_id: int | None = 5
        eos_token_id: int | None = 6

    tokenizer = Tokenizer()
    assert cutting.prefix_token(tokenizer) == 5
    tokenizer.bos_token_id = None
    assert cutting.prefix_token(tokenizer) == 6
    tokenizer.eos_token_id = None
    with pytest.raises(MeasureError, match="neither"):
        cutting.prefix_token(tokenizer)


def test_the_base_keeps_its_own_head_beside_a_trained_one(masked: Case, tmp_path: Path) -> None:
    run = tiny.run("masked-lm", masked.base, tmp_path, method={"modules_to_save": ["transform"]})
    stages.train(run, tiny.quiet)
    found = record.read(stages.measure(run, tiny.quiet)).measures.perplexity
    assert found is not None
    nll, count = plain_masked(masked, masked.alone)
    assert found.base_value == pytest.approx(math.exp(nll / count), rel=1e-5)
    assert found.value != found.base_value


def test_the_base_is_left_out_where_its_head_is_random(tmp_path: Path) -> None:
    base = tiny.bert(tmp_path / "headless", head=False)
    run = tiny.run("masked-lm", base, tmp_path, method={"modules_to_save": ["transform"]})
    stages.train(run, tiny.quiet)
    found = record.read(stages.measure(run, tiny.quiet)).measures.perplexity
    assert found is not None
    assert found.base_value is None
    assert found.base_left_out == "the base has no trained head for this task"


def digest(*parts: list[int]) -> str:
    return cutting.streams_digest([stream(part) for part in parts])


def test_the_digest_of_the_tokens_tells_texts_and_their_cuts_apart(causal: Case) -> None:
    whole = causal.measured(context=CONTEXT)
    assert whole.tokens_sha256 == cutting.streams_digest([stream(packed_ids(causal))])
    assert causal.measured(context=16, stride=8).tokens_sha256 == whole.tokens_sha256
    assert causal.measured(context=CONTEXT, documents="apart").tokens_sha256 != whole.tokens_sha256
    assert digest([1, 2], [3]) != digest([1], [2, 3])
    assert digest([1, 23]) != digest([12, 3])
