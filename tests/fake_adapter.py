"""Adapter directories written by hand: a few kB, no torch."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

from hubkit import adapter, record

CARD = """\
---
license: apache-2.0
library_name: peft
base_model: org/base
base_model_relation: adapter
pipeline_tag: text-generation
language: en
tags:
- lora
---

<!-- hubkit:ignore-file HK311 -->

# A small adapter
"""


def weights(seed: int = 0, rows: int = 64) -> bytes:
    """A whole safetensors file with one tensor of random numbers."""
    entry = {"dtype": "F32", "shape": [rows, 8], "data_offsets": [0, rows * 32]}
    header = json.dumps({"base_model.model.x.query.lora_A.weight": entry}).encode()
    numbers = bytearray(random.Random(seed).randbytes(rows * 32))
    numbers[3::4] = b"\x3c" * (rows * 8)  # below 1 in size, so that none is infinite
    return struct.pack("<Q", len(header)) + header + numbers


def write(directory: Path, *, seed: int = 0, card: str | None = CARD) -> Path:
    """An adapter directory that can be published, with files beside it that must not be."""
    directory.mkdir(parents=True, exist_ok=True)
    content = weights(seed)
    (directory / "adapter_model.safetensors").write_bytes(content)
    config = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    if card is not None:
        (directory / "README.md").write_text(card)
    measure(directory, adapter.read(directory).sha256())
    (directory / "training_args.bin").write_bytes(b"\x80\x04pickle")
    (directory / "optimizer.pt").write_bytes(b"\x80\x04pickle")
    (directory / "checkpoint-10").mkdir(exist_ok=True)
    (directory / "checkpoint-10" / "adapter_model.safetensors").write_bytes(content)
    return directory


def measure(directory: Path, adapter_sha256: str) -> None:
    """A record with one measure, taken on the adapter with this digest."""
    size = record.Size(adapter_sha256=adapter_sha256, adapter_weights_bytes=1)
    record.write(directory, record.Record(measures=record.Measures(size=size)))
