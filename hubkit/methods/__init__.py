"""The fine-tuning methods: one file each. Torch and PEFT are imported inside functions only.

A method module defines:

    NAME        as settings name it ("sparse-lora")
    TITLE       as a card names it ("Sparse LoRA")
    SUMMARY     one sentence for the card, true for every run of it
    PAPERS      keys of `citations.BIBTEX` that it builds on
    TAGS        the Hub tags that it earns
    Parameters  a Struct that checks its part of the settings
    peft_config(parameters, task) -> peft.PeftConfig
    quantization(parameters) -> dict for BitsAndBytesConfig, or None
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from hubkit.methods import hira, lora, qlora, sparse_lora
from hubkit.yaml_source import Source, chosen, parts_schema, pick

METHODS: dict[str, ModuleType] = {m.NAME: m for m in (lora, sparse_lora, qlora, hira)}


def get(name: str) -> ModuleType:
    """The module of a method. Raises SettingsError for an unknown name."""
    return pick("method", METHODS, name)


def parse(value: str | dict[str, Any], source: Source) -> tuple[ModuleType, Any]:
    """The method's module and its checked Parameters, from the `method` part of the settings."""
    return chosen("method", METHODS, value, source)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the `method` part of the settings."""
    return parts_schema(METHODS)
