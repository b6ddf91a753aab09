"""The Python on a card: how to load the adapter on its base, and one example of its use.

The class, the dtype and the quantization are those that the measures were taken with, so that a reader runs
what was measured. What a reader must know before running it is said in words: `notes`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hubkit import freshness
from hubkit.card import text
from hubkit.card.facts import MANY_LABELS, Facts
from hubkit.record import UsageRun
from hubkit.tasks import Described
from hubkit.tasks.quoting import quoted

# What BitsAndBytesConfig takes, in the order to print it.
_QUANTIZATION_KEYS = (
    "load_in_8bit", "load_in_4bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant",
    "bnb_4bit_compute_dtype", "bnb_4bit_quant_storage", "llm_int8_threshold", "llm_int8_skip_modules",
)  # fmt: skip
_DEFAULTS = {"load_in_8bit": False, "load_in_4bit": False, "bnb_4bit_quant_storage": "uint8",
             "llm_int8_threshold": 6.0, "llm_int8_skip_modules": None}  # fmt: skip
_BITSANDBYTES = ("bitsandbytes", "bits_and_bytes")
_NEEDS_TASK_IDS = {"MULTITASK_PROMPT_TUNING", "POLY"}  # PEFT's types whose adapters hold several tasks
LOCAL_NAMESPACE = "local/"  # of a local Hub's user, where none is named
_LINE_LENGTH = 88


@dataclass(frozen=True)
class Usage:
    """The snippets of a card: valid Python, to be run one after the other."""

    load: str
    example: str
    packages: tuple[str, ...]  # what to install
    notes: tuple[str, ...]  # what to know before running it: Markdown, a paragraph each

    @property
    def code(self) -> str:
        """What the card shows in one block."""
        return f"{self.load}\n\n{self.example}"

    @property
    def blocks(self) -> tuple[str, ...]:
        """All the Python on the card, in the order of its blocks."""
        return (self.code,)


def usage(facts: Facts) -> Usage | None:
    """The snippets, or None where the base or the class that loads it is not known."""
    if facts.base_id is None or facts.task is None:
        return None
    adapter = facts.repo_id or facts.directory_name
    by_bitsandbytes = facts.quantization is not None and _format(facts) in (None, *_BITSANDBYTES)
    return Usage(
        load="\n".join(_load_lines(facts, facts.task, facts.base_id, adapter)),
        example=_example(facts, facts.task),
        packages=("transformers", "peft", *(("bitsandbytes",) if by_bitsandbytes else ())),
        notes=tuple(_notes(facts, None if by_bitsandbytes else _format(facts))),
    )


def _notes(facts: Facts, base_format: str | None) -> Iterator[str]:
    base = facts.record.base_model
    if base and base.gated:
        yield (
            f"Access to the base must be asked for first, on {text.model_link(base.id)}; then log in with"
            " `hf auth login`."
        )
    if base and base.trust_remote_code:
        yield (
            "Loading the base runs Python code that lies in its repo, which `trust_remote_code=True` allows."
            " Read that code first."
        )
    if base_format:
        yield (
            f"The base is published in the format {text.code(base_format)}; its own card says what else to"
            " install for that."
        )
    if rows := facts.resized_vocabulary:
        yield (
            f"The adapter holds embeddings of {text.count(rows)} tokens: those of the base are resized to"
            " as many before it is loaded."
        )
    if len(facts.label_names) > MANY_LABELS:
        yield (
            f"The names of its {text.count(len(facts.label_names))} labels, in the order of the head's rows,"
            " are in `hubkit.json`, under `training` and `labels`."
        )
    if facts.adapter.peft_type == "XLORA":
        yield "The adapters that it mixes are loaded too, from where its configuration names them."
    if facts.repo_id is None:
        name = text.code(facts.directory_name)
        yield f"Run this from the folder that holds {name}, the adapter's directory."
    elif facts.repo_id.startswith(LOCAL_NAMESPACE):
        yield (
            "The adapter is on a local Hub, which `hubkit serve` starts. Without it, give the adapter's"
            " directory in place of its id."
        )


def code_sha256(blocks: Sequence[str]) -> str:
    """The digest of blocks of code that are run one after the other."""
    return hashlib.sha256("\n".join(blocks).encode("utf-8", "surrogateescape")).hexdigest()


def usage_run(facts: Facts) -> UsageRun | None:
    """The run of the code that the card shows on this very adapter, where the record holds one."""
    run = facts.record.usage
    if run is None or run.snippet_sha256 != _shown(facts):
        return None
    return run if freshness.ran_on(facts.record, facts.adapter.directory, facts.sha256) else None


def _shown(facts: Facts) -> str | None:
    """The digest of the code that the card shows: the author's, where they keep their own."""
    code = usage(facts)
    return None if code is None else facts.shown_code or code_sha256(code.blocks)


