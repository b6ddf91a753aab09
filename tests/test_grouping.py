"""Adapters that differ in their seed alone: groups, means, deviations, and what seeds explain."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import CASES, with_digest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import adapter, grouping, record
from hubkit.card import grouped
from hubkit.cli.main import run
from hubkit.grouping import Group, Key
from hubkit.trained import Training

NOT_SHAPING = {  # of a training's record: the seed, and what came of it
    "settings_sha256", "epochs", "tokens_seen", "seed", "seconds", "started", "adapter_sha256", "resumed",
    "peak_memory_bytes", "memory_kind", "final_train_loss", "final_eval_loss", "truncated_documents", "ranks",
    "history", "environment",
}  # fmt: skip


def group(*values: float, label: str = "LoRA", column: str = "perplexity") -> Group:
    rows = [{"adapter": f"{label}{at}", "method": label, column: value} for at, value in enumerate(values)]
    return Group(label, rows, list(range(len(values))))


def test_every_fact_of_a_training_shapes_it_or_does_not() -> None:
    """A new field of the record must be put into one of the two lists."""
    told = set(Training.__struct_fields__)
    assert not set(grouping.SHAPING) & NOT_SHAPING
    assert told == set(grouping.SHAPING) | NOT_SHAPING


@pytest.mark.parametrize(
    ("t", "freedom", "probability"),
    [(12.7062, 1, 0.05), (4.302653, 2, 0.05), (2.776445, 4, 0.05), (1.5, 2.7, 0.2402571903),
     (2, 100, 0.0482121787), (30, 1.2, 0.0113080635), (0, 3, 1.0)],
)  # fmt: skip
def test_students_t_is_that_of_the_tables(t: float, freedom: float, probability: float) -> None:
    assert grouping.two_sided(t, freedom) == pytest.approx(probability, rel=1e-5)


def test_the_deviation_is_that_of_a_sample() -> None:
    row = grouping.rows_of([group(10.0, 11.0, 12.0)])[0]
    assert (row["n"], row["seeds"], row["perplexity_mean"], row["perplexity_sd"]) == (3, "0 1 2", 11.0, 1.0)
    assert "perplexity_sd" not in grouping.rows_of([group(10.0)])[0]


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=9))
def test_mean_and_deviation_of_any_numbers(values: list[float]) -> None:
    row = grouping.rows_of([group(*values)])[0]
    mean = math.fsum(values) / len(values)
    assert row["perplexity_mean"] == pytest.approx(mean)
    wanted = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    assert row["perplexity_sd"] == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_a_best_is_marked_only_where_seeds_do_not_explain_it() -> None:
    clear, near, far = group(10, 10.1, 10.2), group(10.1, 10.2, 10.3), group(12, 12.1, 12.2)
    assert grouping.best([clear, far], "perplexity") == 0
    assert grouping.best([near, clear], "perplexity") is None  # Welch: t = 1.22 at 4 degrees, p = 0.29
    assert grouping.best([far, clear, near], "perplexity") is None  # not better than each other
    assert grouping.best([clear, group(99.0)], "perplexity") is None  # nothing is known of one
    assert grouping.best([clear], "perplexity") is None
    assert grouping.best([group(1, 1), group(2, 2)], "perplexity") == 0  # no seed changes anything


def test_of_accuracy_the_highest_is_best() -> None:
    low, high = group(0.5, 0.51, 0.52, column="accuracy"), group(0.9, 0.91, 0.92, column="accuracy")
    assert grouping.best([low, high], "accuracy") == 1
    assert "0.5100 ± 0.0100" in (shown := grouped.markdown([low, high], None))  # as of single adapters
    assert "**0.9100 ± 0.0100**" in shown


def test_a_group_has_each_seed_once_and_others_stay_alone() -> None:
    same, other = Key({"method": "lora", "r": 4}, "a"), Key({"method": "lora", "r": 8}, "b")
    rows: list[dict[str, Any]] = [{"adapter": name, "method": "LoRA", "perplexity": 9.0} for name in "abcde"]
    found = grouping.groups(rows, [same, same, same, other, None], [1, 2, 2, 1, None])
    assert [(one.label, one.seeds, one.at) for one in found] == [
        ("LoRA, r 4 (a)", [1, 2], [0, 1]),
        ("LoRA, r 4 (c)", [2], [2]),
        ("LoRA, r 8", [1], [3]),
        ("e", [], [4]),
    ]
    assert grouping.groups(rows[:2], [same, other], [1, 2]) == []


def test_the_table_shows_deviations_with_the_decimals_of_their_means() -> None:
    rows = [
        {
            "method": "LoRA",
            "perplexity": 12.34 + at / 7,
            "base_perplexity": 20.0,
            "perplexity_change": -0.4 + at / 70,
        }
        for at in range(3)
    ]
    shown = grouped.markdown([Group("LoRA, r 4", rows, [1, 2, 3]), group(20.0, label="HiRA")], "perplexity")
    assert "12.48 ± 0.14" in shown
    assert "-38.6% ± 1.43%" in shown
    assert "| HiRA" in shown
    assert "**" not in shown
    assert "n - 1" in shown
    assert grouped.markdown([], "perplexity") == ""


# --- `hubkit compare` --------------------------------------------------------------------------------------


@pytest.fixture
def seeds(tmp_path: Path) -> list[Path]:
    """Three adapters of seeds 1, 2 and 3, perplexities 10, 11 and 12."""
    found = []
    for at in range(3):
        directory = CASES["causal-lora"](tmp_path / f"seed{at + 1}")
        weights = directory / adapter.WEIGHTS_NAME
        weights.write_bytes(weights.read_bytes()[:-1] + bytes([at]))
        known = with_digest(directory, record.read(directory))
        assert known.training is not None
        assert known.measures.perplexity is not None
        known.training.seed, known.measures.perplexity.value = at + 1, 10.0 + at
        record.write(directory, known)
        found.append(directory)
    return found


def test_compare_groups_by_seed_where_there_are_seeds(
    seeds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(path) for path in seeds]
    assert run(["compare", *names]) == 0
    shown = capsys.readouterr().out
    assert "11.00 ± 1.00" in shown
    assert "between seeds is not known" not in shown
    assert "**" not in shown  # a seed is no reason to be best
    assert run(["compare", *names, "--no-group-by-seed"]) == 0
    assert "±" not in (shown := capsys.readouterr().out)
    assert "between seeds is not known" in shown
    assert "**" in shown
    assert run(["compare", *names, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["perplexity_sd"] for one in told["groups"]] == [1.0]
    assert len(told["adapters"]) == 3
    assert run(["compare", *names, "--format", "csv", "--group-by-seed"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["n"], row["seeds"], row["perplexity_mean"]) for row in rows] == [("3", "1 2 3", "11.0")]
    assert run(["compare", *names, "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_compare_says_where_there_is_nothing_to_group(
    seeds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    known = record.read(seeds[1])
    assert known.training is not None
    changed = msgspec.structs.replace(known.training, learning_rate=0.5)
    record.write(seeds[1], msgspec.structs.replace(known, training=changed))
    assert run(["compare", str(seeds[0]), str(seeds[1]), "--group-by-seed"]) == 2
    assert "differ in their seed alone" in capsys.readouterr().err
    assert statistics.stdev([1, 2]) == grouping.deviation([1, 2])
