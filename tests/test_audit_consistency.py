"""Numbers that cannot both be: each number of a record, and on a card, changed by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import CASES

from hubkit import freshness
from hubkit import record as records
from hubkit.audit import consistency, rules, subject
from hubkit.measured import Measures

# What nothing else in a record tells: conditions, sizes, memory, and how often it was done.
ALONE = {
    "context", "stride", "batch_size", "documents", "seconds", "mask_seed", "mask_probability",
    "processes", "peak_memory_bytes", "load_peak_bytes", "adapter_weights_bytes", "adapter_directory_bytes",
    "base_weights_bytes", "base_memory_bytes", "adapter_memory_bytes", "merged_bytes", "resamples", "seed",
    "confidence", "repeats", "warmup", "new_tokens", "out_of_memory_at", "cpu_count", "threads",
    "memory_bytes", "load_average", "trainable", "embedding", "tokens_total", "samples", "p95_seconds",
    "low", "high", "sequence_length",
}  # fmt: skip
# Of energy alone; a rate is called so too.
OF_ENERGY = {"measures.throughput.energy.tokens", "measures.throughput.energy.samples"}


def numbers(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all numbers below a plain value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in pairs:
        yield from numbers(below, (*path, key))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def plain(name: str, tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(records.read(CASES[name](tmp_path / "adapter")).measures)
    return found


def told(measures: dict[str, Any]) -> list[str]:
    return list(consistency.contradictions(msgspec.convert(measures, Measures)))


@pytest.mark.parametrize("name", CASES)
def test_no_record_of_hubkits_contradicts_itself(name: str, tmp_path: Path) -> None:
    assert told(plain(name, tmp_path)) == []


def test_a_number_that_was_changed_is_told_from_the_others(tmp_path: Path) -> None:
    true = plain("causal-measured", tmp_path)
    checked = []
    for path in numbers(true):
        *above, last = path
        if last in ALONE or "environment" in path or "measures." + ".".join(map(str, path)) in OF_ENERGY:
            continue
        holder: Any = true
        for key in above:
            holder = holder[key]
        right = holder[last]
        holder[last] = right + 3 if isinstance(right, int) else right * 1.3
        assert told(true), f"{path}: {right} to {holder[last]}"
        holder[last] = right
        checked.append(str(last))
    expected = {"value", "base_value", "nll_sum", "bits_per_byte", "median", "p50_seconds", "grams_co2"}
    assert expected <= set(checked)
    assert told(true) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("perplexity.interval.high", 15.0, "value is 15.0622, outside of its interval, 14.5561 to 15"),
        ("perplexity.base_interval.low", 36.0, "base_value is 35.4187, outside of its interval"),
        ("perplexity.change_interval.low", -0.57, "change is -0.574739, outside of its interval"),
        ("perplexity.interval.low", 16.0, "interval ends before it begins"),
        ("perplexity.tokens_scored", 10_239, "tokens_scored is 10,239 of 10,238 tokens"),
        ("throughput.decode.noisy", False, "throughput.decode.noisy is false, and the quartiles"),
        ("throughput.decode.p95_seconds", 0.04, "p50_seconds is 0.04667, above p95_seconds, 0.04"),
        ("throughput.merged.decode.low", 25.5, "throughput.merged.decode.median is 25.31, outside"),
        ("throughput.out_of_memory_at", 16, "out_of_memory_at is 16, and batch 32 fit"),
        ("parameters.embedding", 200_000_000, "embedding is 200,000,000, more than all 134,533,440"),
    ],
)
def test_what_is_said_of_it(path: str, value: Any, said: str, tmp_path: Path) -> None:
    measures = plain("causal-measured", tmp_path)
    *above, last = path.split(".")
    holder = measures
    for key in above:
        holder = holder[key]
    holder[last] = value
    assert any(said in one for one in told(measures)), told(measures)


def test_an_interval_of_a_handful_of_draws_need_not_hold_the_value(tmp_path: Path) -> None:
    measures = plain("masked-measured", tmp_path)
    measures["perplexity"]["interval"] |= {"low": 7.0, "high": 7.5, "resamples": 3}
    assert told(measures) == []


def test_a_measure_that_its_digest_denies_was_edited(tmp_path: Path) -> None:
    directory = CASES["causal-measured"](tmp_path / "adapter")
    (directory / "README.md").write_text("# Notes\n")
    known = records.read(directory)
    sealed = freshness.with_measures(msgspec.structs.replace(known, measures=Measures()), known.measures)
    records.write(directory, sealed)

    def found() -> list[str]:
        return [
            f.message for f in rules.findings(subject.load(directory / "README.md"), frozenset({"HK613"}))
        ]

    assert found() == []
    path = directory / "hubkit.json"
    path.write_text(path.read_text().replace('"warmup": 3', '"warmup": 9'))  # which no other number denies
    assert found() == ["The record's measures.throughput is not as hubkit wrote it: its digest is another."]


# --- on a card ---------------------------------------------------------------------------------------------

QUALITY = """| | Base alone | With this adapter | Change |
| --- | --- | --- | --- |
| Perplexity | 35.42 | **15.06** | -57.5% |
| 95% interval | 33.95 to 36.99 | 14.56 to 15.60 | -58.4% to -56.6% |
| Bits per byte | 1.268 | 0.9638 | -24.0% |

