"""Adapters side by side: what may be compared, what may not and why, and the comparison on a card."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import CASES, MEASURES, PERPLEXITY, with_digest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import adapter, compare, record
from hubkit.card import comparison, side_by_side, text
from hubkit.card.comparison import Side
from hubkit.card.facts import gather
from hubkit.cli.main import run
from hubkit.record import Compared, Perplexity, Rate, Record

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


def compared(name: str = "a", measured: Perplexity | None = PERPLEXITY, **more: Any) -> Compared:
    facts: dict[str, Any] = {
        "name": name,
        "adapter_sha256": "0" * 64,
        "adapter_weights_bytes": 75_000,
        "method": "LoRA",
        "base_id": BASE,
        "perplexity": measured,
    }
    return Compared(**{**facts, **more})


def with_perplexity(name: str = "b", **changed: Any) -> Compared:
    return compared(name, msgspec.structs.replace(PERPLEXITY, **changed))


def changed_record(directory: Path, **changed: Any) -> None:
    """Change conditions of the perplexity in a directory's record."""
    known = record.read(directory)
    measured = msgspec.structs.replace(known.measures.perplexity, **changed)
    measures = msgspec.structs.replace(known.measures, perplexity=measured)
    record.write(directory, msgspec.structs.replace(known, measures=measures))


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    plain, sparse = CASES["causal-lora"](tmp_path / "plain"), CASES["causal-sparse-lora"](tmp_path / "sparse")
    touch(sparse, b"\1")  # their weights are the same
    record.write(sparse, with_digest(sparse, record.read(sparse)))
    return plain, sparse


def touch(directory: Path, end: bytes) -> None:
    """Change the last byte of the weights."""
    weights = directory / adapter.WEIGHTS_NAME
    weights.write_bytes(weights.read_bytes()[:-1] + end)


# --- what may be compared ----------------------------------------------------------------------------------

OTHER = {
    "definition": "masked",
    "dataset_sha256": "ef56" * 16,
    "documents_kept": "apart",
    "tokens_total": 10_239,
    "tokens_scored": 10_156,
    "context": 256,
    "stride": 64,
    "mask_probability": 0.2,
    "mask_seed": 7,
    "dtype": "bfloat16",
}


def test_equal_conditions_are_comparable() -> None:
    assert compare.reasons([compared("a"), with_perplexity("b", value=12.0)]) == []
    assert compare.reasons([compared("a"), compared("b", None)]) == []
    assert compare.reasons([]) == []


def test_every_condition_is_tested_here() -> None:
    assert OTHER.keys() == dict(compare.CONDITIONS).keys()


@pytest.mark.parametrize("field", OTHER)
def test_another_condition_is_a_reason_that_names_both(field: str) -> None:
    (reason,) = compare.reasons([compared("one"), with_perplexity("two", **{field: OTHER[field]})])
    assert reason.startswith(dict(compare.CONDITIONS)[field])
    assert " in one; " in reason
    assert reason.endswith(" in two")
    assert "None" not in reason


@given(st.lists(st.sampled_from(sorted(OTHER)), unique=True))
def test_there_is_a_reason_for_each_condition_that_differs_and_for_no_other(fields: list[str]) -> None:
    other = with_perplexity("b", **{field: OTHER[field] for field in fields})
    for pair in ([compared("a"), other], [other, compared("a")]):
        assert len(compare.reasons(pair)) == len(fields)


def test_a_reason_gives_values_as_a_reader_writes_them() -> None:
    found = compare.reasons([compared("x"), compared("y"), with_perplexity("z", context=4096)])
    assert found == ["the context differs: 128 in x, y; 4,096 in z"]


def test_another_tokenizer_is_found_by_the_digest_of_its_tokens() -> None:
    one, same = with_perplexity("a", tokens_sha256="1" * 64), with_perplexity("b", tokens_sha256="1" * 64)
    other = with_perplexity("c", tokens_sha256="2" * 64)
    assert compare.reasons([one, same]) == []
    assert "the tokenizer differs" in compare.reasons([one, other])[0]


