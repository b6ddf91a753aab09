"""Stages: done once for the same settings, text and weights, and again when one of them changed."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from hubkit import adapter, freshness, record, runs, stages, tasks
from hubkit.errors import SettingsError
from hubkit.measures import throughput
from hubkit.training import fit


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every training and every measuring that really happens."""
    from hubkit.measures import run as measuring

    done: list[str] = []
    train, measure = fit.fit, measuring.measure
    monkeypatch.setattr(fit, "fit", lambda *a, **k: (done.append("train"), train(*a, **k))[1])
    monkeypatch.setattr(measuring, "measure", lambda *a, **k: (done.append("measure"), measure(*a, **k))[1])
    return done


def both(run: runs.Run, *, fresh: bool = False) -> list[str]:
    said: list[str] = []
    if not run.settings.adapter:
        stages.train(run, said.append, fresh=fresh)
    stages.measure(run, said.append)
    return said


def test_what_is_done_is_not_done_again(tiny_llama: Path, tmp_path: Path, counted: list[str]) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    assert stages.forecast(run)[0].startswith("train LoRA on ")
    both(run)
    before = {path.name: path.read_bytes() for path in run.adapter_dir.iterdir()}
    assert stages.forecast(run) == []
    assert [line.partition(":")[0] for line in both(run)] == [
        "trained already with these settings",
        "measured already on these weights, with these settings",
    ]
    assert {path.name: path.read_bytes() for path in run.adapter_dir.iterdir()} == before
    assert counted == ["train", "measure"]


