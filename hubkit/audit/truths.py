"""What the artifacts say, in the terms of a card's claims: ranks, modules, method, 4 bits, names of bases.

Each answer is None, or empty, where the artifacts do not tell.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from hubkit.adapter import Adapter
from hubkit.audit.subject import Subject
from hubkit.tensor_file import Tensor

_RANK_TENSORS = (".lora_A.", ".lora_embedding_A", ".hira_A", ".lora_a.")
# Weights that say nothing about the method: the base's own name with a quantization at its end.
_SUFFIXES = re.compile(
    r"(?:[-_.](?:unsloth|bnb|4bit|8bit|int4|int8|nf4|gptq|awq|hf|fp16|bf16|fp8|dynamic|gguf|mlx|w4a16|q4"
    r"|q8|ms))+$"
)
_SIZE_IN_NAME = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)(m|b)(?![a-z0-9])")


def numbers_of(config: dict[str, Any], *keys: str) -> set[float]:
    """The numbers that a configuration has under any of these keys."""
    values = (config.get(key) for key in keys)
    return {
        float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    }


def pattern_numbers(config: dict[str, Any], key: str) -> set[float]:
    """The numbers of `rank_pattern` or `alpha_pattern`."""
    pattern = config.get(key)
    return numbers_of(pattern, *map(str, pattern)) if isinstance(pattern, dict) else set()


def ranks(subject: Subject) -> set[float]:
    """Every rank that the adapter has: by its configuration, its patterns and its tensors."""
    config = subject.config or {}
    found = numbers_of(config, "r", "init_r", "target_r") | pattern_numbers(config, "rank_pattern")
    if found and subject.adapter:
        found |= {float(t.shape[0]) for t in subject.adapter.tensors if _is_half_a(t)}
    return found


def _is_half_a(tensor: Tensor) -> bool:
    return len(tensor.shape) == 2 and any(
        part in f"{tensor.name}." for part in _RANK_TENSORS[:1] + _RANK_TENSORS[2:]
    )


def alphas(subject: Subject) -> set[float]:
    """Every alpha that the configuration has."""
    config = subject.config or {}
    return numbers_of(config, "lora_alpha", "alpha") | pattern_numbers(config, "alpha_pattern")


def dropouts(subject: Subject) -> set[float]:
    """Every dropout that the configuration has."""
    return numbers_of(
        subject.config or {}, "lora_dropout", "hira_dropout", "module_dropout", "rank_dropout", "vera_dropout"
    )


def modules(subject: Subject) -> list[str]:
    """The last names of the modules that are adapted, as the tensors or else the configuration tell."""
    if subject.adapter:
        return subject.adapter.target_modules
    named = (subject.config or {}).get("target_modules")
    return sorted(map(str, named)) if isinstance(named, list) else []


def known_names(subject: Subject) -> frozenset[str]:
    """Every name by which a card may rightly call a module of the adapter: its path and each part of it."""
    config = subject.config or {}
    paths = set(subject.adapter.adapted_modules) if subject.adapter else set()
    paths |= {tensor.name for tensor in subject.adapter.whole_tensors} if subject.adapter else set()
    for key in ("target_modules", "modules_to_save", "target_parameters", "feedforward_modules"):
        value = config.get(key)
        paths |= {str(name) for name in value} if isinstance(value, list) else set()
    for key in ("rank_pattern", "alpha_pattern", "trainable_token_indices"):
        pattern = config.get(key)
        paths |= set(map(str, pattern)) if isinstance(pattern, dict) else set()
    return _names_in(frozenset(paths))


@lru_cache(maxsize=64)
def _names_in(paths: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    for path in paths:
        parts = path.lower().split(".")
        found.update(parts)
        found.update(".".join(parts[i:]) for i in range(len(parts)))
        without_numbers = [part for part in parts if not part.isdigit()]
        found.update(
            ".".join(without_numbers[i:j]) for i in range(len(without_numbers)) for j in range(i + 1, i + 5)
        )
    return frozenset(found)


def bits(quantization: dict[str, Any]) -> int | None:
    """4, 8 or another width of quantized weights."""
    if quantization.get("load_in_4bit"):
        return 4
    if quantization.get("load_in_8bit"):
        return 8
    stated = quantization.get("bits", quantization.get("w_bit"))
    return stated if isinstance(stated, int) and not isinstance(stated, bool) else None


def base_names(subject: Subject) -> set[str]:
    """The bases that the artifacts name: Hub ids and paths."""
    named = [(subject.config or {}).get("base_model_name_or_path"), subject.base_id]
    if subject.record and subject.record.base_model:
        named.append(subject.record.base_model.id)
    names = {name for name in named if isinstance(name, str) and name.strip()}
    told = subject.document.metadata.get("base_model")
    if isinstance(told, str) and subject.base_id is None and any(same_model(told, one) for one in names):
        names.add(told)  # the configuration has a path: the metadata knows whose model of that name it is
    return names


def same_model(one: str, other: str) -> bool:
    """Whether two names can be of one model: a path and an id, a mirror, a quantized copy of it."""
    return bare_name(one) == bare_name(other)


def misspelt(name: str, truth: str) -> bool:
    """Whether an id is another's with a slip in its owner: `the-Qwen/x` for `Qwen/x`. A mirror is none."""
    from difflib import SequenceMatcher  # seldom needed

    one, _, model = name.lower().partition("/")
    other, _, right = truth.lower().partition("/")
    if not model or model != right or one == other or "community" in one + other:
        return False
    return SequenceMatcher(None, one, other).ratio() >= 0.66


def bare_name(name: str) -> str:
    """The last part of a path or id in lower case, without revision, quantization and marks."""
    text = re.split(r"[\\/]", name.strip().rstrip("/\\"))
    last = text[-1] if text[-1] else name
    if "snapshots" in text and len(text) > 2:  # a cache: .../models--org--name/snapshots/SHA
        cached = next((part for part in text if part.startswith("models--")), last)
        last = cached.rpartition("--")[2]
    last = last.partition("@")[0].lower().removeprefix("models--")
    last = _SUFFIXES.sub("", last)
    return re.sub(r"[^a-z0-9]+", "", last.removeprefix("meta-"))


def parameters_in_name(base: str) -> float | None:
    """The count of parameters that a name tells: 135e6 of `SmolLM2-135M`; None for experts (`8x7B`)."""
    name = base.rpartition("/")[2].lower().replace("___", ".")  # ModelScope's folders: Qwen2___5-0___5B
    if re.search(r"\d+x\d|[ae]\d+(?:\.\d+)?b|moe", name):
        return None
    said = _SIZE_IN_NAME.findall(name)
    return float(said[0][0]) * (1e9 if said[0][1] == "b" else 1e6) if len(said) == 1 else None


def tensor_kinds(adapter: Adapter) -> set[str]:
    """The kinds of update in the weights: "lora", "hira"; "dora" where there are magnitude vectors."""
    found: set[str] = set()
    for tensor in adapter.tensors:
        if "lora_magnitude_vector" in tensor.name:
            found.add("dora")
        part = re.search(r"(?:^|\.)(lora|hira|hada|lokr|ia3|vera|oft)_", tensor.name)
        if part:
            found.add(part[1])
    return found
