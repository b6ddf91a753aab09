"""The Python on a card: how to load the adapter on its base, and one example of its use.

The class, the dtype and the quantization are those that the measures were taken with, so that a reader runs
what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hubkit.card.facts import Facts
from hubkit.tasks.quoting import quoted

# What BitsAndBytesConfig takes, in the order to print it.
_QUANTIZATION_KEYS = (
    "load_in_8bit", "load_in_4bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant",
    "bnb_4bit_compute_dtype", "bnb_4bit_quant_storage", "llm_int8_threshold", "llm_int8_skip_modules",
)  # fmt: skip
_DEFAULTS = {"load_in_8bit": False, "load_in_4bit": False, "bnb_4bit_quant_storage": "uint8",
             "llm_int8_threshold": 6.0, "llm_int8_skip_modules": None}  # fmt: skip
_BITSANDBYTES = ("bitsandbytes", "bits_and_bytes")
LOCAL_NAMESPACE = "local/"  # of a local Hub's user, where none is named
_LINE_LENGTH = 88


@dataclass(frozen=True)
class Usage:
    """The snippets of a card: valid Python, to be run one after the other."""

    load: str
    example: str
    run_from: str | None  # the directory whose parent the snippet runs in, where there is no repo id
    local_hub: bool  # the repo id is one of a Hub on its user's own machine
    packages: tuple[str, ...]  # what to install
    base_format: (
        str | None
    )  # the quantized format of the base, where it needs packages that are not known here


def usage(facts: Facts) -> Usage | None:
    """The snippets, or None where the base or the class that loads it is not known."""
    if facts.base_id is None or facts.task is None:
        return None
    adapter = facts.repo_id or facts.directory_name
    load = "\n".join(_load_lines(facts, facts.base_id, adapter))
    by_bitsandbytes = facts.quantization is not None and _format(facts) in (None, *_BITSANDBYTES)
    return Usage(
        load=load,
        example=str(facts.task.example(_example_text(facts, facts.task))),
        run_from=None if facts.repo_id else facts.directory_name,
        local_hub=adapter.startswith(LOCAL_NAMESPACE) and facts.repo_id is not None,
        packages=("transformers", "peft", *(("bitsandbytes",) if by_bitsandbytes else ())),
        base_format=None if by_bitsandbytes else _format(facts),
    )


def _format(facts: Facts) -> str | None:
    """The format that the base is published in, where it is a quantized one."""
    named = (facts.quantization or {}).get("quant_method")
    return str(named).rpartition(".")[2].lower() if named else None


def _example_text(facts: Facts, task: ModuleType) -> str:
    """The author's example; the task's own where that one lacks the mask that the task needs."""
    given, own = facts.author.example, str(task.EXAMPLE_TEXT)
    return given if given and ("{mask}" in given or "{mask}" not in own) else own


def dtype(facts: Facts) -> str | None:
    """The dtype to load the base with: that of the throughput, which is taken on the model as loaded here."""
    measures, base = facts.record.measures, facts.record.base_model
    if measures.throughput:
        return measures.throughput.dtype
    if base and base.dtype:
        return base.dtype
    return measures.perplexity.dtype if measures.perplexity else None


def device(facts: Facts) -> str | None:
    """The device to load the base on, where it was measured on another than the processor."""
    measures = facts.record.measures
    taken = measures.throughput or measures.perplexity
    return taken.device if taken and taken.device != "cpu" else None


def quantization_arguments(quantization: dict[str, Any]) -> dict[str, Any]:
    """The arguments of BitsAndBytesConfig that differ from its defaults."""
    return {
        key: quantization[key]
        for key in _QUANTIZATION_KEYS
        if key in quantization and quantization[key] != _DEFAULTS.get(key, _QUANTIZATION_KEYS)
    }


def _as_trained(facts: Facts) -> dict[str, Any]:
    """The quantization, with the modules that the adapter brings whole left as they are.

    transformers would hold a saved head in 4 bits too, and PEFT could not load the adapter's weights into it.
    Naming modules to skip switches off the default, which skips the output embeddings: they are named too.
    """
    given = dict(facts.quantization or {})
    saved = facts.adapter.modules_to_save
    if saved and not given.get("llm_int8_skip_modules"):
        given["llm_int8_skip_modules"] = list(dict.fromkeys([*saved, "lm_head"]))
    return given


def _load_lines(facts: Facts, base_id: str, adapter: str) -> list[str]:
    assert facts.task is not None
    names = [facts.task.AUTO_CLASS, "AutoTokenizer"]
    arguments = [quoted(base_id)]
    base = facts.record.base_model
    source_of = [f"revision={quoted(base.revision)}"] if base and base.revision else []
    trusted = ["trust_remote_code=True"] if base and base.trust_remote_code else []
    pinned = [*source_of, *trusted]
    lines: list[str] = []
    if facts.quantization and not facts.base_is_quantized:
        names.append("BitsAndBytesConfig")
        given = [f"{k}={_literal(v)}" for k, v in quantization_arguments(_as_trained(facts)).items()]
        lines += _call("quantization = BitsAndBytesConfig", given)
        pinned.append("quantization_config=quantization")
    if measured := dtype(facts):
        pinned.append(f"dtype={quoted(measured)}")
    if where := device(facts):
        pinned.append(f"device_map={quoted(where)}")
    imports = [
        "from peft import PeftModel",
        f"from transformers import {', '.join(sorted(names))}",
        "",
    ]
    lines += _call(f"base = {facts.task.AUTO_CLASS}.from_pretrained", arguments + pinned)
    lines += _call("model = PeftModel.from_pretrained", ["base", quoted(adapter)])
    source = adapter if facts.has_tokenizer else base_id
    own = [] if facts.has_tokenizer else source_of
    lines += _call("tokenizer = AutoTokenizer.from_pretrained", [quoted(source), *own, *trusted])
    return imports + lines


def _call(function: str, arguments: list[str]) -> list[str]:
    """A call on one line where it fits, else with one argument a line."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _LINE_LENGTH and len(arguments) < 4:
        return [line]
    return [f"{function}(", *(f"    {argument}," for argument in arguments), ")"]


def _literal(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(part) for part in value)}]"
    return quoted(value) if isinstance(value, str) else repr(value)
