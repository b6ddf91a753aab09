"""Texts and models that perplexity has no number for, or nearly none: a clear line, or the right number."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from text_cases import Case, rolling
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from hubkit.errors import MeasureError, SettingsError
from hubkit.measures import perplexity, run
from hubkit.measures.scoring import Score

TEXT = [text[:60] for text in tiny.text(2, seed=7)]


@pytest.fixture(scope="module")
def case(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case("causal-lm", tiny_llama, tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def masked(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case("masked-lm", tiny_bert, tmp_path_factory.mktemp("masked"))


@pytest.fixture(scope="module")
def resized(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """An adapter that brings embeddings of two new tokens."""
    return Case("causal-lm", tiny_llama, tmp_path_factory.mktemp("resized"), ("<new>", "<newer>"))


def broken(case: Case, directory: Path, change: Any) -> Case:
    """The same adapter on a base whose weights were changed."""
    for file in case.base.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    weights = load_file(directory / "model.safetensors")
    change(weights)
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    other = object.__new__(Case)
    other.__dict__ |= case.__dict__ | {"base": directory}
    return other


def test_weights_that_are_no_numbers_are_an_error(case: Case, tmp_path: Path) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"][0] = torch.nan

    said = r"perplexity of the base is not finite: the loss of document 1 is no number.*weights"
    with pytest.raises(MeasureError, match=said):
        broken(case, tmp_path, spoil).measures(TEXT)


@pytest.mark.parametrize(("loss", "word"), [(math.nan, "no number"), (math.inf, "infinite")])
def test_the_document_is_named(loss: float, word: str) -> None:
    score = Score(np.array([1.0, loss, 2.0]), np.array([1, 1, 1]))
    with pytest.raises(
        MeasureError, match=f"with the adapter is not finite: the loss of document 2 is {word}"
    ):
        perplexity.checked(score, "with the adapter", "float32")


def test_a_mean_loss_that_overflows_is_an_error(case: Case, tmp_path: Path) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"] *= 1e4

    with pytest.raises(MeasureError, match=r"exp of a mean loss of [\d,]+ nats a token overflows .*weights"):
        broken(case, tmp_path, spoil).measures(TEXT)
    other = r"not finite.*\(set measuring.precision: float32\)"
    with pytest.raises(MeasureError, match=other):
        broken(case, tmp_path, spoil).measures(TEXT, precision="bfloat16")


def test_a_text_without_a_token_is_an_error(case: Case, masked: Case) -> None:
    for which, documents in ((case, [""]), (masked, ["", " \n"])):
        for kept in ("apart", "packed"):
            with pytest.raises(MeasureError, match=r"no token to score"):
                which.measures(documents, documents=kept)
    with pytest.raises(MeasureError, match="no token to score"):
        masked.measures([" "], perplexity=False, pseudo_perplexity=True)


def test_a_text_of_one_token_has_a_perplexity(case: Case) -> None:
    found = case.perplexity(["x"], resamples=10)
    assert (found.tokens_scored, found.words, found.bytes, found.interval) == (1, 1, 1, None)
    assert found.value == pytest.approx(math.exp(rolling(case.adapted, case.ids("x"), 0, 32, 32)))


def test_documents_without_a_token_change_nothing_but_their_count(masked: Case) -> None:
    plain = masked.perplexity(TEXT, documents="apart", resamples=10)
    more = masked.perplexity([" ", TEXT[0], "\u200b", TEXT[1], ""], documents="apart", resamples=10)
    assert (plain.nll_sum, plain.tokens_scored) == (more.nll_sum, more.tokens_scored)
    assert (plain.documents, more.documents) == (2, 5)
    assert plain.interval == more.interval


def test_a_text_longer_than_the_positions_is_cut_and_a_longer_context_refused(case: Case) -> None:
    text = " ".join(tiny.text(3))
    assert len(case.ids(text)) > 128
    assert case.perplexity([text], context=128).tokens_scored == len(case.ids(text))
    with pytest.raises(SettingsError, match=r"measuring.context: 129 tokens are longer than the model's 128"):
        case.measures([text], context=129)


def test_conditions_without_sense_are_errors(case: Case, masked: Case) -> None:
    with pytest.raises(MeasureError, match=r"stride \(33\) exceeds the context \(32\)"):
        case.measures(TEXT, stride=33)
    for measures in ({}, {"perplexity": False, "pseudo_perplexity": True}):
        with pytest.raises(MeasureError, match="no room for a token to hide"):
            masked.measures(TEXT, context=2, **measures)


def test_a_token_beyond_the_embeddings_is_named_with_both_sizes(case: Case, tmp_path: Path) -> None:
    other = broken(case, tmp_path, lambda _: None)
    tokenizer = AutoTokenizer.from_pretrained(case.base)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(tmp_path)
    had = len(case.tokenizer)
    said = rf"token {had} \('<new>'\) of the text has no embedding: .* has {had} and the tokenizer {had + 1}"
    with pytest.raises(MeasureError, match=said):
        other.measures([*TEXT, "a <new> word"])
    assert other.perplexity(TEXT).value == case.perplexity(TEXT).value  # nothing in this text needs it


def test_a_token_needs_an_embedding_and_an_output() -> None:
    for rows, outputs in ((7, 9), (9, 7)):
        model = SimpleNamespace(
            get_input_embeddings=lambda rows=rows: torch.nn.Embedding(rows, 2),
            get_output_embeddings=lambda outputs=outputs: torch.nn.Linear(2, outputs),
        )
        assert perplexity._rows(model) == 7


def test_an_adapter_with_resized_embeddings_is_measured_by_its_own_tokenizer(resized: Case) -> None:
    found = resized.perplexity(["a <new> word"])
    ids = resized.ids("a <new> word")
    assert max(ids) == len(resized.tokenizer) - 2
    assert found.nll_sum == pytest.approx(rolling(resized.adapted, ids, 0, 32, 32), rel=1e-5)
    assert found.base_value is None
    assert "token 320 ('<new>') of the text has no embedding" in (found.base_left_out or "")
    plain = resized.perplexity(TEXT)
    nll = rolling(resized.alone, resized.ids("\n\n".join(TEXT)), 0, 32, 32)
    assert plain.base_nll_sum == pytest.approx(nll, rel=1e-5)


def test_a_tokenizer_beside_the_adapter_that_cannot_be_read_is_passed_over(case: Case) -> None:
    (case.directory / "tokenizer.json").write_text("{}")
    try:
        assert case.perplexity(TEXT).tokens_scored == len(case.ids("\n\n".join(TEXT)))
    finally:
        (case.directory / "tokenizer.json").unlink()


def test_units_whose_perplexity_overflows_are_left_out() -> None:
    found = perplexity._by_unit(1000.0, {"words": 1, "bytes": 10})
    assert set(found) == {"bits_per_byte", "byte_perplexity"}
    assert perplexity._by_unit(0.0, {"words": 1, "bytes": 0}) == {}


def test_a_learned_prompt_takes_positions_too() -> None:
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=128,
        )
    )
    settings = SimpleNamespace(context=126, throughput=False, perplexity=True, pseudo_perplexity=False)
    for virtual, fits in ((2, True), (3, False), (None, True)):
        adapter = SimpleNamespace(config={"num_virtual_tokens": virtual})
        task = SimpleNamespace(PERPLEXITY="causal")
        settings.speed = None
        subject: Any = SimpleNamespace(adapter=adapter, settings=settings, text=TEXT, task=task)
        if fits:
            run._check_lengths(model, subject)
            continue
        with pytest.raises(SettingsError, match="129 tokens are longer than the model's 128 positions"):
            run._check_lengths(model, subject)
