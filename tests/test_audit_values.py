"""Values as cards write them: what is one number, a size, a version, a module, and what is not."""

from __future__ import annotations

import math
from pathlib import Path

import audit_cards
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import zeros
from hubkit.adapter import read
from hubkit.audit import labels, truths, values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8), ("`16`", 16), ("**0.05**", 0.05), ("3e-4", 3e-4), ("442,368", 442_368),
        ("442,368 (0.40% of total)", 442_368),
        ("1.2M", 1.2e6), ("1.5 billion", 1.5e9), ("~4M", 4e6), ("10%", 10), ("8 sequences", 8),
        ("16 (scale alpha / r = 2)", 16),
        ("30万", 300_000), ("-3", -3),
        ("0,05", 0.05), ("440 万（占 0.88%）", 4.4e6),
    ],
)  # fmt: skip
def test_one_number(text: str, value: float) -> None:
    said = values.number(text)
    assert said
    assert math.isclose(said.value, value)


@pytest.mark.parametrize(
    "text",
    [
        "8 or 16",
        "4-64",
        "16 → 8",
        "N/A",
        "",
        "2 * r",
        "8/16",
        "1.234.567",
        "8x7B",
        "none",
        "v2",
        "16, 32",
        "≥ 8",
    ],
)
def test_no_number(text: str) -> None:
    assert values.number(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("297.219 (0,27 %)", 297_219),
        ("1.235.814.400", 1_235_814_400),
        ("1.235 million", 1_235_000),
        ("1.7M", 1.7e6),
    ],
)
def test_a_count_has_no_decimals(text: str, value: float) -> None:
    said = values.count(text)
    assert said
    assert math.isclose(said.value, value)


def test_a_share_with_a_comma() -> None:
    assert [round(one.value, 2) for one in values.shares("297.219 (0,27 %)")] == [0.27]


@pytest.mark.parametrize(
    ("text", "truth", "agrees"),
    [
        ("15.06", 15.0622, True), ("15.1", 15.0622, True), ("15", 15.0, True), ("15.07", 15.0622, False),
        ("15.16", 15.0622, False),
        ("~4M", 3.8e6, True), ("~4M", 5e6, False), ("442K", 442_368, True), ("443K", 442_368, False),
        ("442,369", 442_368, False),
        ("3e-4", 2e-4, False),
    ],
)  # fmt: skip
def test_a_rounding_agrees(text: str, truth: float, agrees: bool) -> None:
    said = values.number(text)
    assert said
    assert said.agrees(truth) is agrees


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("1.78 MB", 1.78e6), ("75 kB (75,000 bytes)", 75_000), ("2 GiB", 2**31), ("12 bytes", 12)],
)
def test_a_size(text: str, bytes_: float) -> None:
    said = values.size(text)
    assert said
    assert said.value == bytes_


def test_parameters_are_no_size() -> None:
    assert values.size("7B") is None
    assert values.size("1.1B parameters") is None


@pytest.mark.parametrize("text", ["4.x", "2.x", "3.9+", ">=4.0", "≥ 4.40", "latest", "4.0 or later", "~=2.1"])
def test_a_vague_version(text: str) -> None:
    assert values.is_vague_version(text)
    assert values.version(text) is None


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("4.57.6", "4.57.6"),
        ("2.5.1+cu121", "2.5.1"),
        ("0.18.2.dev0@UNKNOWN", "0.18.2.dev0"),
        ("v0.9.1", "0.9.1"),
    ],
)
def test_a_version(text: str, release: str) -> None:
    assert values.version(text) == release
    assert not values.is_vague_version(text)


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("LoRA rank (r)", "rank"), ("**Rank**", "rank"), ("lora_alpha", "alpha"), ("LoRA α", "alpha"),
        ("基座模型", "base"),
        ("Target modules", "targets"), ("Alpha (distillation blend)", None),
        ("Learning rate (warmup)", None), ("Ranking", None),
    ],
)  # fmt: skip
def test_a_label(label: str, key: str | None) -> None:
    assert labels.key_of(label) == key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/data/models/Llama-3.2-1B", "meta-llama/Llama-3.2-1B", True),
        ("unsloth/llama-3.2-1b-unsloth-bnb-4bit", "meta-llama/Llama-3.2-1B", True),
        ("C:\\models\\Qwen2.5-7B", "Qwen/Qwen2.5-7B", True),
        ("/cache/models--Qwen--Qwen2.5-7B/snapshots/abc123", "Qwen/Qwen2.5-7B", True),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B-Instruct", False),
        ("meta-llama/Meta-Llama-3-8B", "NousResearch/Llama-3-8B", True),
        ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B", False),
    ],
)
def test_names_of_one_model(one: str, other: str, same: bool) -> None:
    assert truths.same_model(one, other) is same


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("HuggingFaceTB/SmolLM2-135M", 135e6),
        ("meta-llama/Llama-3.2-1B", 1e9),
        ("mistralai/Mixtral-8x7B", None),
        ("org/Qwen3-30B-A3B", None),
        ("gpt2", None),
    ],
)
def test_parameters_in_a_name(name: str, parameters: float | None) -> None:
    assert truths.parameters_in_name(name) == parameters


def test_zeros_are_counted_in_the_file(tmp_path: Path) -> None:
    directory = audit_cards.make("llama-qv", tmp_path / "adapter")
    adapter = read(directory)
    assert zeros.share(adapter) == 0
    first = adapter.tensors[0]
    whole = bytearray(adapter.weights.read_bytes())
    whole[first.start : first.end] = b"\0" * (first.end - first.start)
    whole[first.start : first.start + 4] = b"\0\0\0\x80"  # a zero with a sign
    adapter.weights.write_bytes(whole)
    assert zeros.share(read(directory)) == first.numel / adapter.parameters


@given(st.text(max_size=60))
def test_no_text_is_too_strange(text: str) -> None:
    for reader in (
        values.number,
        values.size,
        values.version,
        values.is_vague_version,
        values.shares,
        values.times_rank,
        labels.key_of,
    ):
        reader(text)  # type: ignore[operator]
    assert truths.same_model(text, text)