@pytest.fixture(scope="module")
def done(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory where a run of one step was trained and measured, to be copied."""
    directory = tmp_path_factory.mktemp("done")
    both(tiny.run("causal-lm", tiny_llama, directory, training__max_steps=1))
    return directory


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"training__save_steps": 7}, []),
        ({"training__log_steps": 3}, []),
        ({"measuring__context": 32}, []),  # what it is by default
        ({"card": {"title": "Another"}}, []),
        ({"measuring__stride": 16}, ["measure"]),
        ({"measuring__context": 16}, ["measure"]),
        ({"measuring__perplexity": False}, ["measure"]),
        ({"training__seed": 7}, ["train", "measure"]),
        ({"training__learning_rate": 0.02}, ["train", "measure"]),
        ({"method": {"r": 2}}, ["train", "measure"]),
        ({"dataset__max_documents": 20}, ["train", "measure"]),
        ({"measuring__max_eval_documents": 2}, ["measure"]),
    ],
)
def test_only_what_a_change_touches_is_done_again(
    changed: dict[str, Any],
    expected: list[str],
    tiny_llama: Path,
    done: Path,
    tmp_path: Path,
    counted: list[str],
) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    other = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1, **changed)
    fresh = "train" in expected
    if fresh:  # noticed, and not done over what lies there
        with pytest.raises(SettingsError, match="not trained with these settings"):
            stages.train(other, tiny.quiet)
    forecast = stages.forecast(other, fresh=fresh)
    both(other, fresh=fresh)
    assert counted == expected
    assert len(forecast) == len(expected)


def test_other_weights_are_measured_again(
    tiny_llama: Path, done: Path, tmp_path: Path, counted: list[str]
) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1)
    first = record.read(run.adapter_dir).measures
    weights = run.adapter_dir / adapter.WEIGHTS_NAME
    tensors = {name: torch.full_like(tensor, 0.3) for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, {"format": "pt"})
    stages.measure(run, tiny.quiet)
    second = record.read(run.adapter_dir).measures
    assert counted == ["measure"]
    assert first.perplexity is not None
    assert second.perplexity is not None
    assert first.perplexity.value != second.perplexity.value
    assert first.perplexity.base_value == pytest.approx(
        second.perplexity.base_value, rel=1e-5
    )  # other kernels
    assert second.perplexity.adapter_sha256 == adapter.read(run.adapter_dir).sha256()


@pytest.mark.real
def test_another_configuration_is_measured_again_and_its_training_forgotten(
    tiny_llama: Path, tmp_path: Path, counted: list[str]
) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    both(run)
    first = record.read(run.adapter_dir)
    assert first.training is not None
    assert first.training.adapter_sha256 == adapter.read(run.adapter_dir).sha256()
    path = run.adapter_dir / adapter.CONFIG_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 64}))
    digest = adapter.read(run.adapter_dir).sha256()
    assert freshness.stale(first, digest) == ["parameters", "size", "perplexity", "training"]
    stages.measure(run, tiny.quiet)
    second = record.read(run.adapter_dir)
    assert counted == ["train", "measure", "measure"]
    assert freshness.stale(second, digest) == []
    assert second.training is second.method is None
    assert second.dataset is not None
    assert second.dataset.train_sha256 is None
    assert first.measures.perplexity != second.measures.perplexity


@pytest.mark.real
def test_an_adapter_is_measured_for_the_task_it_was_trained_for(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1)
    adapter_dir = stages.train(run, tiny.quiet)
    before = record.read(adapter_dir)
    with pytest.raises(SettingsError, match="was trained for causal-lm, and task says masked-lm"):
        stages.measure(replace(run, task=tasks.get("masked-lm")), tiny.quiet)
    assert record.read(adapter_dir) == before


@pytest.mark.real
def test_another_base_means_training_again(done: Path, tmp_path: Path, counted: list[str]) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    other = tiny.llama(tmp_path / "other", tied=False)
    run = tiny.run("causal-lm", other, tmp_path, training__max_steps=1)
    with pytest.raises(SettingsError, match="not trained with these settings"):
        stages.train(run, tiny.quiet)
    both(run, fresh=True)
    assert counted == ["train", "measure"]


def test_an_adapter_that_is_given_is_measured_and_not_trained(
    tiny_llama: Path, done: Path, tmp_path: Path, counted: list[str]
) -> None:
    directory = tmp_path / "adapter"
    shutil.copytree(done / "run" / "adapter", directory)
    (directory / record.RECORD_NAME).unlink()
    given = tiny.run(
        "causal-lm", tiny_llama, tmp_path, adapter=str(directory), output_dir=str(tmp_path / "no")
    )
    assert "measuring perplexity with the adapter" in both(given)
    assert counted == ["measure"]
    known = record.read(directory)
    assert known.training is None
    assert known.dataset is not None
    assert known.dataset.train_sha256 is None
    assert known.dataset.train_documents is None
    assert known.measures.perplexity is not None
    assert not (tmp_path / "no").exists()


def test_the_bits_of_a_given_adapter_count(
    tiny_llama: Path, done: Path, tmp_path: Path, counted: list[str]
) -> None:
    directory = tmp_path / "adapter"
    shutil.copytree(done / "run" / "adapter", directory)
    (directory / record.RECORD_NAME).unlink()
    both(tiny.run("causal-lm", tiny_llama, tmp_path, adapter=str(directory)))
    both(tiny.run("causal-lm", tiny_llama, tmp_path, adapter=str(directory), method={"name": "qlora"}))
    assert counted == ["measure", "measure"]
    measured = record.read(directory).measures.parameters
    assert measured is not None
    assert "4bit" in measured.total_by_dtype


def test_text_to_evaluate_on_is_enough_to_measure(tiny_llama: Path, done: Path, tmp_path: Path) -> None:
    directory = tmp_path / "adapter"
    shutil.copytree(done / "run" / "adapter", directory)
    file = tmp_path / "test.txt"
    file.write_text("\n\n".join(tiny.text(5, seed=9)))
    told = runs.Told(base_path=str(tiny_llama), files=(str(file),), context=32)
    run = runs.of_adapter(directory, told, ["measuring.throughput=false"])
    known = record.read(stages.measure(run, tiny.quiet))
    assert known.measures.perplexity is not None
    assert (known.measures.perplexity.documents, known.measures.perplexity.split) == (5, "test.txt")
    assert known.training is not None
    assert known.dataset is not None
    assert known.dataset.name == "made-up English"


def test_a_path_that_an_adapter_names_as_its_base_is_not_cited(
    tiny_llama: Path, done: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "adapter"
    shutil.copytree(done / "run" / "adapter", directory)
    (directory / record.RECORD_NAME).unlink()
    config = json.loads((directory / adapter.CONFIG_NAME).read_text())
    config["base_model_name_or_path"] = str(tiny_llama)
    (directory / adapter.CONFIG_NAME).write_text(json.dumps(config))
    from hubkit.errors import SettingsError

    with pytest.raises(SettingsError, match="does not name its base model"):
        runs.of_adapter(directory, runs.Told(), [])


@pytest.mark.real
@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
def test_the_record_tells_nothing_about_whose_machine_it_was(
    task: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_aTokenThatMustNotLeak")
    base = request.getfixturevalue("tiny_llama" if task == "causal-lm" else "tiny_bert")
    run = tiny.run(task, base, tmp_path, method={"name": "qlora"}, measuring__throughput=True)
    both(run)
    text = (run.adapter_dir / record.RECORD_NAME).read_text()
    for secret in ("hf_aToken", str(tmp_path), str(base), str(Path.home()), "/tmp"):
        assert secret not in text
    words = set(re.findall(r"[\w.-]+", text))
    assert not {getpass.getuser(), socket.gethostname()} & words
    assert not re.search(r'"/|"[A-Z]:\\\\', text)
    assert "null" not in text
    assert "NaN" not in text


def test_every_measure_has_its_conditions(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, measuring__throughput=True)
    both(run)
    known = record.read(run.adapter_dir)
    digest = adapter.read(run.adapter_dir).sha256()
    measures = known.measures
    for name in ("parameters", "size", "perplexity", "throughput"):
        assert getattr(measures, name).adapter_sha256 == digest
    speed = measures.throughput
    assert speed is not None
    assert (speed.batch_size, speed.sequence_length, speed.new_tokens, speed.warmup) == (1, 8, 16, 0)
    assert speed.prefill is not None
    assert speed.decode is not None
    assert speed.decode.repeats >= 3
    assert speed.decode.low <= speed.decode.median <= speed.decode.high
    assert (speed.samples, speed.tokens) == (None, None)
    assert speed.peak_memory_bytes
    assert speed.environment is not None
    assert speed.environment.libraries["torch"] == torch.__version__
    perplexity = measures.perplexity
    assert perplexity is not None
    assert (perplexity.dtype, perplexity.device, perplexity.split) == ("float32", "cpu", "held out")
    assert known.dataset is not None
    assert perplexity.dataset_sha256 == known.dataset.eval_sha256


@pytest.mark.real
def test_throughput_of_an_encoder_is_samples_and_tokens(tiny_bert: Path, tmp_path: Path) -> None:
    run = tiny.run(
        "masked-lm",
        tiny_bert,
        tmp_path,
        training__max_steps=1,
        measuring={"throughput": True, "perplexity": False},
    )
    both(run)
    speed = record.read(run.adapter_dir).measures.throughput
    assert speed is not None
    assert speed.samples is not None
    assert speed.tokens is not None
    assert speed.tokens.median == pytest.approx(8 * speed.samples.median)
    assert (speed.prefill, speed.decode, speed.new_tokens) == (None, None, None)


def test_a_generating_model_makes_exactly_the_tokens_that_are_timed(tiny_llama: Path) -> None:
    from transformers import AutoModelForCausalLM

    made: list[int] = []
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    generate = model.generate

    def spy(**given: Any) -> Any:
        made.append(generate(**given).shape[1] - given["input_ids"].shape[1])

    model.generate = spy
    throughput.generate(model, torch.tensor([[5, 6, 7], [7, 8, 9]]), 12)
    assert made == [12]
