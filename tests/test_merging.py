"""`hubkit merge`: what is written computes what base and adapter do, or nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from methods_at_work import IDS, begin, stock
from transformers import AutoModelForCausalLM, AutoTokenizer

from hubkit import merging, runs
from hubkit.cli.main import run as hubkit
from hubkit.errors import MeasureError, SettingsError


def saved(base: Path, directory: Path, **method: Any) -> Path:
    begun = begin(base, directory, **method)
    begun.train()
    return begun.save(directory / "adapter")


def merge(base: Path, adapter_dir: Path, output: Path, dtype: str | None = None) -> merging.Merged:
    told = runs.Told(base_path=str(base))
    return merging.merge(runs.of_adapter(adapter_dir, told, []), output, dtype, lambda line: None)


def logits(directory: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize(
    "method",
    [{"name": "lora", "init": "pissa", "rslora": True}, {"name": "lora", "dora": True}, {"name": "hira"}],
    ids=lambda method: method["name"],
)
def test_transformers_alone_computes_what_base_and_adapter_do(
    tiny_llama: Path, tmp_path: Path, method: dict[str, Any]
) -> None:
    adapter_dir = saved(tiny_llama, tmp_path, **method)
    (tmp_path / ".merged.merging-killed").mkdir()
    merged = merge(tiny_llama, adapter_dir, tmp_path / "merged")
    expected = stock(tiny_llama, adapter_dir, None)
    torch.testing.assert_close(logits(tmp_path / "merged"), expected, atol=2e-3, rtol=1e-3)
    assert merged.exact.largest < 1e-3 * merged.exact.largest_logit
    assert (merged.dtype, merged.four_bits, merged.rounded.same_first) == ("float32", None, 1.0)
    there = sorted(path.name for path in (tmp_path / "merged").iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json", "merge.json"} <= set(there)
    assert "README.md" not in there
    assert not list(tmp_path.glob(".merged*"))
    told = AutoTokenizer.from_pretrained(tmp_path / "merged").init_kwargs
    assert told.get("model_max_length") == AutoTokenizer.from_pretrained(tiny_llama).init_kwargs.get(
        "model_max_length"
    )


def test_an_adapter_of_a_4bit_base_is_merged_into_the_published_one(tiny_llama: Path, tmp_path: Path) -> None:
    adapter_dir = saved(tiny_llama, tmp_path, name="qlora")
    record = {"schema_version": 1, "method": {"name": "qlora", "parameters": {}}}
    (adapter_dir / "hubkit.json").write_text(json.dumps(record))
    merged = merge(tiny_llama, adapter_dir, tmp_path / "merged", "bfloat16")
    assert merged.four_bits is not None
    assert merged.weights_moved == pytest.approx(0.09, abs=0.04)  # NF4 on normal weights
    assert merged.four_bits.largest > merged.exact.largest
    torch.testing.assert_close(  # on the published base, not on what 4 bits stand for
        logits(tmp_path / "merged").float(), stock(tiny_llama, adapter_dir, None), atol=0.15, rtol=0.05
    )
    told = json.loads((tmp_path / "merged" / merging.NAME).read_text())
    assert told["trained_on"]["bnb_4bit_quant_type"] == "nf4"
    assert "perplexity that was measured on it is not this model's" in merged.lines()[-1]


def test_nothing_is_written_over_or_wrong(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter_dir = saved(tiny_llama, tmp_path, name="lora")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(SettingsError, match="nothing is written over it"):
        merge(tiny_llama, adapter_dir, tmp_path / "full")
    from hubkit.measures import merging as in_place

    unmerged = in_place.merged

    def broken(model: Any) -> Any:
        whole = unmerged(model)
        whole.model.layers[0].mlp.up_proj.weight.data[0, 0] += 1
        return whole

    monkeypatch.setattr(in_place, "merged", broken)
    with pytest.raises(MeasureError, match="do not compute what base and adapter do"):
        merge(tiny_llama, adapter_dir, tmp_path / "merged")
    monkeypatch.setattr(in_place, "why_not", lambda model: "the moon is full")
    arguments = ["--adapter", str(adapter_dir), "--base-path", str(tiny_llama)]
    assert hubkit(["merge", *arguments, "--output", str(tmp_path / "merged")]) == 2
    assert "the moon is full" in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


def test_weights_that_nobody_has_are_not_drawn(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=3)  # draws a pooler
    config = LoraConfig(r=4, target_modules=["query"], task_type="SEQ_CLS")
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    where = ["--adapter", str(tmp_path / "adapter"), "--base-path", str(tiny_bert), "--base-model", "a/b"]
    task = ["--task", "text-classification"]
    assert hubkit(["merge", *where, *task, "--output", str(tmp_path / "merged")]) == 2
    assert "neither it nor the base has weights for" in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()
