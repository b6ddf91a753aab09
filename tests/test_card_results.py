"""The card's tables about work done."""

from __future__ import annotations

from pathlib import Path

import msgspec
from card_cases import CASES

from hubkit import record as records
from hubkit.card import results
from hubkit.card.facts import gather


def test_peak_memory_of_training_is_said_to_be_of_what_it_is(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    known = records.read(directory)
    kind = "peak allocated on the device"
    told = msgspec.structs.replace(known.training, peak_memory_bytes=2_000_000_000, memory_kind=kind)
    facts = gather(directory, record=msgspec.structs.replace(known, training=told))
    rows = {row[0]: row[1] for row in results.training(facts)}
    assert rows["Peak memory"].endswith(f"({kind})")
    known.training = msgspec.structs.replace(told, memory_kind=None)
    rows = {row[0]: row[1] for row in results.training(gather(directory, record=known))}
    assert "(" not in rows["Peak memory"]
