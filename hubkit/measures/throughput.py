"""Throughput of the model as the card's snippet loads it: adapter attached, not merged, stock kernels.

Fixed token ids under a fixed seed, warm-up runs first, then at least `repeats` runs and `min_seconds`; the
median and the quartiles are kept. Generating models: prefill is one step from the prompt, decode is
(n - 1) / (time for n new tokens - time for one), end of text ignored.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from hubkit.errors import MeasureError
from hubkit.record import Rate
from hubkit.settings import ThroughputSettings

NOISY = 0.10


def encoder_rates(model: Any, vocabulary: int, settings: ThroughputSettings) -> tuple[Rate, Rate]:
    """Samples per second and tokens per second of a forward pass over (batch, length) token ids."""
    inputs = random_ids(model, vocabulary, settings)
    tokens = settings.batch_size * settings.sequence_length
    seconds = repeat(lambda: forward(model, inputs), settings)
    return rate([settings.batch_size / s for s in seconds], "samples/s"), rate(
        [tokens / s for s in seconds], "tokens/s"
    )


def generation_rates(model: Any, vocabulary: int, settings: ThroughputSettings) -> tuple[Rate, Rate]:
    """Prompt tokens per second until the first new token, and new tokens per second after it."""
    inputs = random_ids(model, vocabulary, settings)
    firsts: list[float] = []

    def one_and_many() -> None:
        firsts.append(timed(lambda: generate(model, inputs, 1), model))
        generate(model, inputs, settings.new_tokens)

    both = repeat(one_and_many, settings)
    firsts = firsts[-len(both) :]
    after = [total - 2 * first for total, first in zip(both, firsts, strict=True)]
    new = settings.batch_size * (settings.new_tokens - 1)
    prompt = settings.batch_size * settings.sequence_length
    if 4 * sum(s <= 0 for s in after) >= len(after):  # fewer are outliers that no quartile sees
        raise MeasureError(
            f"{settings.new_tokens} new tokens take no longer than one: too few to time",
            "raise measuring.speed.new_tokens",
        )
    return rate([prompt / s for s in firsts], "tokens/s"), rate(
        [new / max(s, 1e-9) for s in after], "tokens/s"
    )


def random_ids(model: Any, vocabulary: int, settings: ThroughputSettings) -> Any:
    """Token ids of shape (batch, length), the same at every call."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (settings.batch_size, settings.sequence_length)
    return torch.randint(0, vocabulary, shape, generator=generator).to(model.device)


def forward(model: Any, inputs: Any) -> None:
    """One forward pass."""
    import torch

    with torch.inference_mode():
        model(input_ids=inputs)


def generate(model: Any, inputs: Any, new_tokens: int) -> None:
    """Greedy generation of exactly `new_tokens`."""
    import torch

    with torch.inference_mode():
        model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=0,
        )


def repeat(work: Callable[[], None], settings: ThroughputSettings) -> list[float]:
    """Seconds of each counted run."""
    for _ in range(settings.warmup):
        work()
    seconds: list[float] = []
    while len(seconds) < settings.repeats or sum(seconds) < settings.min_seconds:
        seconds.append(timed(work, None))
    return seconds


def timed(work: Callable[[], None], model: Any) -> float:
    """Seconds of one call, the device's queue emptied before and after."""
    _synchronize()
    start = time.perf_counter()
    work()
    _synchronize()
    return time.perf_counter() - start


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def rate(values: list[float], unit: str) -> Rate:
    """Median and quartiles; noisy where the quartiles are more than 10 % of the median apart."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Rate(
        median=median,
        low=low,
        high=high,
        unit=unit,
        repeats=len(values),
        noisy=(high - low) > NOISY * median,
    )
