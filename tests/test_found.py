"""A training's history that lies beside an adapter: read with care, and told as somebody else's word."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import CASES, LORA_CONFIG, lora_tensors, write_adapter
from hypothesis import given
from hypothesis import strategies as st

from hubkit import adapter, found, freshness, record, stages
from hubkit.card import facts, figures, render
from hubkit.cli.main import run
from hubkit.record import Record

STATE = {
    "epoch": 2.0,
    "global_step": 40,
    "max_steps": 60,
    "train_batch_size": 8,
    "log_history": [
        {"epoch": 0.5, "step": 10, "loss": 3.5, "learning_rate": 1e-4, "grad_norm": 0.5},
        {"epoch": 1.0, "step": 20, "eval_loss": 3.25, "eval_runtime": 1.5},
        {"epoch": 1.5, "step": 30, "loss": 2.5, "learning_rate": 5e-5},
        {"epoch": 2.0, "step": 40, "eval_loss": 2.75},
        {"epoch": 2.0, "step": 40, "train_loss": 3.0, "total_flos": 1e12},
    ],
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.sampled_from(["step", "loss", "eval_loss", "log_history", "epoch", "global_step", "x"]),
            below,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def read(content: bytes) -> record.FoundHistory | None:
    return found.said(content, found.NAME, "a" * 64)


def foreign(directory: Path, state: Any = STATE) -> Path:
    """An adapter that somebody else trained, with its trainer_state.json."""
    write_adapter(directory, LORA_CONFIG, lora_tensors("model.layers", 2, ["q_proj", "v_proj"], 288, 8))
    (directory / found.NAME).write_text(json.dumps(state))
    return directory


def test_what_a_trainer_wrote_is_told_with_its_source() -> None:
    told = read(json.dumps(STATE).encode())
    assert told is not None
    assert (told.source, len(told.source_sha256)) == ("trainer_state.json", 64)
    assert (told.steps, told.planned_steps, told.epochs, told.batch_size) == (40, 60, 2.0, 8)
    assert (told.final_train_loss, told.final_eval_loss, told.points) == (2.5, 2.75, 4)
    assert [(point.step, point.loss, point.eval_loss) for point in told.history] == [
        (10, 3.5, None),
        (20, None, 3.25),
        (30, 2.5, None),
        (40, None, 2.75),
    ]
    assert told.history[0].learning_rate == 1e-4


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"log_history": 5}',
        b'{"a":' + b"9" * 400 + b"}",
    ],
)
def test_what_tells_nothing_is_no_history(content: bytes) -> None:
    assert read(content) is None


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / found.NAME
    with path.open("wb") as file:
        file.truncate(found.LARGEST + 1)
    assert found.history(path, "a") is None
    assert found.history(tmp_path, "a") is None


def test_numbers_that_are_none_are_left_out() -> None:
    lines = [{"step": 1, "loss": math.nan}, {"step": 2, "loss": math.inf, "eval_loss": 2.0}, {"step": True}]
    lines += [
        {"step": 3, "loss": "1.0"},
        {"step": -1, "loss": 1.0},
        {"step": 4, "loss": 10**400},
        {"loss": 1.0},
    ]
    text = json.dumps({"global_step": 2**80, "epoch": math.nan, "log_history": lines[:-2]})
    told = read(text.encode())
    assert told is not None
    assert (told.steps, told.epochs, told.batch_size) == (2, None, None)
    assert [(point.step, point.loss, point.eval_loss) for point in told.history] == [(2, None, 2.0)]


@given(ANYTHING)
def test_any_json_is_read_or_left_and_the_record_can_hold_it(value: Any) -> None:
    state = {"log_history": [value, *(value if isinstance(value, list) else [])], "epoch": value}
    for plain in (value, state):
        told = read(json.dumps(plain).encode())
        if told is not None:
            kept = msgspec.json.decode(record.to_bytes(Record(found_history=told)), type=Record)
            assert kept.found_history == told
            assert all(math.isfinite(p.loss) for p in told.history if p.loss is not None)


def test_a_long_history_is_thinned_and_keeps_its_ends() -> None:
    lines = [{"step": step, "loss": 1.0} for step in range(1, 5_001)]
    told = read(json.dumps({"log_history": lines}).encode())
    assert told is not None
    assert (told.points, len(told.history)) == (5_000, found.MOST_POINTS)
    assert (told.history[0].step, told.history[-1].step, told.steps) == (1, 5_000, 5_000)


def test_the_card_tells_it_as_somebody_elses_word(tmp_path: Path) -> None:
    directory = foreign(tmp_path / "adapter")
    assert run(["card", "--adapter", str(directory), "-q", "--no-figures"]) == 0
    card = (directory / "README.md").read_text()
    section = card[card.index("## Training history") :]
    assert "From `trainer_state.json`, which lay beside the adapter; not measured by hubkit." in section
    assert "| Optimizer steps" in section
    assert "40 of 60" in section
    (figure,) = figures.possible(facts.gather(directory))
    assert figure.alt.startswith(
        "From trainer_state.json: Loss over 40 optimizer steps: training loss 3.5000"
    )
    assert "## Training procedure" not in card
    known = record.read(directory)
    assert known.training is None
    assert known.found_history is not None
    (directory / found.NAME).unlink()
    assert run(["card", "--adapter", str(directory), "--check", "-q"]) == 0  # the record has it now
    assert run(["audit", str(directory), "-q", "--select", "HK1,HK2,HK4,HK5,HK6"]) == 0


def test_other_weights_have_another_history(tmp_path: Path) -> None:
    directory = stages.count(foreign(tmp_path / "adapter"))
    known = record.read(directory)
    assert known.found_history is not None
    assert known.found_history.adapter_sha256 == adapter.read(directory).sha256()
    assert freshness.fresh(known, "b" * 64).found_history is None


def test_hubkits_own_training_is_told_and_no_other(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    before = render.render(facts.gather(directory))
    (directory / found.NAME).write_text(json.dumps(STATE))
    stages.count(directory)
    assert record.read(directory).found_history is None
    gathered = facts.gather(directory)
    assert render.render(gathered) == before
    alts = [figure.alt for figure in figures.possible(gathered) if figure.name == "loss"]
    assert alts
    assert not any("trainer_state" in alt for alt in alts)
