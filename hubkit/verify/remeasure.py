"""Which recorded numbers hold when they are measured again, and how far they may be apart.

    numbers = compare(recorded, measured_now, quantized=False)

Rules of tolerance, each shown beside the number:

- Counts, and bytes of files and weights: equal.
- Perplexity and what is derived from it: the mean negative log-likelihood of a token may differ by 1e-4 nats
  in float32: kernels (MKL, oneDNN, CUDA) differ by about 1e-5. In 16 bits, or on a quantized base, by 1e-3,
  or by 0.1 over the root of the tokens where they are few: the loss of one token is rounded by about 0.03
  nats there, which averages out over many, and this is three of the standard errors. exp carries that over
  to a relative difference of the perplexity; per word or byte it grows with the tokens of one. The text, its
  tokens and the conditions: equal.
- Answers of a classifier: equal in float32, but for one in 10,000 documents; one in 100, and at least one, in
  16 bits or on a quantized base, where two classes that are nearly as likely may change places. What accuracy
  and F1 may differ by follows from that; the mean loss as that of a token.
- Intervals are drawn under one seed, so their ends may differ as the perplexity does.
- Throughput: medians and quartiles may differ by both interquartile ranges together, or by the 10 % below
  which a run is not called noisy, whichever is more; latencies likewise, and p95 by twice the tail of now
  more, at least half a median. They are compared on the same machine (processor, threads, device, versions of
  libraries) only, and not where it is busy: elsewhere they are "not comparable", neither right nor wrong.
- Peak memory of a process holds all that it did before: it may be recorded higher than it is now, and at most
  a quarter lower. Of a device: a quarter either way.
- Energy, durations and dates are not compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from hubkit.record import (
    Environment,
    Interval,
    Measures,
    Parameters,
    Perplexity,
    Rate,
    Rates,
    Size,
    Throughput,
)
from hubkit.verify import reclassified
from hubkit.verify.numbers import DIFFERS as DIFFERS
from hubkit.verify.numbers import HOLDS as HOLDS
from hubkit.verify.numbers import UNCOMPARED as UNCOMPARED
from hubkit.verify.numbers import UNMEASURED as UNMEASURED
from hubkit.verify.numbers import Number as Number
from hubkit.verify.numbers import equal as equal
from hubkit.verify.numbers import holds as holds
from hubkit.verify.numbers import incomparable
from hubkit.verify.numbers import names as names
from hubkit.verify.numbers import table as table
from hubkit.verify.numbers import within as within

MEAN_NLL = {"float32": 1e-4, "float64": 1e-4}  # nats per token, by dtype
COARSE_NLL = 1e-3  # of 16 bits, and of quantized weights
ROUNDING = 0.1  # nats: three times what the loss of one token is rounded by there
DRIFT = 0.10  # of a median: runs whose quartiles are no farther apart are not called noisy
PAUSE = 0.5  # of a median: how much longer one of few runs may take
MEMORY = 0.25
BUSY = 1.5  # one-minute load per core
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")

_EQUAL = (
    "definition", "tokens_scored", "tokens_total", "documents", "documents_kept", "context", "stride",
    "dtype", "words", "bytes", "dataset_sha256", "tokens_sha256", "mask_probability", "mask_seed",
)  # fmt: skip


def compare(recorded: Measures, now: Measures, *, quantized: bool, loaded: str = "") -> list[Number]:
    """Every recorded number beside the one measured now. A measure that was not taken now is left out.

    `loaded` says that the base was loaded in another dtype than when its size was taken, where it was.
    """
    numbers: list[Number] = []
    if recorded.parameters and now.parameters:
        numbers += _parameters(recorded.parameters, now.parameters, loaded)
    if recorded.size and now.size:
        other = loaded or other_machine(_environment(recorded), _environment(now))
        numbers += _size(recorded.size, now.size, other, loaded)
    for name in ("perplexity", "pseudo_perplexity"):
        was, found = getattr(recorded, name), getattr(now, name)
        if was and found:
            numbers += _perplexity(name, was, found, quantized)
    if recorded.classification and now.classification:
        dtypes = (recorded.classification.dtype, now.classification.dtype)
        nats = mean_nll_tolerance(dtypes, quantized, now.classification.documents)
        exact = nats <= max(MEAN_NLL.values())
        numbers += reclassified.compare(recorded.classification, now.classification, nats, exact)
    if recorded.throughput and now.throughput:
        numbers += _throughput(recorded.throughput, now.throughput)
    return [number for number in numbers if number.recorded is not None]


def _parameters(recorded: Parameters, now: Parameters, loaded: str) -> Iterator[Number]:
    told = recorded.counted_on == now.counted_on and not loaded
    for name in Parameters.__struct_fields__:
        was, found = getattr(recorded, name), getattr(now, name)
        if name in ("adapter_sha256", "counted_on") or was in (None, {}):
            continue
        label = f"parameters.{name}"
        if name == "total_by_dtype" and not told:  # of files and not as loaded: the dtypes are others
            yield equal(label, sum(was.values()), sum(found.values()), "summed: counted in another way")
        else:
            yield equal(label, was, found)


def _size(recorded: Size, now: Size, other: str, loaded: str) -> Iterator[Number]:
    for name in Size.__struct_fields__:
        if name in ("adapter_sha256", "load_peak_kind", "load_peak_bytes"):
            continue
        was, found = getattr(recorded, name), getattr(now, name)
        in_memory = loaded and name in ("base_memory_bytes", "merged_bytes", "merged_dtype")
        yield (incomparable if in_memory else equal)(f"size.{name}", was, found, loaded if in_memory else "")
    kinds = (recorded.load_peak_kind, now.load_peak_kind)
    yield _memory("size.load_peak_bytes", recorded.load_peak_bytes, now.load_peak_bytes, kinds, other)


def _environment(measures: Measures) -> Environment | None:
    """The machine that a record's measures were taken on."""
    taken = (measures.throughput, measures.on_text)
    return next((one.environment for one in taken if one and one.environment), None)


