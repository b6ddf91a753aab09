"""Measuring from saved files: the base alone is the base, what does not fit is refused, nothing is lost."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny
import torch
from card_cases import write_adapter
from safetensors.torch import load_file, save_file

from hubkit import adapter, freshness, record, recorded, runs, stages, to_measure
from hubkit.cli import main
from hubkit.cli import measure as measure_command
from hubkit.errors import AdapterError, SettingsError
from hubkit.measures import throughput

MADE: dict[str, Path] = {}


def trained(task: str, base: Path, where: Path, **more: Any) -> runs.Run:
    where.mkdir(exist_ok=True)
    run = tiny.run(task, base, where, training__max_steps=2, measuring__throughput=False, **more)
    made = MADE.get(key := repr((task, base, more)))
    if made is None:  # the same training once, and copies of what it left
        stages.train(run, tiny.quiet)
        MADE[key] = shutil.copytree(run.output_dir, where / "as trained")
    else:
        shutil.copytree(made, run.output_dir)
    return run


def perplexity(run: runs.Run) -> record.Perplexity:
    found = record.read(run.adapter_dir).measures.perplexity
    assert found is not None
    return found


@pytest.mark.real
def test_the_base_alone_is_the_base_where_the_adapter_changes_its_biases(
    tiny_bert: Path, tmp_path: Path
) -> None:
    plain = trained("masked-lm", tiny_bert, tmp_path / "a")
    biased = trained(
        "masked-lm", tiny_bert, tmp_path / "b", method={"bias": "all"}, training__learning_rate=0.05
    )
    for run in (plain, biased):
        stages.measure(run, tiny.quiet)
    assert perplexity(biased).base_value == pytest.approx(perplexity(plain).base_value, rel=1e-5)
    assert perplexity(biased).value != perplexity(plain).value


@pytest.mark.real
@pytest.mark.parametrize("fault", ["renamed", "missing", "shape"])
def test_an_adapter_that_does_not_fit_is_refused(tiny_llama: Path, tmp_path: Path, fault: str) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    weights = run.adapter_dir / adapter.WEIGHTS_NAME
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    tensor = tensors.pop(name)
    if fault == "renamed":
        tensors[name.replace("layers", "blocks")] = tensor
    elif fault == "shape":
        tensors[name] = torch.cat([tensor, tensor])
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(AdapterError, match="does not fit the base model"):
        stages.measure(run, tiny.quiet)


def test_what_was_measured_stays_when_a_later_measure_fails(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    again = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=2, measuring__throughput=True)

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(throughput, "generation_rates", fail)
        with pytest.raises(KeyboardInterrupt):
            stages.measure(again, tiny.quiet)
    assert perplexity(run).value > 1
    said: list[str] = []
    stages.measure(again, said.append)
    assert "measuring throughput" in said
    assert record.read(run.adapter_dir).measures.throughput is not None


def test_measuring_without_a_text_keeps_the_perplexity(tiny_llama: Path, tmp_path: Path) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    stages.measure(run, tiny.quiet)
    before = perplexity(run)
    told = runs.Told(base_path=str(tiny_llama))
    stages.measure(
        runs.of_adapter(
            run.adapter_dir, told, ["measuring.speed={min_seconds: 0, sequence_length: 8, new_tokens: 8}"]
        ),
        tiny.quiet,
    )
    assert perplexity(run) == before
    assert record.read(run.adapter_dir).measures.throughput is not None


def test_text_that_was_trained_on_is_not_measured_as_held_out(tiny_llama: Path, tmp_path: Path) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    other = tiny.run("causal-lm", tiny_llama, tmp_path, adapter=str(run.adapter_dir), training__seed=7)
    with pytest.raises(SettingsError, match="hold out other documents"):
        stages.measure(other, tiny.quiet)


def test_a_text_of_unknown_use_is_not_called_held_out(tiny_llama: Path, tmp_path: Path) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    (run.adapter_dir / record.RECORD_NAME).unlink()
    foreign = tiny.run(
        "causal-lm", tiny_llama, tmp_path, adapter=str(run.adapter_dir), measuring__throughput=False
    )
    stages.measure(foreign, tiny.quiet)
    assert perplexity(foreign).split == freshness.SAMPLE
    known = record.read(run.adapter_dir)
    assert known.dataset is not None
    assert known.dataset.hold_out is None


def test_an_adapter_of_another_base_or_method_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    given = {"adapter": str(run.adapter_dir)}
    with pytest.raises(SettingsError, match="was trained by lora, and method says qlora"):
        stages.measure(
            tiny.run("causal-lm", tiny_llama, tmp_path, method={"name": "qlora"}, **given), tiny.quiet
        )
    config = tmp_path / "config.yaml"
    config.write_text("base_model: {id: a/b}\ntask: causal-lm\nmethod: qlora\n")
    told = measure_command._described(run.adapter_dir, config, (), runs.Told())
    assert told.method.NAME == "lora"  # on the command line it is the record that knows
    elsewhere = tiny.run("causal-lm", tiny_llama, tmp_path, **given)
    base = msgspec.structs.replace(elsewhere.settings.base, id="other-org/other-model")
    other = msgspec.structs.replace(elsewhere.settings, base_model=base)
    with pytest.raises(SettingsError, match="is an adapter of"):
        stages.measure(runs.Run(other, *_parts(elsewhere)), tiny.quiet)


def _parts(run: runs.Run) -> tuple[Any, ...]:
    return run.task, run.task_parameters, run.method, run.method_parameters


@pytest.mark.real
def test_perplexity_is_left_out_where_the_head_is_random(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    run = trained("masked-lm", tiny_bert, tmp_path)
    headless = tmp_path / "headless"
    AutoModel.from_pretrained(tiny_bert).save_pretrained(headless)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (headless / name).write_bytes((tiny_bert / name).read_bytes())
    (run.adapter_dir / record.RECORD_NAME).unlink()
    said: list[str] = []
    stages.measure(
        tiny.run("masked-lm", headless, tmp_path, adapter=str(run.adapter_dir), measuring__throughput=False),
        said.append,
    )
    assert any(line.startswith("perplexity left out") for line in said)
    assert record.read(run.adapter_dir).measures.perplexity is None


def test_flags_beat_the_settings_file() -> None:
    told = runs.Told(base_note="note", files=("a.txt",), context=64, dataset=None)
    assert {
        line.partition("=")[0]: json.loads(line.partition("=")[2]) for line in runs.overrides_of(told)
    } == {
        "base_model.note": "note",
        "measuring.context": 64,
        "dataset": {"eval_files": ["a.txt"]},
    }
    named = {
        text: json.loads(runs.overrides_of(runs.Told(dataset=text))[0].partition("=")[2])
        for text in ("org/x", "org/x:dev", "org/x:en:dev")
    }
    assert named == {
        "org/x": {"id": "org/x", "config": None, "eval_split": "test"},
        "org/x:dev": {"id": "org/x", "config": None, "eval_split": "dev"},
        "org/x:en:dev": {"id": "org/x", "config": "en", "eval_split": "dev"},
    }


def test_what_settings_say_in_words_reaches_the_record_without_measuring_again(
    tiny_llama: Path, tmp_path: Path
) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    stages.measure(run, tiny.quiet)
    noted = msgspec.structs.replace(run.settings.base, note="A note.")
    told = runs.Run(msgspec.structs.replace(run.settings, base_model=noted), *_parts(run))
    said: list[str] = []
    stages.measure(told, said.append)
    assert said[0].startswith("measured already")
    known = record.read(run.adapter_dir).base_model
    assert known is not None
    assert known.note == "A note."


def test_full_memory_is_told_with_what_to_lower(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubkit.errors import MeasureError
    from hubkit.measures import run as measure

    run = trained("causal-lm", tiny_llama, tmp_path)

    def full(*_: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(measure, "measure", full)
    with pytest.raises(MeasureError, match="out of memory"):
        stages.measure(run, tiny.quiet)


def test_another_context_takes_the_stride_along(tiny_llama: Path, tmp_path: Path) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    stages.measure(run, tiny.quiet)
    told = runs.Told(base_path=str(tiny_llama), files=(str(tmp_path / "text.txt"),), context=16)
    again = runs.of_adapter(run.adapter_dir, told, ["measuring.throughput=false"])
    stages.measure(again, tiny.quiet)
    assert (perplexity(run).context, perplexity(run).stride) == (16, 16)


def test_a_base_of_another_task_is_told(tiny_llama: Path, tmp_path: Path) -> None:
    from hubkit.errors import BaseModelError

    run = tiny.run("masked-lm", tiny_llama, tmp_path)
    with pytest.raises(BaseModelError, match="has no model for masked language modeling"):
        stages.train(run, tiny.quiet)


def test_the_commit_of_a_hub_base_is_recorded(tiny_llama: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The Hub's cache, as huggingface_hub lays it out, with one model in it."""
    from huggingface_hub import constants

    from hubkit.models import base_facts
    from hubkit.settings import Base

    commit = "a" * 40
    repo = tmp_path / "models--tiny-org--cached"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(tiny_llama, repo / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert base_facts._commit(Base(id="tiny-org/cached")) == commit
    assert base_facts._commit(Base(id="tiny-org/cached", revision=commit)) == commit
    assert base_facts._commit(Base(id="tiny-org/other")) is None
    assert base_facts._commit(Base(id="tiny-org/cached", path=str(tiny_llama))) is None
    assert base_facts._weights(Base(id="tiny-org/cached")) != []


def test_a_base_without_a_revision_is_the_one_that_was_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    base = msgspec.structs.replace(run.settings.base, path=None)
    unset = replace(run, settings=msgspec.structs.replace(run.settings, base_model=base))
    pinned_base = msgspec.structs.replace(base, revision="a" * 40)
    pinned = replace(run, settings=msgspec.structs.replace(run.settings, base_model=pinned_base))
    known = record.Record(base_model=record.BaseModel(id=base.id, revision="a" * 40))
    other = record.Record(base_model=record.BaseModel(id=base.id, revision="b" * 40))
    digests = [runs.measuring_sha256(r, k, "x", None, None) for r in (unset, pinned) for k in (known, other)]
    assert digests[0] == digests[2] == digests[3] != digests[1]


def test_measures_of_another_revision_are_not_kept(tiny_llama: Path, tmp_path: Path) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    stages.measure(run, tiny.quiet)
    found, known = adapter.read(run.adapter_dir), record.read(run.adapter_dir)
    assert known.base_model is not None
    hub = msgspec.structs.replace(known.base_model, source="hub", revision="a" * 40, weights_sha256=None)
    on_hub = msgspec.structs.replace(known, base_model=hub)
    base = msgspec.structs.replace(run.settings.base, path=None)

    def kept(revision: str | None, quantization: dict[str, Any] | None = None) -> bool:
        settings = msgspec.structs.replace(
            run.settings, base_model=msgspec.structs.replace(base, revision=revision)
        )
        with_bits = msgspec.structs.replace(hub, quantization=quantization)
        of = msgspec.structs.replace(on_hub, base_model=with_bits)
        return to_measure.still_valid(replace(run, settings=settings), found, of, None).perplexity is not None

    assert kept(None)
    assert kept("a" * 40)
    assert not kept("b" * 40)
    assert kept(None, {"quant_method": "bitsandbytes", "load_in_4bit": True})
    assert not kept(None, {"load_in_4bit": True})


def test_what_was_a_sample_or_capped_is_asked_for_as_it_was() -> None:
    held = record.Dataset(name="x", id="org/x", eval_split=freshness.SAMPLE, eval_documents=3)
    assert recorded.data(record.Record(dataset=held)) is None
    split = record.Dataset(name="x", id="org/x", eval_split="test", eval_documents=3)
    asked = recorded.data(record.Record(dataset=split))
    assert asked == {"id": "org/x", "eval_split": "test", "max_eval_documents": 3}


def test_two_texts_at_once_are_refused() -> None:
    with pytest.raises(SettingsError, match="--text and --dataset name a text each"):
        runs.overrides_of(runs.Told(files=("a.txt",), dataset="a/b"))
    assert runs.overrides_of(runs.Told(dataset="")) != []  # no name is refused later, and not passed over


def test_a_record_with_a_wrong_condition_is_named(tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "r": 1, "task_type": "CAUSAL_LM", "base_model_name_or_path": "a/b"}
    directory = write_adapter(
        tmp_path / "adapter", config, {"base_model.model.q.lora_A.weight": ("F32", [1, 1])}
    )
    known = {
        "schema_version": 1,
        "base_model": {"id": "a/b"},
        "measures": {
            "perplexity": {
                "adapter_sha256": adapter.read(directory).sha256(), "definition": "causal", "value": 2.0,
                "tokens_scored": 1, "tokens_total": 1, "documents": 1, "documents_kept": "apart",
                "context": 0, "stride": 1, "batch_size": 1, "dtype": "float32", "device": "cpu",
                "dataset_sha256": "0" * 64, "dataset_name": "x",
            }
        },
    }  # fmt: skip
    (directory / "hubkit.json").write_text(json.dumps(known))
    with pytest.raises(SettingsError, match=r"hubkit\.json:1: measuring\.context"):
        runs.of_adapter(directory, runs.Told(), [])


def test_flags_name_conditions_as_the_settings_do() -> None:
    told = runs.Told(stride=8, documents="apart", precision="float32", perplexity=False, base_revision="abc")
    assert runs.overrides_of(told) == [
        'base_model.revision="abc"',
        "measuring.stride=8",
        'measuring.documents="apart"',
        'measuring.precision="float32"',
        "measuring.perplexity=false",
    ]


def test_what_was_measured_is_measured_under_the_same_conditions(tiny_bert: Path, tmp_path: Path) -> None:
    given = {"context": 24, "documents": "apart", "batch_size": 3, "mask_seed": 5, "resamples": 50}
    run = trained("masked-lm", tiny_bert, tmp_path, measuring=given)
    stages.measure(run, tiny.quiet)
    again = runs.of_adapter(run.adapter_dir, runs.Told(base_path=str(tiny_bert)), [])
    kept = {name: getattr(again.settings.measuring, name) for name in given}
    assert kept == given
    bare = tiny.run("masked-lm", tiny_bert, tmp_path)
    assert runs.under_record(bare, record.read(run.adapter_dir)).settings.measuring.context == 24


def test_a_trained_adapter_keeps_the_base_it_was_trained_on(tiny_llama: Path, tmp_path: Path) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    before = record.read(run.adapter_dir)
    other = tiny.run("causal-lm", tiny.llama(tmp_path / "other", tied=False), tmp_path)
    with pytest.raises(SettingsError, match="was trained on weights of tiny-org/tiny-llama with digest"):
        stages.measure(replace(run, settings=other.settings), tiny.quiet)
    on_hub = msgspec.structs.replace(
        run.settings, base_model=msgspec.structs.replace(run.settings.base, path=None)
    )
    with pytest.raises(SettingsError, match="was trained on local weights"):
        stages.measure(replace(run, settings=on_hub), tiny.quiet)
    assert record.read(run.adapter_dir) == before


def test_a_base_of_the_hub_is_no_directory_unless_it_is_its_snapshot(
    tiny_llama: Path, tmp_path: Path
) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    known, found = record.read(run.adapter_dir), adapter.read(run.adapter_dir)
    assert known.base_model is not None
    commit = "c" * 40
    known.base_model = msgspec.structs.replace(
        known.base_model, source="hub", revision=commit, weights_sha256=None
    )
    with pytest.raises(SettingsError, match="nobody knows that the weights in"):
        to_measure.check_subject(run, found, known)
    to_measure.check_subject(run, found, known, reading=True)
    (tmp_path / "snapshots").mkdir()
    snapshot = shutil.copytree(tiny_llama, tmp_path / "snapshots" / commit)

    def at(**base: Any) -> runs.Run:
        changed = msgspec.structs.replace(run.settings.base, **base)
        return replace(run, settings=msgspec.structs.replace(run.settings, base_model=changed))

    to_measure.check_subject(at(path=str(snapshot)), found, known)
    assert to_measure.on_known_base(at(path=None), known).settings.base.revision == commit
    with pytest.raises(SettingsError, match="was trained on commit cccccccccccc of"):
        to_measure.check_subject(at(path=None, revision="d" * 40), found, known)
    with pytest.raises(SettingsError, match="and dddddddddddd was loaded"):
        to_measure.check_loaded(record.BaseModel(id="x", revision="d" * 40), known)


def test_without_a_base_the_files_are_counted(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hubkit.cli.main import run as hubkit

    place = trained("causal-lm", tiny_llama, tmp_path).adapter_dir
    (place / record.RECORD_NAME).unlink()
    config = json.loads((place / adapter.CONFIG_NAME).read_text())
    config |= {"task_type": None, "base_model_name_or_path": None}
    (place / adapter.CONFIG_NAME).write_text(json.dumps(config))
    assert hubkit(["measure", "--adapter", str(place)]) == 0
    said = capsys.readouterr()
    assert "Only the adapter's files were counted: " in said.err
    assert f"Next: hubkit measure --adapter {place} --base-model USER/NAME --task NAME" in said.err
    counted = record.read(place).measures
    assert counted.parameters is not None
    assert counted.parameters.adapter == 1792
    assert counted.size is not None
    assert not counted.were_taken
    assert hubkit(["measure", "--adapter", str(place), "--task", "causal-lm"]) == 2  # asked for, not done
    assert "does not name its base model. Next: --base-model ID" in capsys.readouterr().err


@pytest.mark.real
def test_a_longer_text_is_measured_whole_after_a_shorter_one(tiny_llama: Path, tmp_path: Path) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    for count in (2, 3):
        text = tmp_path / f"{count}.txt"
        text.write_text("\n\n".join(f"Text number {at} tells of a river." for at in range(count)), "utf-8")
        told = runs.Told(base_path=str(tiny_llama), files=(str(text),))
        again = runs.of_adapter(run.adapter_dir, told, ["measuring.throughput=false"])
        stages.measure(again, tiny.quiet)
        assert perplexity(run).documents == count


@pytest.mark.real
def test_a_card_of_a_record_that_was_edited_is_not_made_without_a_word(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("causal-lm", tiny_llama, tmp_path)
    told = runs.Told(base_path=str(tiny_llama), files=(str(tmp_path / "text.txt"),))
    stages.measure(runs.of_adapter(run.adapter_dir, told, ["measuring.throughput=false"]), tiny.quiet)
    assert main.run(["card", "--adapter", str(run.adapter_dir)]) == 0
    assert "edited by hand" not in capsys.readouterr().err
    known = record.read(run.adapter_dir)
    assert known.measures.perplexity is not None
    known.measures.perplexity.value /= 2
    record.write(run.adapter_dir, known)
    assert main.run(["card", "--adapter", str(run.adapter_dir)]) == 0
    assert "was edited by hand (perplexity)" in capsys.readouterr().err
