"""A base's config.json, read without torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubkit import base_model
from hubkit.errors import BaseModelError


def config_file(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    return path


def test_what_it_says(tmp_path: Path) -> None:
    plain = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "quantization_config": {"quant_method": "bitsandbytes"},
    }
    config = base_model.read_config(config_file(tmp_path, json.dumps(plain)))
    assert config == plain
    assert base_model.architecture(config) == "LlamaForCausalLM"
    assert base_model.model_type(config) == "llama"
    assert base_model.quantization(config) == {"quant_method": "bitsandbytes"}


def test_what_it_does_not_say() -> None:
    config = {"model_type": 3, "architectures": [], "quantization_config": {}}
    assert base_model.architecture(config) is None
    assert base_model.model_type(config) is None
    assert base_model.quantization(config) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "holds no mapping"),
        ("{}", "names no model_type"),
        ('{"peft_type": "LORA"}', "adapter's configuration"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_no_configuration(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=message):
        base_model.read_config(config_file(tmp_path, content))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"cannot read .*No such file"):
        base_model.read_config(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [
        ("bert-base-uncased", "bert-base-uncased"),
        ("org/model", "org/model"),
        ("/home/ada/model", None),
        ("./model", None),
        ("~/model", None),
        ("a/b/c", None),
        ("C:\\models\\x", None),
        ("out/checkpoint-500", None),
        ("org/model@main", None),
        (None, None),
        ("", None),
    ],
)
def test_a_path_is_no_hub_id(name: str | None, hub_id: str | None) -> None:
    assert base_model.hub_id(name) == hub_id