def _memory(
    name: str,
    recorded: int | None,
    measured: int | None,
    kinds: tuple[str | None, str | None],
    other: str,
) -> Number:
    """The highest memory: of a process that did more before it can be recorded higher.

    `other` says why it cannot be compared, where it cannot.
    """
    if recorded is not None and measured is None:
        other = "this machine does not tell"
    elif kinds[0] != kinds[1]:
        other = f"recorded of another kind: {kinds[0]}"
    if recorded is None or measured is None or other:
        return incomparable(name, recorded, measured, other)
    of_device = "device" in (kinds[0] or "")
    words = f"{MEMORY:.0%} either way" if of_device else f"at most {MEMORY:.0%} below, or more"
    low, high = measured * (1 - MEMORY), measured * (1 + MEMORY) if of_device else math.inf
    return Number(name, recorded, measured, words, HOLDS if low <= recorded <= high else DIFFERS)


def mean_nll_tolerance(dtypes: tuple[str, str], quantized: bool, tokens: int) -> float:
    """How far apart the mean negative log-likelihood of a token may be, in nats; see the module."""
    if not quantized and all(dtype in MEAN_NLL for dtype in dtypes):
        return max(MEAN_NLL[dtype] for dtype in dtypes)
    return max(COARSE_NLL, ROUNDING / math.sqrt(max(tokens, 1)))


def _perplexity(name: str, recorded: Perplexity, now: Perplexity, quantized: bool) -> Iterator[Number]:
    for field in _EQUAL:
        yield equal(f"{name}.{field}", getattr(recorded, field), getattr(now, field))
    tokens = now.tokens_scored
    nats = mean_nll_tolerance((recorded.dtype, now.dtype), quantized, tokens)
    for field, most in (("value", nats), ("base_value", nats), *_per_unit(now, nats)):
        was, found = getattr(recorded, field), getattr(now, field)
        allowed = math.expm1(most) * abs(found or 0.0)
        yield within(f"{name}.{field}", was, found, allowed, f"{math.expm1(most):.1e} of it")
    for field in ("nll_sum", "base_nll_sum"):
        words = f"{nats * tokens:.3g} nats, {nats:.0e} a token"
        yield within(f"{name}.{field}", getattr(recorded, field), getattr(now, field), nats * tokens, words)
    if now.bytes:
        bits = nats * tokens / now.bytes / math.log(2)
        yield within(
            f"{name}.bits_per_byte", recorded.bits_per_byte, now.bits_per_byte, bits, f"{bits:.1e} bits"
        )
    for field in ("interval", "base_interval", "change_interval"):
        yield from _interval(f"{name}.{field}", getattr(recorded, field), getattr(now, field), nats)
    other = other_machine(recorded.environment, now.environment)
    if (recorded.kernels, recorded.merged) != (now.kernels, now.merged):
        other = "it was computed in another way"
    kinds = (recorded.memory_kind, now.memory_kind)
    yield _memory(
        f"{name}.peak_memory_bytes", recorded.peak_memory_bytes, now.peak_memory_bytes, kinds, other
    )


def _per_unit(now: Perplexity, nats: float) -> Iterator[tuple[str, float]]:
    """The perplexities of a word and of a byte, whose exponent is that of a token times tokens per unit."""
    for field, units in (("word_perplexity", now.words), ("byte_perplexity", now.bytes)):
        yield field, nats * now.tokens_scored / units if units else nats


def _interval(name: str, recorded: Interval | None, now: Interval | None, nats: float) -> Iterator[Number]:
    if recorded is None:
        return
    for field in ("resamples", "confidence", "seed"):
        yield equal(f"{name}.{field}", getattr(recorded, field), getattr(now, field, None))
    of_change = name.endswith("change_interval")
    for field in ("low", "high"):
        was, found = getattr(recorded, field), getattr(now, field, None)
        allowed = 2 * nats * (1 + abs(found or 0.0)) if of_change else math.expm1(nats) * abs(found or 0.0)
        yield within(f"{name}.{field}", was, found, allowed, f"{allowed:.2g}")


