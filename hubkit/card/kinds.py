"""What kind of adapter it is: its title, tags and papers, from what the files and the record really say.

The adapter's own configuration decides. A record's method is believed where the configuration allows it: the
name "Sparse LoRA" or "QLoRA" cannot be read from the configuration, "HiRA" can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubkit import methods


@dataclass(frozen=True)
class Kind:
    """How a card names a method."""

    title: str
    tags: tuple[str, ...] = ()
    papers: tuple[str, ...] = ()  # keys of citations.BIBTEX
    summary: str | None = None  # one sentence, true for every adapter of the kind
    file_is_trainable: bool = True  # every number that it adds to the file is one that training updates


PEFT_KINDS: dict[str, Kind] = {
    "IA3": Kind("(IA)³", ("ia3",), ("ia3",)),
    "ADALORA": Kind("AdaLoRA", ("adalora",), ("adalora",)),
    "LOHA": Kind("LoHa", ("loha",), ("fedpara", "lycoris")),
    "LOKR": Kind("LoKr", ("lokr",), ("lycoris",)),
    "VERA": Kind("VeRA", ("vera",), ("vera",), file_is_trainable=False),
    "OFT": Kind("OFT", ("oft",), ("oft",)),
    "PROMPT_TUNING": Kind("Prompt tuning", ("prompt-tuning",), ("prompt-tuning",)),
    "PREFIX_TUNING": Kind("Prefix tuning", ("prefix-tuning",), ("prefix-tuning",), file_is_trainable=False),
}
_METHOD_PEFT_TYPE = {"lora": "LORA", "sparse-lora": "LORA", "qlora": "LORA", "hira": "HIRA"}


def of(config: dict[str, Any], method: str | None, quantized: bool) -> Kind:
    """The kind of an adapter: `method` is the record's, `quantized` says whether its base is in 4 bits."""
    peft_type = str(config["peft_type"]).upper()
    name = method if method and _METHOD_PEFT_TYPE.get(method) == peft_type else None
    if name is None and peft_type in ("LORA", "HIRA"):
        name = peft_type.lower()
    if name == "lora" and quantized:
        name = "qlora"
    if name is None:
        return PEFT_KINDS.get(peft_type) or Kind(peft_type, file_is_trainable=False)
    module = methods.METHODS[name]
    kind = Kind(module.TITLE, tuple(module.TAGS), tuple(module.PAPERS), module.SUMMARY)
    return _with_variants(kind, config) if peft_type == "LORA" else kind


def _with_variants(kind: Kind, config: dict[str, Any]) -> Kind:
    """LoRA's variants that the configuration switches on: DoRA, rank-stabilized scaling."""
    variants = [
        (title, name)
        for title, name, key in (("DoRA", "dora", "use_dora"), ("rsLoRA", "rslora", "use_rslora"))
        if config.get(key)
    ]
    if not variants:
        return kind
    titles = " and ".join(title for title, _ in variants)
    names = tuple(name for _, name in variants)
    return Kind(
        f"{kind.title} with {titles}" if kind.title != "LoRA" else titles,
        kind.tags + names,
        kind.papers + names,
        kind.summary if kind.title != "LoRA" else None,
    )