def _format(facts: Facts) -> str | None:
    """The format that the base is published in, where it is a quantized one."""
    named = (facts.quantization or {}).get("quant_method")
    return str(named).rpartition(".")[2].lower() if named else None


def _example(facts: Facts, task: Described) -> str:
    """The task's example; with the number of a task, where the adapter was trained for several."""
    lines = str(task.example(_example_text(facts, task)))
    if facts.adapter.peft_type not in _NEEDS_TASK_IDS:
        return lines
    with_id = 'inputs["task_ids"] = torch.tensor([0]).to(model.device)  # the first of its tasks'
    return re.sub(
        r"^inputs = .*$", lambda found: f"{found[0]}\n{with_id}", lines, count=1, flags=re.MULTILINE
    )


def _example_text(facts: Facts, task: Described) -> str:
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
    return measures.on_text.dtype if measures.on_text else None


def device(facts: Facts) -> str | None:
    """The device to load the base on, where it was measured on another than the processor."""
    measures = facts.record.measures
    taken = measures.throughput or measures.on_text
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


def _load_lines(facts: Facts, task: Described, base_id: str, adapter: str) -> list[str]:
    names = [task.AUTO_CLASS, "AutoTokenizer"]
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
    if getattr(task, "has_labels", False):
        pinned += _labels(facts)
    if measured := dtype(facts):
        pinned.append(f"dtype={quoted(measured)}")
    if where := device(facts):
        pinned.append(f"device_map={quoted(where)}")
    imports = [
        *(["import torch"] if facts.adapter.peft_type in _NEEDS_TASK_IDS else []),
        "from peft import PeftModel",
        f"from transformers import {', '.join(sorted(names))}",
        "",
    ]
    lines += _call(f"base = {task.AUTO_CLASS}.from_pretrained", arguments + pinned)
    if rows := facts.resized_vocabulary:
        lines.append(f"base.resize_token_embeddings({rows}, mean_resizing=False)")
    if facts.adapter.peft_type == "XLORA":
        lines.append("base.config.use_cache = False  # X-LoRA asks for it")
    lines += _call("model = PeftModel.from_pretrained", ["base", quoted(adapter)])
    source = adapter if facts.has_tokenizer else base_id
    own = [] if facts.has_tokenizer else source_of
    if base and base.pad_token and not facts.has_tokenizer:
        own = [*own, f"pad_token={quoted(base.pad_token)}"]
    lines += _call("tokenizer = AutoTokenizer.from_pretrained", [quoted(source), *own, *trusted])
    return imports + lines


def _labels(facts: Facts) -> list[str]:
    """How many labels the head has, what they are called, and the token that a decoder knows padding by."""
    names, base = facts.label_names, facts.record.base_model
    given = [f"num_labels={facts.labels or len(names)}"] if facts.labels or names else []
    if 0 < len(names) <= MANY_LABELS:
        given.append(f"id2label={{{', '.join(f'{at}: {quoted(name)}' for at, name in enumerate(names))}}}")
    return [*given, f"pad_token_id={base.pad_token_id}"] if base and base.pad_token_id is not None else given


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
