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
from hubkit.card.usage import quantization_arguments, usage
from hubkit.record import Author, Record


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
    assert found.run_from == "my-adapter"
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


def test_defaults_of_the_quantization_are_not_printed() -> None:
    assert quantization_arguments(
        {"load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_storage": "uint8", "unknown": 1}
    ) == {"load_in_4bit": True}


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