| Condition | Value |
| --- | --- |
| Byte perplexity | 1.950, base alone 2.408 |
"""
SPEED = """| | Median | Quartiles | Latency, p50 and p95 | Runs |
| --- | --- | --- | --- | ---: |
| Prompt | 1,234 tokens/s | 1,201 to 1,260 | 104 ms, 0.11 s | 12 |
"""
SIZES = """| Size | About | Bytes |
| --- | --- | ---: |
| Highest memory while loading | 902 MB | 902,300,160 |

| Parameters | Count |
| --- | ---: |
| Base and adapter | 134,533,440 |
| of these, embeddings | 28,311,552 |
| of these, not embeddings | 106,221,888 |
"""
LARGE = "| | Value |\n| - | - |\n| Perplexity | 2.500e+30 |\n| 95% interval | 2.000e+30 to 3.000e+30 |\n"
SENTENCE = "From 35.42, its perplexity fell to 15.1 (95% CI: 14.6 to 15.6) on the test set.\n"
CHANGES = {
    "exponent": (LARGE, "2.500e+30", "2.500e+29"),
    "in-a-sentence": (SENTENCE, "15.1 ", "16.1 "),
    "size": (SIZES, "902 MB", "942 MB"),
    "bytes-of-a-size": (SIZES, "902,300,160", "962,300,160"),
    "embeddings": (SIZES, "28,311,552", "26,311,552"),
    "all": (SIZES, "134,533,440", "134,533,450"),
    "value": (QUALITY, "**15.06**", "**16.06**"),
    "base": (QUALITY, "35.42", "38.42"),
    "low": (QUALITY, "14.56 to", "15.16 to"),
    "high": (QUALITY, "15.60", "14.90"),
    "backwards": (QUALITY, "33.95 to 36.99", "36.99 to 33.95"),
    "change": (QUALITY, "-57.5%", "-47.5%"),
    "bits": (QUALITY, "0.9638", "0.9238"),
    "bytes": (QUALITY, "1.950,", "1.850,"),
    "change-of-bits": (QUALITY, "-24.0%", "-44.0%"),
    "median": (SPEED, "1,234", "1,334"),
    "quartile": (SPEED, "1,260", "1,230"),
    "p95": (SPEED, "0.11 s", "0.10 s"),
    "p50": (SPEED, "104 ms", "804 ms"),
}
FINE = {
    "another-column": "| Test | Value | n | 95% CI |\n| - | - | - | - |\n| F1 | 0.91 | 500 | 0.8 to 1 |\n",
    "in-words": "Its perplexity is 15.1 (95% CI: 14.6 to 15.6) on the test set.\n",
    "brackets": "| Metric | Value | 95% CI |\n| --- | --- | --- |\n| Accuracy | 91.2% | [88.1, 94.0] |\n",
    "latencies": "| Model | p50 | p99 |\n| --- | --- | --- |\n| a | 12 ms | 0.1 s |\n",
    "share-and-percent": "| Metric | Value |\n| - | - |\n| F1 | 0.853 |\n| 95% CI | 83.1% to 87.2% |\n",
    "interval-before-value": "| A | N | 95% CI | F1 |\n| - | - | - | - |\n| x | 500 | 83 to 87 | 85.3 |\n",
    "of-a-difference": "Accuracy rose from 82.2 to 85.3 (95% CI 2.0 to 4.2).\n",
    "another-number-nearer": "The effect is 2.3 with p = 0.01 (95% CI: 1.2, 3.4).\n",
    "percentiles-of-two-things": "| | p50 TTFT | p95 ITL |\n| - | - | - |\n| a | 1.2 s | 30 ms |\n",
    "of-what-its-label-names": "| | Ours |\n| - | - |\n| Accuracy | 85.3 |\n| Perplexity | 15.06 |\n"
    "| 95% interval of accuracy | 83.1 to 87.2 |\n",
    "of-what-is-not-there": "| | Ours |\n| - | - |\n| Perplexity | 15.06 |\n| 95% CI of loss | 2 to 3 |\n",
    "after-a-change": "| | Ours |\n| - | - |\n| Perplexity | 15.06 |\n| Perplexity change | -57% |\n"
    "| 95% CI | 14.6 to 15.6 |\n",
    "no-range": "| Metric | Value | 95% CI |\n| --- | --- | --- |\n| F1 | 0.91 | ±0.02 |\n",
}


def contradicted(directory: Path, body: str) -> bool:
    card = directory / "README.md"
    card.write_text(f"# Results on the test set\n\n{body}")
    return bool(rules.findings(subject.load(card), frozenset({"HK409"})))


@pytest.mark.parametrize("case", CHANGES)
def test_a_number_changed_on_a_card_contradicts_the_one_beside_it(case: str, tmp_path: Path) -> None:
    text, old, new = CHANGES[case]
    assert text.count(old) == 1
    assert not contradicted(tmp_path, text)
    assert contradicted(tmp_path, text.replace(old, new))


@pytest.mark.parametrize("case", FINE)
def test_what_agrees_is_left_alone(case: str, tmp_path: Path) -> None:
    assert not contradicted(tmp_path, FINE[case])
