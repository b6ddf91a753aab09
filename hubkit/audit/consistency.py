"""Whether the numbers of a record follow from each other: sums, means, intervals, spreads, latencies.

A record that hubkit wrote holds all of these to the last digit; a number that was changed by hand does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from hubkit import class_scores
from hubkit.measured import Classification, Interval, Measures, Parameters, Perplexity, Size
from hubkit.measured_speed import Energy, Rate, Rates, Throughput

CLOSE = 1e-6  # relative: what rounding of sums may do
FEW_RESAMPLES = 100  # an interval of fewer need not hold the value
NOISY = 0.10
JOULES_PER_KWH = 3.6e6
RATES = ("prefill", "decode", "samples", "tokens")


def contradictions(measures: Measures) -> Iterator[str]:
    """Each pair of numbers that cannot both be, in a sentence's words."""
    for name in ("perplexity", "pseudo_perplexity"):
        measured: Perplexity | None = getattr(measures, name)
        if measured:
            yield from (f"{name}.{said}" for said in _perplexity(measured))
    if measures.classification:
        yield from (f"classification.{said}" for said in _classification(measures.classification))
    if measures.throughput:
        yield from (f"throughput.{said}" for said in _throughput(measures.throughput))
    if measures.parameters:
        yield from (f"parameters.{said}" for said in _parameters(measures.parameters))
    if measures.size:
        yield from (f"size.{said}" for said in _size(measures.size))


def _perplexity(measured: Perplexity) -> Iterator[str]:
    if measured.tokens_scored > measured.tokens_total:
        yield f"tokens_scored is {measured.tokens_scored:,} of {measured.tokens_total:,} tokens"
    yield from _means(measured)
    for name, value, interval in (
        ("value", measured.value, measured.interval),
        ("base_value", measured.base_value, measured.base_interval),
        ("change", measured.change, measured.change_interval),
    ):
        if interval:
            yield from _interval(name, value, interval)


def _means(measured: Perplexity) -> Iterator[str]:
    """Perplexities against the sums of losses that they are made of."""
    nll, base_nll = measured.nll_sum, measured.base_nll_sum
    for name, value, total, units, unit in (
        ("value", measured.value, nll, measured.tokens_scored, "tokens_scored"),
        ("base_value", measured.base_value, base_nll, measured.tokens_scored, "tokens_scored"),
        ("word_perplexity", measured.word_perplexity, nll, measured.words, "words"),
        ("byte_perplexity", measured.byte_perplexity, nll, measured.bytes, "bytes"),
    ):
        if value is None or total is None or not units:
            continue
        if value <= 0 or not _close(math.log(value), total / units):
            made_of = "base_nll_sum" if name.startswith("base") else "nll_sum"
            yield f"{name} is {value:.6g}, and exp({made_of} / {unit}) is {_exp(total / units):.6g}"
    if measured.bits_per_byte is not None and nll is not None and measured.bytes:
        right = nll / measured.bytes / math.log(2)
        if not _close(measured.bits_per_byte, right):
            yield f"bits_per_byte is {measured.bits_per_byte:.6g}, and nll_sum / bytes / ln 2 is {right:.6g}"


def _classification(measured: Classification) -> Iterator[str]:
    """Accuracy, F1 and the scores of each class against the matrix that they are made of."""
    if measured.truncated > measured.documents:
        yield f"truncated is {measured.truncated:,} of {measured.documents:,} documents"
    for name, value, interval in (
        ("accuracy", measured.accuracy, measured.accuracy_interval),
        ("macro_f1", None, measured.macro_f1_interval),  # of rare classes it may lie beside its interval
    ):
        if interval:
            middle = (interval.low + interval.high) / 2 if value is None else value
            yield from _interval(name, middle, interval)
    matrix, labels = measured.confusion, [one.label for one in measured.classes]
    if not matrix:
        return
    if any(len(row) != len(matrix) for row in matrix) or len(labels) != len(matrix):
        yield f"confusion is no square of the {len(labels):,} classes"
        return
    if sum(map(sum, matrix)) != measured.documents or not measured.documents:
        yield f"confusion holds {sum(map(sum, matrix)):,} documents, and documents is {measured.documents:,}"
        return
    found = class_scores.of(matrix)
    for name in ("accuracy", "macro_f1", "weighted_f1", "majority_accuracy"):
        said, right = getattr(measured, name), getattr(found, name)
        if not _close(said, right):
            yield f"{name} is {said:.6g}, and confusion makes it {right:.6g}"
    for at, (one, other) in enumerate(
        zip(measured.classes, class_scores.classes(matrix, labels), strict=True)
    ):
        for name in ("support", "precision", "recall", "f1"):
            said, right = getattr(one, name), getattr(other, name)
            if (said is None) != (right is None) or (said is not None and not _close(said, right)):
                yield f"classes[{at}].{name} is {said}, and confusion makes it {right}"


