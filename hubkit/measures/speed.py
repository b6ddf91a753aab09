"""The throughput of a subject's adapter, with its conditions, as the record holds it.

First the model as the card's snippet loads it: stock modules, adapter attached. Then the same at other batch
sizes, and last, as it takes the adapter's layers away, with the adapter merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from hubkit.errors import MeasureError
from hubkit.measures import energy, free_memory, memory, merging, sweep, throughput
from hubkit.measures.environment import environment
from hubkit.measures.subject import Subject
from hubkit.models import limits, loading
from hubkit.record import Rates, Throughput
from hubkit.settings import ThroughputSettings

Say = Callable[[str], None]


def speed(model: Any, subject: Subject, dtype: str, say: Say) -> Iterator[Throughput]:
    """Time a loaded PeftModel; yields what is known after each step, each time with more in it.

    The merged figure comes last: `model` is merged in place and of no use after that. Yields nothing, and
    says why, for an encoder-decoder. Raises MeasureError.
    """
    settings = subject.settings.speed
    if getattr(model.config, "is_encoder_decoder", False):
        say("throughput left out: reading and writing of encoder-decoder models are not timed apart")
        return
    generates = subject.task.PERPLEXITY == "causal"
    before, meter = environment(loading.device()), energy.Meter(energy.counter(model))
    rates, kind = _first(model, generates, settings, meter.read)
    tokens = settings.batch_size * (settings.new_tokens if generates else settings.sequence_length)
    found = Throughput(
        adapter_sha256=subject.adapter.sha256(),
        batch_size=settings.batch_size,
        sequence_length=settings.sequence_length,
        warmup=settings.warmup,
        dtype=dtype,
        device=loading.device(),
        samples=rates.samples,
        tokens=rates.tokens,
        prefill=rates.prefill,
        decode=rates.decode,
        new_tokens=settings.new_tokens if generates else None,
        energy=meter.energy(settings.batch_size, tokens, settings.grams_co2_per_kwh),
        peak_memory_bytes=rates.peak_memory_bytes,
        memory_kind=kind,
        date=datetime.now(UTC).date().isoformat(),
        environment=before,
    )
    yield found
    if others := [size for size in settings.batch_sizes if size != settings.batch_size]:
        found = _swept(model, generates, settings, found, others, say)
        yield found
    if settings.merged and (whole := _merged(model, say)) is not None:
        say("measuring throughput, adapter merged")
        yield msgspec.structs.replace(found, merged=_timed(whole, generates, settings)[0])


def _first(
    model: Any, generates: bool, settings: ThroughputSettings, between: throughput.Between
) -> tuple[Rates, str | None]:
    """The figures of the batch size that the settings name. Raises MeasureError where it does not fit."""
    timed = limits.unless_out_of_memory(lambda: _timed(model, generates, settings, between))
    if timed is None:
        raise MeasureError(
            f"out of memory while measuring throughput, batch {settings.batch_size:,}",
            "lower measuring.speed.batch_size or sequence_length",
        )
    return timed


def _swept(
    model: Any, generates: bool, settings: ThroughputSettings, known: Throughput, sizes: list[int], say: Say
) -> Throughput:
    """With the figures of other batch sizes, and the one that did not fit."""

    def once(size: int) -> None:
        inputs = throughput.random_ids(model, _vocabulary(model), _at(settings, size))
        if generates:
            throughput.generate(model, inputs, settings.new_tokens)
        else:
            throughput.forward(model, inputs)

    def measured(size: int) -> Rates:
        return _timed(model, generates, _at(settings, size))[0]

    larger = max(sizes) > settings.batch_size
    growth = sweep.growth(once, settings.batch_size) if larger else None
    found = sweep.sweep(sizes, measured, growth, say)
    largest = max(settings.batch_size, found.largest or 0)
    limit = f"; {found.out_of_memory_at:,} does not" if found.out_of_memory_at else ""
    say(f"the largest of these batch sizes that fits: {largest:,}{limit}")
    return msgspec.structs.replace(
        known,
        sweep=found.rates,
        out_of_memory_at=found.out_of_memory_at,
        out_of_memory_foretold=found.foretold,
    )


def _at(settings: ThroughputSettings, size: int) -> ThroughputSettings:
    return msgspec.structs.replace(settings, batch_size=size)


def _timed(
    model: Any,
    generates: bool,
    settings: ThroughputSettings,
    between: throughput.Between = throughput.nothing,
) -> tuple[Rates, str | None]:
    """The figures of one batch size with its peak memory, and what kind of memory that is."""
    free_memory.give_back()
    peak = memory.Peak()
    measured = throughput.generation_rates if generates else throughput.encoder_rates
    first, second = measured(model, _vocabulary(model), settings, between)
    names = ("prefill", "decode") if generates else ("samples", "tokens")
    highest, kind = peak.read()
    rates = Rates(batch_size=settings.batch_size, peak_memory_bytes=highest)
    return msgspec.structs.replace(rates, **dict(zip(names, (first, second), strict=True))), kind


def _vocabulary(model: Any) -> int:
    return int(model.config.get_text_config().vocab_size)


def _merged(model: Any, say: Say) -> Any:
    """The base with the adapter merged; None, and why, where it cannot be."""
    left_out = "throughput of the merged model left out"
    try:
        whole = limits.unless_out_of_memory(lambda: merging.merged(model))
    except MeasureError as error:
        say(f"{left_out}: {error}")
        return None
    if whole is None:
        say(f"{left_out}: memory ran out while merging")
    return whole