def test_records_without_that_digest_are_believed_on_one_base_alone() -> None:
    new, old = with_perplexity("a", tokens_sha256="1" * 64), compared("b")
    assert compare.reasons([new, old]) == []
    elsewhere = msgspec.structs.replace(old, base_id="org/another")
    assert compare.reasons([new, elsewhere])[0].startswith("cannot tell whether the tokenizer is the same")
    unknown = msgspec.structs.replace(old, base_id=None)
    assert "not known" in compare.reasons([unknown, unknown])[0]


def test_one_base_in_one_kind_of_weights_has_one_value() -> None:
    same = with_perplexity("b", base_value=PERPLEXITY.base_value * 1.001)  # type: ignore[operator]
    other = with_perplexity("c", base_value=40.0)
    assert compare.reasons([compared("a"), same]) == []
    assert compare.reasons([compared("a"), other]) == [
        f"the base alone, {BASE}, has another value: 35.4187 in a; 40.0000 in c"
    ]
    quantized = msgspec.structs.replace(other, base_weights="4-bit NF4")
    assert compare.reasons([compared("a"), quantized]) == []


def rate(median: float, low: float, high: float) -> Rate:
    return Rate(median=median, low=low, high=high, unit="tokens/s", repeats=10)


def test_the_fastest_is_marked_only_beyond_the_spread_of_the_others() -> None:
    assert compare.fastest([rate(10, 9, 11), None, rate(14, 12, 15)]) == 2
    assert compare.fastest([rate(10, 9, 12), rate(14, 12, 15)]) is None
    assert compare.fastest([rate(10, 9, 11), None]) is None


def test_the_best_is_the_only_lowest() -> None:
    assert compare.best([3.0, None, 2.0]) == 2
    assert compare.best([2.0, 2.0]) is None
    assert compare.best([2.0, None]) is None


def test_speeds_stand_side_by_side_only_under_the_same_conditions() -> None:
    speed = MEASURES.throughput
    assert speed is not None
    longer = msgspec.structs.replace(speed, sequence_length=256)
    assert compare.speeds_are_comparable([compared(throughput=speed), compared(throughput=speed)])
    assert not compare.speeds_are_comparable([compared(throughput=speed), compared(throughput=longer)])
    assert not compare.speeds_are_comparable([compared(throughput=speed), compared()])
    alike = side_by_side.markdown(
        [Side("a", compared(throughput=speed)), Side("b", compared(throughput=speed))]
    )
    assert "| Prompt, tokens/s | Generation, tokens/s |" in alike
    apart = side_by_side.markdown(
        [Side("a", compared(throughput=speed)), Side("b", compared(throughput=longer))]
    )
    assert "not comparable" in apart
    assert "128 + 32 new tokens" in apart
    assert "256 + 32 new tokens" in apart


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(names, names, st.floats(0.5, 1e6), st.floats(0.5, 1e6))
def test_no_name_breaks_out_of_its_cell(name: str, method: str, one: float, other: float) -> None:
    sides = [
        Side(comparison.shown(adapter, adapter.name), adapter)
        for adapter in (
            msgspec.structs.replace(with_perplexity(name, value=one), method=method, repo_id=name),
            with_perplexity("b", value=other),
        )
    ]
    table = side_by_side.markdown(sides).split("\n\n")[0].splitlines()
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1


# --- the command -------------------------------------------------------------------------------------------


def test_markdown(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *map(str, two)]) == 0
    said = capsys.readouterr().out
    assert "[ada/smollm2-pydoc-lora](https://huggingface.co/ada/smollm2-pydoc-lora)" in said
    assert "| Sparse LoRA |" in said
    assert "18,432" in said
    assert "50.0%" in said
    assert "the same 10,157 tokens" in said
    assert "**15.06**" not in said  # both are as good


