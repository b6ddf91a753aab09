"""Cards of adapters that others made: whatever stands in their files, there is a card or one clear line."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from card_cases import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubkit.card import facts
from hubkit.card.render import render
from hubkit.errors import HubkitError

quickly = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8))
NAMES = st.one_of(st.text(max_size=4), st.sampled_from(["base_model_class", "quant_method", "load_in_4bit"]))
ANY = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=5,
)


def some(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys), ANY, min_size=1, max_size=3)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return CASES["foreign"](tmp_path / "adapter")


def card(adapter: Path, base_config: Path | None = None) -> str:
    """The card, or the one line that says why there is none; no other error passes."""
    try:
        return render(facts.gather(adapter, base_config=base_config), None)
    except HubkitError as error:
        said = str(error)
        assert "\n" not in said
        return said


@quickly
@given(
    more=some(
        "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "hira_dropout",
        "init_lora_weights", "layers_to_transform", "lora_alpha", "lora_dropout", "modules_to_save",
        "peft_version", "r", "rank_pattern", "revision", "target_modules", "task_type", "use_dora",
    ),
    kind=st.sampled_from(["LORA", "HIRA", "IA3", "VERA", "X", " "]),
)  # fmt: skip
def test_any_configuration(more: dict[str, Any], kind: str, adapter: Path) -> None:
    path = adapter / "adapter_config.json"
    given_config = {**json.loads(path.read_text()), **more, "peft_type": kind}
    before = path.read_bytes()
    path.write_text(json.dumps(given_config))
    assert card(adapter)
    path.write_bytes(before)


@quickly
@given(
    base=some("architectures", "model_type", "quantization_config", "vocab_size"),
    beside=some("load_in_4bit", "quant_method", "bnb_4bit_compute_dtype", "bnb_4bit_quant_type", "x"),
)
def test_any_configuration_of_the_base(base: dict[str, Any], beside: dict[str, Any], adapter: Path) -> None:
    config = adapter.parent / "config.json"
    config.write_text(json.dumps({"model_type": "bert", **base}))
    (adapter / "quantization_config.json").write_text(json.dumps(beside))
    assert card(adapter, config)


@quickly
@given(
    names=st.lists(
        st.one_of(
            st.text(max_size=12),
            st.sampled_from(
                [
                    "base_model.model.a.lora_A.weight",
                    "lora_A",
                    "a..lora_B",
                    "base_model.lora_A",
                    ".",
                    "x.bias",
                ]
            ),
        ),
        unique=True,
        max_size=3,
    )
)
def test_any_names_of_tensors(names: list[str], adapter: Path) -> None:
    entries = {
        name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]} for at, name in enumerate(names)
    }
    header = json.dumps(entries).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(len(names))
    (adapter / "adapter_model.safetensors").write_bytes(weights)
    assert card(adapter)
