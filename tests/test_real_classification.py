"""Text classification on a real encoder and real sentences; slow, and off by default: `pytest -m real`."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from huggingface_hub import ModelCard, snapshot_download
from peft import PeftModel
from safetensors.torch import load_file
from test_real import fetched
from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig, TrainerCallback

from hubkit import adapter, localhub, pipeline, record, runs, stages
from hubkit.audit import rules, subject
from hubkit.errors import Interrupted
from hubkit.publishing import PushOptions
from hubkit.settings import load
from hubkit.training import saving, trainer

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent
REPO = "local/minilm-film-reviews"
METHODS = ["lora", "sparse-lora", "qlora", "hira"]
IDS = torch.arange(5, 29).unsqueeze(0)


def test_the_example_learns_to_tell_labels_and_its_card_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of examples/text-classification.yaml, for a quarter of an epoch."""
    fetched("minilm", "minilm")
    fetched("movie-reviews", "movie-reviews.jsonl")
    monkeypatch.chdir(ROOT)
    quick = {"output_dir": tmp_path / "run", "training.max_steps": 80, "training.eval_steps": 80}
    quick |= {"measuring.throughput": "false"}
    given = [f"{key}={value}" for key, value in quick.items()]
    run = runs.prepare(*load(ROOT / "examples" / "text-classification.yaml", given))
    options = PushOptions(repo_id=REPO, local_hub=tmp_path / "hub")
    pipeline.run_and_publish(run, options, localhub.start, lambda line: None)
    known = record.read(run.adapter_dir)
    measured = known.measures.classification
    assert measured is not None
    assert measured.accuracy > 0.70 > measured.majority_accuracy
    assert measured.macro_f1 == pytest.approx(measured.accuracy, abs=0.03)
    assert [one.label for one in measured.classes] == ["negative", "positive"]
    assert known.usage is not None
    assert known.usage.output is not None
    assert {line.partition(":")[0] for line in known.usage.output.splitlines()} == {"negative", "positive"}
    with localhub.start(tmp_path / "hub") as hub:
        found = Path(snapshot_download(REPO, endpoint=hub.endpoint, cache_dir=tmp_path / "cache"))
    text = (found / "README.md").read_text(encoding="utf-8")
    assert 'id2label={0: "negative", 1: "positive"}' in text
    assert f"**{measured.accuracy:.4f}**" in text
    assert ModelCard(text).data.to_dict()["pipeline_tag"] == "text-classification"
    assert [one.message for one in rules.findings(subject.load(found / "README.md"))] == []


def prepared(kind: str, method: str, base: Path, directory: Path, **changes: Any) -> runs.Run:
    given: dict[str, Any] = {"name": method}
    if kind == "llama":
        given["target_modules"] = ["q_proj", "v_proj"]
        changes["base_model"] = {"id": tiny.LLAMA_ID}
    return tiny.run("text-classification", base, directory, method=given, **changes)


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_all_methods_save_what_stock_peft_loads(
    kind: str,
    method: str,
    precision: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base: Path = request.getfixturevalue(f"tiny_{kind}")
    seen: list[Any] = []
    save = saving.save

    def spy(model: Any, *rest: Any, **more: Any) -> Any:
        with torch.no_grad():
            seen.append(model.eval()(input_ids=IDS).logits)
        return save(model, *rest, **more)

    monkeypatch.setattr(saving, "save", spy)
    run = prepared(kind, method, base, tmp_path, training__precision=precision)
    directory = stages.train(run, tiny.quiet)
    known = record.read(directory).base_model
    assert known is not None
    options: dict[str, Any] = {"num_labels": 3, "dtype": getattr(torch, precision)}
    if known.pad_token_id is not None:
        options["pad_token_id"] = known.pad_token_id
    if known.quantization:
        options["quantization_config"] = BitsAndBytesConfig(
            **{**known.quantization, "bnb_4bit_compute_dtype": torch.bfloat16}
        )
    model = AutoModelForSequenceClassification.from_pretrained(base, **options)
    for module in model.modules():  # the kernel that training used; another one rounds otherwise
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    with torch.no_grad():
        loaded = PeftModel.from_pretrained(model, directory).eval()(input_ids=IDS).logits
    near = 1e-5 if precision == "float32" else 0.05  # a reader's head is in the base's 16 bits
    torch.testing.assert_close(loaded.float(), seen[0].float(), atol=near, rtol=near)
    stages.measure(run, tiny.quiet)
    assert record.read(directory).measures.classification is not None


class StopAt(TrainerCallback):
    """Stops training after a step, as Ctrl-C does."""

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == 5:
            os.kill(os.getpid(), signal.SIGINT)


def test_what_was_stopped_ends_in_the_very_weights(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [tmp_path / name for name in ("whole", "stopped")]
    for directory in made:
        directory.mkdir()
    settings = {"training__max_steps": 20, "training__epochs": 2, "method": {"dropout": 0.1}}
    whole, stopped = (tiny.run("text-classification", tiny_bert, at, **settings) for at in made)
    stages.train(whole, tiny.quiet)
    make = trainer.make

    def stopping(*given: Any) -> Any:
        one = make(*given)
        one.add_callback(StopAt())
        return one

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "make", stopping)
        with pytest.raises(Interrupted):
            stages.train(stopped, tiny.quiet)
    stages.train(stopped, tiny.quiet)
    first, second = (load_file(run.adapter_dir / adapter.WEIGHTS_NAME) for run in (whole, stopped))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    facts = [record.read(run.adapter_dir).training for run in (whole, stopped)]
    assert all(facts)
    assert facts[0].tokens_seen == facts[1].tokens_seen  # type: ignore[union-attr]
    assert facts[1].resumed == 1  # type: ignore[union-attr]


def test_other_labels_are_another_training(tiny_bert: Path, tmp_path: Path) -> None:
    run = tiny.run("text-classification", tiny_bert, tmp_path)
    stages.train(run, tiny.quiet)
    file = tmp_path / "labelled.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    swapped = {"dark": "light", "light": "dark"}
    file.write_text(
        "\n".join(json.dumps({**row, "label": swapped.get(row["label"], row["label"])}) for row in rows)
    )
    assert stages.forecast(replace(run), fresh=True)[0].startswith("train LoRA")
    with pytest.raises(Exception, match="not trained with these settings"):
        stages.train(run, tiny.quiet)