def _throughput(recorded: Throughput, now: Throughput) -> Iterator[Number]:
    other = "" if recorded.dtype == now.dtype else f"recorded in {recorded.dtype}, measured in {now.dtype}"
    other = other or other_machine(recorded.environment, now.environment)
    busy = other or busy_machine(recorded.environment, now.environment)
    kinds = (recorded.memory_kind, now.memory_kind)
    for prefix, part, part_now in _parts(recorded, now):
        for field in ("samples", "tokens", "prefill", "decode"):
            if was := getattr(part, field):
                yield from _rate(f"{prefix}{field}", was, getattr(part_now, field, None), busy)
        peak = getattr(part_now, "peak_memory_bytes", None)
        yield _memory(f"{prefix}peak_memory_bytes", part.peak_memory_bytes, peak, kinds, other)
    if recorded.out_of_memory_at:
        limit = recorded.out_of_memory_at, now.out_of_memory_at
        yield incomparable("throughput.out_of_memory_at", *limit, "the largest batch is not looked for again")
    if recorded.energy:
        joules = now.energy.joules if now.energy else None
        yield incomparable(
            "throughput.energy.joules", recorded.energy.joules, joules, "energy is not compared"
        )


def _parts(
    recorded: Throughput, now: Throughput
) -> Iterator[tuple[str, Throughput | Rates, Throughput | Rates | None]]:
    """What has rates, with the beginning of their names, and what was measured of it now."""
    yield "throughput.", recorded, now
    if recorded.merged:
        yield "throughput.merged.", recorded.merged, now.merged
    by_size = {rates.batch_size: rates for rates in now.sweep}
    for part in recorded.sweep:
        yield f"throughput.sweep.{part.batch_size}.", part, by_size.get(part.batch_size)


def _rate(name: str, recorded: Rate, now: Rate | None, other: str) -> Iterator[Number]:
    if not recorded.low <= recorded.median <= recorded.high:
        why = "quartiles that do not enclose their median"
        yield Number(f"{name}.median", recorded.median, None, "between the quartiles", DIFFERS, why)
        return
    if recorded.noisy != (recorded.high - recorded.low > DRIFT * recorded.median):
        yield equal(f"{name}.noisy", recorded.noisy, not recorded.noisy, "its own quartiles tell otherwise")
    if now is None:
        yield Number(f"{name}.median", recorded.median, None, "", UNMEASURED, "it was not measured now")
        return
    if recorded.unit != now.unit:
        yield equal(f"{name}.unit", recorded.unit, now.unit)
    spread = (recorded.high - recorded.low) + (now.high - now.low)
    allowed = max(spread, DRIFT * max(recorded.median, now.median))
    for field in ("median", "low", "high"):
        was, found = getattr(recorded, field), getattr(now, field)
        words = f"{allowed:.3g} {recorded.unit}"
        yield (
            incomparable(f"{name}.{field}", was, found, other)
            if other
            else within(f"{name}.{field}", was, found, allowed, words)
        )
    yield from _latencies(name, recorded, now, allowed / max(now.median, 1e-12), other)


def _latencies(name: str, recorded: Rate, now: Rate, share: float, other: str) -> Iterator[Number]:
    """Seconds of a run: the median as the rate's, the 95th percentile by twice the tail of now more."""
    half, half_now = recorded.p50_seconds, now.p50_seconds
    tail_now = abs((now.p95_seconds or 0.0) - (half_now or 0.0))
    more = max(2 * tail_now, PAUSE * (half_now or 0.0))
    for field, was, found, tail in (
        ("p50_seconds", half, half_now, 0.0),
        ("p95_seconds", recorded.p95_seconds, now.p95_seconds, more),
    ):
        if other and was is not None:
            yield incomparable(f"{name}.{field}", was, found, other)
        elif was is not None:
            allowed = share * max(half or 0.0, half_now or 0.0) + tail
            yield within(f"{name}.{field}", was, found, allowed, f"{allowed:.3g} s")


def other_machine(recorded: Environment | None, now: Environment | None) -> str:
    """How the machine of now is not the one that speed was recorded on; empty where it is the same."""
    if recorded is None or now is None:
        return "the machine is not recorded"
    for field in ("cpu", "cpu_count", "accelerator", "device", "threads"):
        was, found = getattr(recorded, field), getattr(now, field)
        if was != found:
            return f"other machine: {field} {was} then, {found} now"
    for library in LIBRARIES:
        was, found = recorded.libraries.get(library), now.libraries.get(library)
        if was != found:
            return f"other versions: {library} {was} then, {found} now"
    return ""


def busy_machine(recorded: Environment | None, now: Environment | None) -> str:
    """Whether other work kept the processor from this one, then or now; empty where it did not."""
    for machine, when in ((recorded, "then"), (now, "now")):
        load = machine.load_average if machine and machine.device == "cpu" else None
        if machine and load is not None and load > BUSY * (machine.cpu_count or 1):
            return f"busy machine {when}: load average {load:g} on {machine.cpu_count} cores"
    return ""
