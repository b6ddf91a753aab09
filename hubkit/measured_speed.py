"""Numbers of the record that tell of speed: throughput, latency, memory and energy."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from hubkit.measured_part import AdapterDigest, Environment, Part


class Rate(Part):
    """One throughput figure: the median over `repeats` runs, and its spread."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    unit: str  # "tokens/s", "samples/s"
    repeats: int
    noisy: Annotated[bool, Meta(description="Interquartile range above 10 % of the median.")] = False
    p50_seconds: Annotated[
        float | None,
        Meta(
            description="Latency. Prefill: until the first new token is there. Decode: per new token after"
            " the first, the mean over a run. Encoders: of one forward pass. Percentiles over runs."
        ),
    ] = None
    p95_seconds: float | None = None


class Rates(Part):
    """The figures of one batch size, or of another way to hold the model."""

    batch_size: int
    samples: Rate | None = None  # encoders: sequences per second
    tokens: Rate | None = None  # encoders: tokens per second
    prefill: Rate | None = None  # generating models: prompt tokens per second
    decode: Rate | None = None  # generating models: new tokens per second, after the prompt
    peak_memory_bytes: int | None = None


class Energy(Part):
    """Energy that the machine counted while it ran; absent where it counts none."""

    joules: float  # of all counted runs together; of the whole package or GPU, not of the process alone
    seconds: float
    source: str  # "NVML, one GPU", "RAPL, processor packages"
    tokens: int | None = None  # in that time: new ones of a generating model, else those read
    samples: int | None = None  # sequences; a generating model's with their prompts read
    grams_co2: float | None = None
    grams_co2_per_kwh: float | None = None  # the factor used
    factor_source: str | None = None  # where it is from


class Throughput(Part):
    """Speed of the model as the card's snippet loads it: adapter attached, not merged."""

    adapter_sha256: AdapterDigest
    batch_size: int
    sequence_length: int  # tokens per sequence (the prompt, for generating models)
    warmup: int
    dtype: str
    device: str
    samples: Rate | None = None  # encoders: sequences per second
    tokens: Rate | None = None  # encoders: tokens per second
    prefill: Rate | None = None  # generating models: prompt tokens per second
    decode: Rate | None = None  # generating models: new tokens per second, after the prompt
    new_tokens: int | None = None
    merged: Rates | None = None  # the same with the adapter merged into the base
    sweep: list[Rates] = []  # other batch sizes, as they were asked for
    out_of_memory_at: int | None = None  # the batch size of the sweep that did not fit
    out_of_memory_foretold: Annotated[
        bool,
        Meta(description="It was not tried: growth and free memory told, as a CPU's system would kill it."),
    ] = False
    energy: Energy | None = None
    peak_memory_bytes: int | None = None
    memory_kind: str | None = None  # "peak resident memory of the process", "peak allocated on the device"
    date: str | None = None
    environment: Environment | None = None
