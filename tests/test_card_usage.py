"""The snippets are valid Python, name what was measured, and run."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from card_cases import CASES, CAUSAL, LORA_CONFIG, lora_tensors, with_digest, write_adapter

from hubkit.card.facts import gather
from hubkit.card.render import render
from hubkit.card.usage import quantization_arguments, usage
from hubkit.publishing.contents import is_published
from hubkit.record import Author, Record, read


@pytest.mark.parametrize("name", [name for name in CASES if name != "foreign"])
def test_snippets_are_python(name: str, tmp_path: Path) -> None:
    CASES[name](tmp_path / name)
    found = usage(gather(tmp_path / name))
    assert found is not None
    ast.parse(found.load)
    ast.parse(found.example)


@pytest.mark.parametrize(
    "text", ["it's", 'say "hi"', "```\nx\n```", "{{ 7 * 7 }}", "a\\", "\u2028", "{mask}", "x{mask}'"]
)
@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
def test_any_example_text_is_python(text: str, task: str, tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "a", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 8, 2))
    found = usage(gather(directory, record=Record(task=task, author=Author(example=text))))
    assert found is not None
    ast.parse(found.example)
    assert "\n```" not in found.example


def test_without_a_task_there_is_no_snippet(tmp_path: Path) -> None:
    CASES["foreign"](tmp_path / "a")
    assert usage(gather(tmp_path / "a")) is None


def test_without_a_repo_the_directory_is_named(tmp_path: Path) -> None:
    CASES["causal-lora"](tmp_path / "my-adapter")
    record = msgspec.structs.replace(CAUSAL, repo_id=None)
    found = usage(gather(tmp_path / "my-adapter", record=with_digest(tmp_path / "my-adapter", record)))
    assert found is not None
    assert "Run this from the folder that holds `my-adapter`, the adapter's directory." in found.notes
    assert 'PeftModel.from_pretrained(base, "my-adapter")' in found.load


def test_a_base_published_in_4_bits_is_not_quantized_again(tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "a", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 8, 2))
    config = tmp_path / "config.json"
    config.write_text(
        '{"model_type": "llama", "quantization_config":'
        ' {"quant_method": "bitsandbytes", "load_in_4bit": true}}'
    )
    facts = gather(directory, base_config=config)
    found = usage(facts)
    assert found is not None
    assert "BitsAndBytesConfig" not in found.load
    assert "bitsandbytes" in found.packages
    assert facts.kind.title == "QLoRA"
    again = gather(directory, record=facts.record)  # from the record alone
    assert again.kind == facts.kind
    assert usage(again) == found


def test_a_quantized_base_is_loaded_in_the_dtype_it_was_measured_in(tmp_path: Path) -> None:
    CASES["masked-qlora"](tmp_path / "a")
    found = usage(gather(tmp_path / "a"))
    assert found is not None
    assert '    quantization_config=quantization,\n    dtype="bfloat16",\n' in found.load
    assert "device_map" not in found.load


def test_a_model_measured_on_a_gpu_is_loaded_there(tmp_path: Path) -> None:
    CASES["causal-lora"](tmp_path / "a")
    known = read(tmp_path / "a")
    throughput = msgspec.structs.replace(known.measures.throughput, device="cuda")
    measures = msgspec.structs.replace(known.measures, throughput=throughput)
    found = usage(gather(tmp_path / "a", record=msgspec.structs.replace(known, measures=measures)))
    assert found is not None
    assert 'device_map="cuda"' in found.load


def test_code_of_the_bases_repo_is_allowed_where_it_was(tmp_path: Path) -> None:
    CASES["causal-hira"](tmp_path / "a")
    known = read(tmp_path / "a")
    base = msgspec.structs.replace(known.base_model, trust_remote_code=True)
    found = usage(gather(tmp_path / "a", record=msgspec.structs.replace(known, base_model=base)))
    assert found is not None
    assert found.load.count("trust_remote_code=True") == 2
    assert "trust_remote_code" not in str(usage(gather(tmp_path / "a")))


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_base_in_another_format_needs_no_bitsandbytes(method: str, tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "a", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 8, 2))
    config = tmp_path / "config.json"
    quantization = {"quant_method": method, "bits": 4}
    config.write_text(json.dumps({"model_type": "llama", "quantization_config": quantization}))
    facts = gather(directory, base_config=config)
    found = usage(facts)
    assert found is not None
    assert found.packages == ("transformers", "peft")
    assert f"published in the format `{method}`" in render(facts)


def test_an_example_without_a_mask_gives_way(tmp_path: Path) -> None:
    CASES["masked-qlora"](tmp_path / "a")
    for example, shown in (("No mask.", "The capital of France"), ("My {mask}.", '"My "')):
        found = usage(gather(tmp_path / "a", author=Author(example=example)))
        assert found is not None
        assert shown in found.example


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        ([], False),
        (["tokenizer.json"], True),
        (["vocab.txt"], True),
        (["vocab.json"], False),
        (["vocab.json", "merges.txt"], True),
        (["spiece.model"], True),
        (["special_tokens_map.json"], False),
    ],
)
def test_the_tokenizer_is_the_adapters_only_where_it_is_whole(
    names: list[str], whole: bool, tmp_path: Path
) -> None:
    CASES["causal-lora"](tmp_path / "a")
    (tmp_path / "a" / "tokenizer.json").unlink()
    for name in names:
        (tmp_path / "a" / name).write_text("")
    assert all(is_published(name) for name in names)
    assert gather(tmp_path / "a").has_tokenizer is whole


def test_a_repo_of_a_local_hub_is_called_one(tmp_path: Path) -> None:
    CASES["causal-lora"](tmp_path / "a")
    assert "is on a local Hub" in render(gather(tmp_path / "a", repo_id="local/mine"))
    assert "local Hub" not in render(gather(tmp_path / "a"))


def test_the_note_on_speed_names_what_differs(tmp_path: Path) -> None:
    CASES["causal-lora"](tmp_path / "a")
    known = read(tmp_path / "a")
    assert "loads it, but on the base's weights described under Limitations." in render(
        gather(tmp_path / "a")
    )
    base = msgspec.structs.replace(known.base_model, note=None, source="hub")
    card = render(gather(tmp_path / "a", record=msgspec.structs.replace(known, base_model=base)))
    assert "as the snippet above loads it.\n" in card


def test_defaults_of_the_quantization_are_not_printed() -> None:
    assert quantization_arguments(
        {"load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_storage": "uint8", "unknown": 1}
    ) == {"load_in_4bit": True}


@pytest.mark.real
def test_the_snippets_run(tmp_path: Path) -> None:
    """As a reader runs them, with the ids standing for directories below the working directory."""
    pytest.importorskip("peft")
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "run_snippets.py")],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout.splitlines()[-1])
    assert set(printed) == {"causal-lm-lora", "causal-lm-qlora", "masked-lm-lora", "masked-lm-qlora"}
    assert printed["causal-lm-lora"].startswith("Once upon a time")
    for example in ("masked-lm-lora", "masked-lm-qlora"):
        assert len(ast.literal_eval(printed[example])) == 5
