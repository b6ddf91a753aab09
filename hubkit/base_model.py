"""Light facts about a base model: its config.json, read without torch or the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hubkit import bounded_json, files
from hubkit.errors import BaseModelError
from hubkit.hub_rules import is_repo_id

LARGEST = 16_000_000  # bytes; the index of the largest models has 9 MB
_HINT = "give the config.json of the base model's repo"


def architecture(config: dict[str, Any]) -> str | None:
    """The class that the weights were saved from: LlamaForCausalLM."""
    classes = config.get("architectures")
    return str(classes[0]) if isinstance(classes, list) and classes else None


def model_type(config: dict[str, Any]) -> str | None:
    """transformers' name of the family: llama, bert."""
    value = config.get("model_type")
    return value if isinstance(value, str) else None


def vocab_size(config: dict[str, Any]) -> int | None:
    """How many tokens its input embeddings are of."""
    return _whole(config, "vocab_size")


def max_positions(config: dict[str, Any]) -> int | None:
    """How many tokens it can take at once, where its configuration says so."""
    return _whole(config, "max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def _whole(config: dict[str, Any], *keys: str) -> int | None:
    """The first of these that is a positive whole number; models of several parts nest the text's own."""
    nested = config.get("text_config")
    for part in (config, nested if isinstance(nested, dict) else {}):
        for key in keys:
            if type(value := part.get(key)) is int and value > 0:
                return value
    return None


def quantization(config: dict[str, Any]) -> dict[str, Any] | None:
    """How the base's own weights are quantized, where they are published so."""
    value = config.get("quantization_config")
    return value if isinstance(value, dict) and value else None


def read_config(path: Path) -> dict[str, Any]:
    """Read a base's config.json. Raises BaseModelError."""
    plain = read_json(path)
    if not isinstance(plain.get("model_type"), str) and not isinstance(plain.get("architectures"), list):
        what = (
            "it is an adapter's configuration"
            if "peft_type" in plain
            else "it names no model_type and no class"
        )
        raise BaseModelError(f"{path} is not a base model's configuration: {what}", _HINT)
    return plain


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds a mapping. Raises BaseModelError."""
    try:
        plain = bounded_json.loads(files.read(path, LARGEST), LARGEST)
    except OSError as error:
        raise BaseModelError(f"cannot read {path}: {error.strerror or error}", _HINT) from error
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{path} is not JSON: {error}", _HINT) from error
    if not isinstance(plain, dict):
        raise BaseModelError(f"{path} holds no mapping", _HINT)
    return plain


def hub_id(name: str | None) -> str | None:
    """`name` where it can be a Hub id; a path of its author's machine is none."""
    if not is_repo_id(name) or re.search(r"(?:^|/)checkpoint-\d+$", name or ""):
        return None
    return name


def weight_files(directory: Path) -> list[Path]:
    """The weight files of a local model: those its index names, else model.safetensors, else all."""
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        named = read_json(index).get("weight_map")
        if isinstance(named, dict):
            return [directory / name for name in sorted(set(map(str, named.values())))]
    single = directory / "model.safetensors"
    return [single] if single.is_file() else sorted(directory.glob("*.safetensors"))
