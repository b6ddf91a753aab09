"""HK207, HK209 and HK210: 4 bits on the card against what is known of them, and PEFT's version."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.audit import truths, values, versions
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.rules.configuration import said
from hubkit.audit.statements import Statement
from hubkit.audit.subject import Subject

_WIDTHS = re.compile(
    r"\b(?:int|uint|nf|fp|load_in_)?([48])[- ]?bits?\b|\b(?:int|nf|fp)([48])\b", re.IGNORECASE
)
_NONE = re.compile(
    r"(?:none|no|not quantized|unquantized|full precision|no quantization|-|not used|disabled|false)",
    re.IGNORECASE,
)
_FOR_SERVING = re.compile(
    r"gguf|gptq|awq|\bq\d_|onnx|mlx|deploy|serving|inference|exl2|hqq|available|optional", re.IGNORECASE
)
_STATED = re.compile(
    r"4[- ]?bit|\bnf4\b|\bfp4\b|qlora|quanti[sz]|量化|양자화|cuantiz|bitsandbytes|load_in_4bit", re.IGNORECASE
)
_IN_FOUR_BITS = re.compile(r"(?:bnb[-_]4bit|[-_](?:4bit|int4|nf4))(?:$|[-_])", re.IGNORECASE)
_YES, _NO = (
    {"true", "yes", "enabled", "on", "✅", "used"},
    {"false", "no", "disabled", "off", "❌", "not used"},
)
_FLAGS = {
    "double quantization": "bnb_4bit_use_double_quant",
    "load in 4bit": "load_in_4bit",
    "load in 8bit": "load_in_8bit",
}


@rule("HK207", "error", title="Quantization unlike the one that was used")
def quantization(subject: Subject) -> Iterator[Fault]:
    """How the base was quantized for training is known from the record, from a `quantization_config.json`, or
    from the base's own configuration. PEFT's configuration cannot record it: where nothing else does, the
    card is believed.

    Bad:

        ## Training

        - **Quantization:** 8-bit

    Good:

        ## Training

        - **Quantization:** 4-bit NF4
    """
    yield from _no_such_type(subject)
    known = subject.quantization or {}
    if not known:
        yield from _not_quantized(subject)
        return
    for statement in said(subject, "quantization") + said(subject, "quant type"):
        if not _FOR_SERVING.search(" ".join((statement.value, *statement.section))):
            yield from _unlike(statement, known)
    for statement in said(subject, "compute dtype"):
        yield from _dtype(statement, statement.value, known)
    for key, option in _FLAGS.items():
        for statement in said(subject, key):
            value = statement.value.lower().strip("\"'`. ")
            truth = bool(known.get(option))
            if truths.bits(known) is not None and value in (_NO if truth else _YES):
                yield _fault(statement, f"{option} is {str(truth).lower()}.", str(truth).lower())


def _no_such_type(subject: Subject) -> Iterator[Fault]:
    """NF4 and FP4 are types of 4 bits, whatever was quantized."""
    for line, text in subject.document.prose:
        for width in re.findall(
            r"\b(\d{1,2})[- ]?bits?\s*[(\[`*]*(?:NF4|FP4|NormalFloat)\b", text, re.IGNORECASE
        ):
            if width != "4":
                yield found(
                    line,
                    "NF4 and FP4 are 4-bit types.",
                    says=text.strip(),
                    instead="4-bit",
                    mend="write 4-bit",
                )


def _not_quantized(subject: Subject) -> Iterator[Fault]:
    """The record tells of a training without quantization."""
    record = subject.record
    if (
        not record
        or not record.training
        or not record.base_model
        or not subject.facts
        or subject.facts.four_bit
    ):
        return
    if any(_IN_FOUR_BITS.search(name) for name in truths.base_names(subject)):
        return
    for statement in said(subject, "quantization") + said(subject, "load in 4bit"):
        value = statement.value.lower().strip("\"'`. ")
        if _FOR_SERVING.search(" ".join((statement.value, *statement.section))):
            continue
        if len(_widths(statement.value)) == 1 or (statement.key == "load in 4bit" and value in _YES):
            yield _fault(statement, "The base was not quantized.", "no quantization")


def _unlike(statement: Statement, known: dict[str, object]) -> Iterator[Fault]:
    width, stated = truths.bits(known), _widths(statement.value)
    kind = (
        str(known.get("bnb_4bit_quant_type", "fp4")).lower()
        if width == 4 and "load_in_4bit" in known
        else None
    )
    if _NONE.fullmatch(statement.value.strip(" .`")) and width is not None:
        yield _fault(statement, f"The base was quantized to {width} bits.", f"{width}-bit")
    elif width is not None and len(stated) == 1 and width not in stated:
        yield _fault(
            statement, f"The base was quantized to {width} bits, not {stated.pop()}.", f"{width}-bit"
        )
    elif kind:
        types = set(re.findall(r"\b(nf4|fp4)\b", statement.value.lower()))
        if re.search(r"normal\s?float", statement.value, re.IGNORECASE):
            types.add("nf4")
        if len(types) == 1 and kind not in types:
            yield _fault(statement, f"The 4-bit type is {kind}, not {types.pop()}.", kind)
    if dtype := re.search(r"compute dtype:?\s+`?([\w.]+)", statement.value, re.IGNORECASE):
        yield from _dtype(statement, dtype[1], known)


def _widths(text: str) -> set[int]:
    return {int(one or other) for one, other in _WIDTHS.findall(text)}


def _dtype(statement: Statement, stated: str, known: dict[str, object]) -> Iterator[Fault]:
    names = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32"}
    value = values.without_asides(stated).lower().strip("\"'`. ").removeprefix("torch.")
    truth = str(known.get("bnb_4bit_compute_dtype", "")).removeprefix("torch.")
    value = names.get(value, value)
    if truth and value in {"bfloat16", "float16", "float32"} and value != names.get(truth, truth):
        yield _fault(statement, f"The compute dtype is {truth}.", truth)


def _fault(statement: Statement, message: str, instead: str) -> Fault:
    return found(statement.line, message, says=statement.value, instead=instead, mend=f"write {instead}")


@rule("HK209", "warning", title="PEFT version unlike the one that saved the adapter")
def peft_version(subject: Subject) -> Iterator[Fault]:
    """PEFT writes its version into the configuration that it saves.

    Bad:

        ### Framework versions

        - PEFT 0.4.0

    Good:

        ### Framework versions

        - PEFT 0.21.2
    """
    named = (subject.config or {}).get("peft_version")
    saver = values.version(named) if isinstance(named, str) else None
    if saver is None:
        return
    training = subject.record.training if subject.record else None
    used = training.environment.libraries.get("peft") if training and training.environment else None
    for line, text in versions.stated(subject, "peft"):
        stated = values.version(text)
        if stated and stated not in {saver, used}:
            yield found(
                line,
                f"The adapter was saved by PEFT {saver}.",
                says=text,
                instead=saver,
                mend=f"write {saver}",
            )


@rule("HK210", "warning", title="A 4-bit base, and not a word of quantization")
def unstated_quantization(subject: Subject) -> Iterator[Fault]:
    """A base whose id ends in `bnb-4bit` holds 4-bit weights. Results and memory depend on it, so the card
    must say it.

    Bad:

        Trained on `unsloth/llama-3-8b-bnb-4bit`.

    Good:

        Trained on `unsloth/llama-3-8b-bnb-4bit`, whose weights are in 4 bits (NF4): QLoRA.
    """
    document = subject.document
    named = {name for name in truths.base_names(subject) if _IN_FOUR_BITS.search(name)}
    if not named:
        return
    text = document.text
    for name in named:
        text = text.replace(name, " ")
    text = re.sub(r"[\w./-]*bnb[-_]4bit[\w.-]*", " ", text)
    if not _STATED.search(text):
        yield found(
            document.front.line_of("base_model") if "base_model" in document.metadata else None,
            f"The base {sorted(named)[0]} is in 4 bits, and the card does not say so.",
            instead="4-bit weights",
            mend="say in the text that the base's weights are quantized to 4 bits",
        )
