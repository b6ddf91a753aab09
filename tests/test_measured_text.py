"""The text that perplexity was measured on stays apart from the text of the training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny

from hubkit import record, runs, stages
from hubkit.models import corpus


def on(run: runs.Run, file: Path, name: str) -> runs.Run:
    """The same run, measured on another file."""
    data = msgspec.structs.replace(run.settings.data, files=[], eval_files=[str(file)], name=name)
    return replace(run, settings=msgspec.structs.replace(run.settings, dataset=data))


@pytest.fixture
def run(tiny_llama: Path, tmp_path: Path) -> runs.Run:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1)
    stages.train(run, tiny.quiet)
    for seed in (1, 2):
        (tmp_path / f"{seed}.txt").write_text("\n\n".join(tiny.text(6, seed)), encoding="utf-8")
    return run


@pytest.mark.real
def test_another_text_takes_no_place_of_the_training_text(run: runs.Run, tmp_path: Path) -> None:
    before = record.read(run.adapter_dir).dataset
    after = record.read(stages.measure(on(run, tmp_path / "1.txt", "one"), tiny.quiet))
    assert after.dataset == before
    assert after.measures.perplexity is not None
    assert after.measures.perplexity.dataset_name == "one"
    assert after.measures.perplexity.dataset_id is None


@pytest.mark.real
def test_without_a_training_the_text_is_the_last_one(run: runs.Run, tmp_path: Path) -> None:
    known = record.read(run.adapter_dir)
    foreign = msgspec.structs.replace(known, training=None, dataset=None, method=None)
    record.write(run.adapter_dir, foreign)
    for name in ("1", "2"):
        found = record.read(stages.measure(on(run, tmp_path / f"{name}.txt", name), tiny.quiet))
        assert found.dataset is not None
        assert found.measures.perplexity is not None
        assert found.dataset.name == found.measures.perplexity.dataset_name == name
        assert found.dataset.train_sha256 is None


def test_perplexity_says_where_its_text_is_from(
    run: runs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = corpus.load

    def from_the_hub(*arguments: Any, **named: Any) -> corpus.Corpus:
        text = load(*arguments, **named)
        facts = msgspec.structs.replace(text.facts, id="org/data", config="small", revision="abc")
        return corpus.Corpus(text.train, text.evaluation, facts)

    monkeypatch.setattr(corpus, "load", from_the_hub)
    found = record.read(stages.measure(on(run, tmp_path / "1.txt", "one"), tiny.quiet)).measures.perplexity
    assert found is not None
    assert (found.dataset_id, found.dataset_config, found.dataset_revision) == ("org/data", "small", "abc")


def test_the_training_text_is_measured_on_where_it_was_held_out(run: runs.Run, tmp_path: Path) -> None:
    """Named as any text: its documents that were trained on stay out."""
    stages.measure(run, tiny.quiet)
    before = record.read(run.adapter_dir).measures.perplexity
    found = record.read(
        stages.measure(on(run, tmp_path / "text.txt", "again"), tiny.quiet)
    ).measures.perplexity
    assert before is not None
    assert found is not None
    assert (found.dataset_sha256, found.split) == (before.dataset_sha256, "held out")
    assert found.dataset_name == "made-up English"