def _exp(exponent: float) -> float:
    return math.exp(exponent) if exponent < 700 else math.inf


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)


def _interval(name: str, value: float | None, interval: Interval) -> Iterator[str]:
    low, high = interval.low, interval.high
    said = f"{low:.6g} to {high:.6g}"
    if low > high:
        yield f"{name}'s interval ends before it begins: {said}"
    elif value is None:
        yield f"{name} is not there, and its interval is: {said}"
    elif interval.resamples >= FEW_RESAMPLES:
        slack = CLOSE * max(abs(low), abs(high), abs(value))
        if not low - slack <= value <= high + slack:
            yield f"{name} is {value:.6g}, outside of its interval, {said}"
    if not 0 < interval.confidence < 1:
        yield f"the confidence of {name}'s interval is {interval.confidence:g}"


def _throughput(measured: Throughput) -> Iterator[str]:
    yield from _rates(measured, "", measured)
    if measured.merged:
        yield from _rates(measured.merged, "merged.", measured)
    for at, one in enumerate(measured.sweep):
        yield from _rates(one, f"sweep[{at}].", measured)
        if measured.out_of_memory_at is not None and one.batch_size >= measured.out_of_memory_at:
            yield f"out_of_memory_at is {measured.out_of_memory_at:,}, and batch {one.batch_size:,} fit"
    if measured.energy:
        yield from _energy(measured.energy)


def _rates(held: Throughput | Rates, path: str, measured: Throughput) -> Iterator[str]:
    for name in RATES:
        rate: Rate | None = getattr(held, name)
        if rate:
            of_a_run = held.batch_size * (measured.sequence_length if name in ("prefill", "tokens") else 1)
            yield from (f"{path}{name}.{said}" for said in _rate(rate, of_a_run))


def _rate(rate: Rate, of_a_run: int) -> Iterator[str]:
    """`of_a_run`: what the unit counts in one latency, as the tokens of all prompts."""
    low, high = rate.low, rate.high
    if not low * (1 - CLOSE) <= rate.median <= high * (1 + CLOSE):
        yield f"median is {rate.median:.6g}, outside of its quartiles, {low:.6g} to {high:.6g}"
        return
    if rate.noisy != (high - low > NOISY * rate.median):
        yield f"noisy is {str(rate.noisy).lower()}, and the quartiles are {low:.6g} to {high:.6g}"
    p50, p95 = rate.p50_seconds, rate.p95_seconds
    if p50 is not None and p95 is not None and p50 > p95 * (1 + CLOSE):
        yield f"p50_seconds is {p50:.6g}, above p95_seconds, {p95:.6g}"
    if p50 and not low * (1 - CLOSE) <= of_a_run / p50 <= high * (1 + CLOSE):
        yield f"p50_seconds is {p50:.6g}, and the median speed {rate.median:.6g}: {of_a_run:,} in that time"


def _energy(counted: Energy) -> Iterator[str]:
    grams, factor = counted.grams_co2, counted.grams_co2_per_kwh
    if grams is not None and factor is not None:
        right = counted.joules / JOULES_PER_KWH * factor
        if not math.isclose(grams, right, rel_tol=CLOSE):
            yield f"energy.grams_co2 is {grams:.6g}, and joules / 3.6e6 * grams_co2_per_kwh is {right:.6g}"


def _parameters(counts: Parameters) -> Iterator[str]:
    total = counts.total
    for name, whole, parts in (
        ("total", total, counts.total_by_dtype),
        ("adapter", counts.adapter, counts.adapter_by_dtype),
    ):
        if parts and whole is not None and sum(parts.values()) != whole:
            yield f"{name} is {whole:,}, and by dtype there are {sum(parts.values()):,}"
    for name, part, whole in (
        ("trainable", counts.trainable, total),
        ("embedding", counts.embedding, total),
        ("adapter_nonzero", counts.adapter_nonzero, counts.adapter),
    ):
        if part is not None and whole is not None and part > whole:
            yield f"{name} is {part:,}, more than all {whole:,}"


def _size(size: Size) -> Iterator[str]:
    constants, memory = size.quantization_constants_bytes, size.base_memory_bytes
    if constants is not None and memory is not None and constants > memory:
        yield f"quantization_constants_bytes is {constants:,}, more than base_memory_bytes, {memory:,}"