def test_csv_and_json_hold_the_records_numbers(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    changed_record(two[1], value=12.5)
    assert run(["compare", *map(str, two), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["perplexity"]) for row in rows] == [15.0622, 12.5]
    assert [row["adapter"] for row in rows] == list(map(str, two))
    assert run(["compare", *map(str, two), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["perplexity"] for one in found["adapters"]] == [15.0622, 12.5]
    assert [one["prefill_median"] for one in found["adapters"] if "prefill_median" in one] == [1233.7]
    assert found["left_out"] == {}


def test_what_cannot_be_compared_is_refused_with_a_line_for_each_reason(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    changed_record(two[1], context=256, dataset_sha256="ef56" * 16)
    assert run(["compare", *map(str, two)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    first, second, last = said.err.splitlines()
    assert "the text differs" in first
    assert f"128 in {two[0]}; 256 in {two[1]}" in second
    assert "--without-perplexity" in last
    assert run(["compare", *map(str, two), "--without-perplexity"]) == 0
    shown = capsys.readouterr().out
    assert "erplexity" not in shown
    assert "18,432" in shown
    for form in ("csv", "json"):
        assert run(["compare", *map(str, two), "--without-perplexity", "--format", form]) == 0
        assert "perplexity" not in capsys.readouterr().out


def test_stale_numbers_are_left_out_and_named(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    touch(two[1], b"\2")
    assert run(["compare", *map(str, two), "--json"]) == 0
    said = capsys.readouterr()
    plain, stale = json.loads(said.out)["adapters"]
    assert "perplexity" in plain
    assert "perplexity" not in stale
    assert f"Left out of {two[1]}" in said.err


def test_the_same_directory_is_read_once(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(two[0]), f"{two[0]}/"]) == 2
    assert "nothing to compare" in capsys.readouterr().err


def test_what_is_no_adapter_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(tmp_path), str(tmp_path / "x")]) == 2
    assert "adapter_config.json" in capsys.readouterr().err


def test_a_plot(two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *map(str, two), "--plot", str(tmp_path / "plot.png")]) == 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert run(["compare", *map(str, two), "--plot", str(tmp_path / "b.png"), "--without-perplexity"]) == 2
    assert "nothing to plot" in capsys.readouterr().err
    assert not (tmp_path / "b.png").exists()


# --- the card ----------------------------------------------------------------------------------------------


def card(directory: Path, *arguments: str) -> int:
    return run(["card", "--adapter", str(directory), "--no-figures", *arguments])


def shown(directory: Path) -> str:
    """The card's comparison, as it was written."""
    whole = (directory / "README.md").read_text()
    return whole.partition("## Comparison")[2].partition("<!-- hubkit:end comparison")[0]


def test_a_card_compares_and_remembers(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    changed_record(two[1], value=12.5)
    assert card(two[0], "--compare", str(two[1])) == 0
    first = shown(two[0])
    assert "**this adapter**" in first
    assert "| **12.50** |" in first.replace("  ", " ")
    assert "[ada/smollm2-pydoc-sparse](https://huggingface.co/ada/smollm2-pydoc-sparse)" in first
    for path in two[1].iterdir():
        path.unlink()  # the record alone makes it again
    two[1].rmdir()
    assert card(two[0]) == 0
    assert card(two[0], "--check") == 0
    assert shown(two[0]) == first
    assert str(two[1].parent) not in (two[0] / record.RECORD_NAME).read_text()
    assert card(two[0], "--no-compare") == 0
    assert shown(two[0]) == ""
    assert record.read(two[0]).comparison is None
    capsys.readouterr()


def test_a_directory_that_is_given_again_is_read_anew(two: tuple[Path, Path]) -> None:
    assert card(two[0], "--compare", str(two[1])) == 0
    changed_record(two[1], value=11.25)
    assert card(two[0]) == 0
    assert "11.25" not in shown(two[0])
    assert card(two[0], "--compare", str(two[1])) == 0
    assert "11.25" in shown(two[0])


def test_a_card_of_what_cannot_be_compared_is_refused(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    changed_record(two[1], stride=32)
    before = sorted(two[0].iterdir())
    assert card(two[0], "--compare", str(two[1])) == 2
    assert (
        "the stride differs: 128 in this adapter; 32 in ada/smollm2-pydoc-sparse" in capsys.readouterr().err
    )
    assert sorted(two[0].iterdir()) == before
    assert card(two[0], "--compare", str(two[0])) == 2
    assert "no other adapter" in capsys.readouterr().err
    assert card(two[0], "--compare", str(two[1]), "--no-compare") == 2


def test_a_comparison_that_no_longer_holds_says_why(two: tuple[Path, Path]) -> None:
    assert card(two[0], "--compare", str(two[1])) == 0
    other = record.read(two[1]).measures.perplexity
    assert other is not None
    its_value = text.perplexity(other.value)
    assert its_value in shown(two[0])
    changed_record(two[0], context=64, value=9.0)
    assert card(two[0]) == 0
    found = shown(two[0])
    assert its_value not in found
    assert "cannot be compared" in found
    assert "- the context differs: 64 in this adapter; 128 in ada/smollm2-pydoc-sparse" in found
    assert "12.50" not in found


def test_a_local_hubs_repo_is_no_link() -> None:
    adapter = compared(repo_id="local/x")
    assert comparison.shown(adapter, "x") == "`local/x`"
    assert comparison.shown(compared(), "dir") == "`dir`"


def test_numbers_go_through_the_record(two: tuple[Path, Path]) -> None:
    numbers = comparison.numbers(gather(two[1]))
    kept = record.Comparison(adapters=[numbers])
    record.write(two[0], Record(comparison=kept))
    assert record.read(two[0]).comparison == kept
    assert numbers.sparsity == 0.5
    assert numbers.rank == 8
    assert numbers.perplexity is not None
    assert numbers.perplexity.environment is None


def test_an_adapter_that_became_this_one_is_not_set_beside_itself(two: tuple[Path, Path]) -> None:
    assert card(two[0], "--compare", str(two[1])) == 0
    known = record.read(two[0])
    assert known.comparison is not None
    own = gather(two[0]).sha256
    same = [msgspec.structs.replace(one, adapter_sha256=own) for one in known.comparison.adapters]
    facts = gather(two[0], record=msgspec.structs.replace(known, comparison=record.Comparison(adapters=same)))
    assert comparison.sides(facts) == []
    assert side_by_side.section(facts) == ""


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ([PERPLEXITY, PERPLEXITY], "Perplexity of all was measured on the same 10,157 tokens of"),
        ([PERPLEXITY, PERPLEXITY, None], "Each perplexity was measured on the same 10,157 tokens of"),
        ([PERPLEXITY, None], "The perplexity was measured on 10,157 tokens of"),
    ],
)
def test_a_perplexity_has_its_conditions_whoever_else_has_one(
    measured: list[Perplexity | None], said: str
) -> None:
    sides = [comparison.Side(f"a{at}", compared(f"a{at}", one)) for at, one in enumerate(measured)]
    assert said in side_by_side.markdown(sides)


def test_speeds_on_unknown_processors_are_not_taken_for_the_same() -> None:
    adapters = [compared("a", throughput=MEASURES.throughput), compared("b", throughput=MEASURES.throughput)]
    assert compare.speeds_are_comparable(adapters)
    unknown = [
        msgspec.structs.replace(one, throughput=msgspec.structs.replace(one.throughput, environment=None))
        for one in adapters
    ]
    assert not compare.speeds_are_comparable(unknown)
    sides = [comparison.Side(one.name, one) for one in unknown]
    assert "The speeds are not comparable" in side_by_side.markdown(sides)


def test_a_base_that_cannot_be_divided_by_has_no_change(two: tuple[Path, Path]) -> None:
    changed_record(two[0], base_value=0.0)
    assert card(two[0]) == 0
    assert "%" not in shown(two[0]).partition("## Results")[2].partition("<details>")[0]
