"""What was measured, as the card and the terminal show it: all of it where it is known, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import CASES, MEASURES, PERPLEXITY

from hubkit import compare, record
from hubkit.card import quality, speeds, summary, text
from hubkit.card.facts import Facts, gather
from hubkit.card.render import render
from hubkit.measured import Interval
from hubkit.measured_speed import Energy
from hubkit.record import Compared, Perplexity


def facts_with(directory: Path, part: str, **changes: Any) -> Facts:
    """The facts of a case, its measure changed."""
    known = record.read(directory)
    measured = msgspec.structs.replace(getattr(known.measures, part), **changes)
    measures = msgspec.structs.replace(known.measures, **{part: measured})
    return gather(directory, record=msgspec.structs.replace(known, measures=measures))


@pytest.fixture
def causal(tmp_path: Path) -> Path:
    return CASES["causal-measured"](tmp_path / "a")


def test_columns_without_a_base_are_not_there(causal: Path) -> None:
    rows, head = quality.values(
        facts_with(causal, "perplexity", base_value=None, base_interval=None, change_interval=None)
    )
    assert head == ("", "With this adapter")
    assert rows[:2] == [("Perplexity", "**15.06**"), ("95% interval", "14.56 to 15.60")]


def test_the_base_has_its_bits_from_its_own_loss(causal: Path) -> None:
    rows, head = quality.values(gather(causal))
    bits = dict(zip(head, next(row for row in rows if row[0] == "Bits per byte"), strict=True))
    measured = record.read(causal).measures.perplexity
    assert measured
    assert bits["With this adapter"] == text.perplexity(measured.bits_per_byte)
    right = measured.base_nll_sum / measured.bytes / 0.6931471805599453  # type: ignore[operator]
    assert bits["Base alone"] == text.perplexity(right)
    assert bits["Change"] == text.percent(measured.bits_per_byte / right - 1, signed=True)  # type: ignore[operator]


def test_an_interval_is_named_by_its_confidence_and_few_documents_are_told(causal: Path) -> None:
    interval = Interval(low=14.0, high=16.0, resamples=500, confidence=0.9)
    facts = facts_with(causal, "perplexity", interval=interval, documents=5)
    assert "| 90% interval " in render(facts)
    assert "over 5 documents (500 resamples, seed 0)" in (quality.note(facts) or "")
    assert "too narrow" in (quality.note(facts) or "")
    assert "too narrow" not in (quality.note(gather(causal)) or "")
    few = [quality.note(facts_with(causal, "perplexity", documents=number)) or "" for number in (9, 10)]
    assert ["too narrow" in note for note in few] == [True, False]


@pytest.mark.parametrize(
    ("field", "row"),
    [
        ("kernels", "Kernels"),
        ("merged", "Adapter"),
        ("processes", "Processes"),
        ("peak_memory_bytes", "Peak memory of scoring"),
        ("words", "Words and bytes of the text"),
        ("word_perplexity", "Word perplexity"),
        ("byte_perplexity", "Byte perplexity"),
    ],
)
def test_a_condition_that_was_not_there_has_no_row(field: str, row: str, causal: Path) -> None:
    def rows(facts: Facts) -> set[str]:
        return {label for label, _ in quality.conditions(facts, facts.record.measures.perplexity)}

    assert row in rows(gather(causal))
    without = False if field == "merged" else None
    assert row not in rows(facts_with(causal, "perplexity", **{field: without}))


def test_pseudo_perplexity_has_rows_and_conditions_of_its_own(tmp_path: Path) -> None:
    facts = gather(CASES["masked-measured"](tmp_path / "a"))
    rows, _ = quality.values(facts)
    assert [row[0] for row in rows] == [
        "Perplexity", "95% interval", "Loss, nats per masked position", "Pseudo-perplexity", "95% interval",
    ]  # fmt: skip
    card = render(facts)
    assert "Pseudo-perplexity is exp of the mean loss of each of the first 512 tokens" in card
    assert "| Mask          | each token in turn, alone " in card
    only = msgspec.structs.replace(facts.record.measures, perplexity=None)
    alone = gather(facts.adapter.directory, record=msgspec.structs.replace(facts.record, measures=only))
    assert "How perplexity was measured" not in render(alone)
    assert "How pseudo-perplexity was measured" in render(alone)


def test_what_did_not_fit_is_said_and_what_was_not_tried(causal: Path) -> None:
    assert (speeds.largest(gather(causal)) or "").endswith("is 32; 128 did not fit into memory.")
    foretold = facts_with(causal, "throughput", out_of_memory_foretold=True)
    assert "128 was not tried" in (speeds.largest(foretold) or "")
    fits = facts_with(causal, "throughput", out_of_memory_at=None)
    assert speeds.largest(fits) == "All batch sizes that were tried fit into memory, up to 32."
    first = facts_with(causal, "throughput", sweep=[], out_of_memory_at=2)
    assert (speeds.largest(first) or "").startswith("The largest batch size tried that fits is 1; 2 did")
    assert speeds.sweep(first) == ([], ())
    assert speeds.largest(facts_with(causal, "throughput", sweep=[], out_of_memory_at=None)) is None


def test_noisy_runs_are_marked_where_they_stand(causal: Path) -> None:
    facts = gather(causal)
    rows, _ = speeds.values(facts)
    assert [row[1] for row in rows if "noisy" in row[1]] == ["21.4 tokens/s (noisy)"]
    swept, _ = speeds.sweep(facts)
    assert [row[0] for row in swept if "(noisy)" in " ".join(row)] == ["1", "8"]
    assert speeds.noisy(facts) == ["generation", "generation at batch 8"]


def test_energy_is_there_only_where_it_was_counted(causal: Path) -> None:
    assert "CO2" in render(gather(causal))
    without = render(facts_with(causal, "throughput", energy=None))
    assert "CO2" not in without
    assert "Energy" not in without
    bare = facts_with(causal, "throughput", energy=Energy(joules=0.05, seconds=2.0, source="NVML, one GPU"))
    said = "Energy: 50.0 mJ, as counted by NVML, one GPU: all that ran there in that time."
    assert speeds.energy(bare) == said
    assert "CO2" not in render(bare)


def test_a_terminal_shows_more_than_the_glance(causal: Path) -> None:
    lines = "\n".join(summary.lines(gather(causal)))
    for said in ("14.56 to 15.60, base alone 33.95", "0.9638, base alone 1.268", "generation 25.3", "2.54 J"):
        assert said in lines


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (4.2e-5, "42.0 µs"),
        (0.00099949, "999 µs"),
        (0.0009996, "1.00 ms"),
        (0.00321, "3.21 ms"),
        (0.0999, "99.9 ms"),
        (0.1038, "104 ms"),
        (0.9996, "1.00 s"),
        (12.34, "12.3 s"),
    ],
)
def test_latencies_have_three_digits(seconds: float, said: str) -> None:
    assert text.latency(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0042, "0.00420"), (0.01, "0.0100"), (0.423, "0.423"), (0.996, "1.00"), (9.5, "9.50"), (0.0, "0.00")],
)
def test_a_slow_speed_is_not_none(value: float, said: str) -> None:
    assert text.rate(value) == said


def test_a_perplexity_that_is_past_reading_has_an_exponent() -> None:
    assert text.perplexity(1e40) == "1.000e+40"
    assert text.perplexity(123_456_789.0) == "123,456,789.00"


# --- bits per byte make other tokenizers comparable --------------------------------------------------------


def of_bytes(name: str, value: float, tokens: int, **changes: Any) -> Compared:
    """An adapter whose tokenizer cuts the same 41,234 bytes into so many tokens."""
    import math

    measured: Perplexity = msgspec.structs.replace(
        PERPLEXITY,
        **{
            "value": value,
            "base_value": 2 * value,
            "tokens_scored": tokens,
            "tokens_total": tokens,
            "tokens_sha256": f"{tokens:064d}",
            "bytes": 41_234,
            "bits_per_byte": tokens * math.log(value) / 41_234 / math.log(2),
            "environment": None,
            **changes,
        },
    )
    return Compared(
        name=name,
        adapter_sha256="0" * 64,
        adapter_weights_bytes=75_000,
        method="LoRA",
        base_id=f"org/{name}",
        perplexity=measured,
        throughput=MEASURES.throughput,
    )


def test_other_tokenizers_are_compared_by_bits_per_byte() -> None:
    one, other = of_bytes("a", 15.0, 10_157), of_bytes("b", 22.0, 8_800)
    assert compare.reasons([one, other])
    assert compare.reasons_by_byte([one, other]) == []
    assert compare.by([one, other]) == "bits_per_byte"
    assert compare.by([one, of_bytes("c", 14.0, 10_157)]) == "perplexity"
    bits = compare.base_bits_per_byte(one.perplexity)  # type: ignore[arg-type]
    assert bits == pytest.approx(10_157 * 3.4011973816621555 / 41_234 / 0.6931471805599453)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset_sha256": "ef" * 32}, "the text differs"),
        ({"documents_kept": "apart"}, "how documents are kept differs"),
        ({"bytes": 41_235}, "the bytes of the text differs"),
        ({"context": 512}, "the context differs"),
        ({"stride": 64}, "the stride differs"),
        ({"dtype": "bfloat16"}, "the dtype differs"),
        ({"definition": "masked"}, "the definition differs"),
        ({"bits_per_byte": None}, "no bits per byte in b"),
    ],
)
def test_bits_per_byte_of_another_text_are_not(changes: dict[str, Any], reason: str) -> None:
    pair = [of_bytes("a", 15.0, 10_157), of_bytes("b", 22.0, 8_800, **changes)]
    assert any(one.startswith(reason) for one in compare.reasons_by_byte(pair))
    assert compare.by(pair) is None


def test_the_table_has_bits_in_place_of_perplexities() -> None:
    from hubkit.card import comparison, side_by_side

    pair = [of_bytes("a", 15.0, 10_157), of_bytes("b", 22.0, 8_800)]
    sides = [comparison.Side(one.name, one) for one in pair]
    shown = side_by_side.markdown(sides, comparison.by(sides))
    assert "Bits per byte" in shown
    assert "| Perplexity" not in shown
    assert "the same 41,234 bytes of Python's own help topics" in shown
    best = pair[1].perplexity  # of more loss a token, and fewer tokens
    assert f"**{text.perplexity(best.bits_per_byte)}**" in shown  # type: ignore[union-attr,arg-type]


def test_the_page_that_defines_the_numbers_names_them_as_the_record_does() -> None:
    import re

    from hubkit import measured

    page = (Path(__file__).parents[1] / "docs" / "measures.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    parts = [
        one for one in vars(measured).values() if isinstance(one, type) and issubclass(one, measured.Part)
    ]
    fields = {name for part in parts for name in part.__struct_fields__}
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named <= fields
    sizes = set(measured.Size.__struct_fields__) - {"adapter_sha256", "merged_dtype", "load_peak_kind"}
    assert sizes <= named
    assert {"value", "word_perplexity", "byte_perplexity", "bits_per_byte", "total", "embedding"} <= named


def test_pseudo_perplexity_of_a_part_is_said_to_be_of_it(tmp_path: Path) -> None:
    masked = CASES["masked-measured"](tmp_path / "a")
    assert "each of the first 512 tokens of the text" in render(gather(masked))
    assert "every token of the text" in render(facts_with(masked, "pseudo_perplexity", tokens_scored=10_238))


def test_processes_share_windows_and_not_documents(causal: Path) -> None:
    assert "2, each with windows of its own" in render(gather(causal))


def test_little_energy_is_written_without_an_exponent(causal: Path) -> None:
    measured = record.read(causal).measures.throughput
    assert measured
    assert measured.energy
    little = msgspec.structs.replace(measured.energy, joules=0.001, grams_co2=0.001 / 3.6e6 * 473)
    said = speeds.energy(facts_with(causal, "throughput", energy=little)) or ""
    assert "3.12 µJ per new token" in said
    assert "0.0131 µg of CO2 per sequence" in said
