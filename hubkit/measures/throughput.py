"""Throughput and latency of a model: what one batch size gives, run after run.

Fixed token ids under a fixed seed, special ones left out; warm-up runs first, then at least `repeats` runs
and `min_seconds`. Of the runs the median and the quartiles of the rate are kept, and the 50th and 95th
percentile of the latency, by linear interpolation.

What one run is:
- Encoders: one forward pass over the batch. Its latency is the time of that pass.
- Generating models: one `generate()` of exactly `new_tokens`, greedy, end of text ignored. A stopping
  criterion that stops nothing notes when the first new token is there. Prefill is the time until then (TTFT,
  time to first token, of serving benchmarks). Decode is what comes after, for new_tokens - 1 tokens; its
  latency is the time per output token, the mean over one run (TPOT, as vLLM's benchmark counts it).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from hubkit.errors import MeasureError
from hubkit.record import Rate
from hubkit.settings import ThroughputSettings

NOISY = 0.10
SHORTEST = 1e-9  # seconds: a clock may stand still
SPECIAL = (
    "_token_id",
    "_token_ids",
    "_token_index",
)  # ends of the names of special tokens in a configuration

Between = Callable[[], None]


def nothing() -> None:
    """Where nothing is to be done between runs."""


def encoder_rates(
    model: Any, vocabulary: int, settings: ThroughputSettings, between: Between = nothing
) -> tuple[Rate, Rate]:
    """Samples per second and tokens per second of a forward pass over (batch, length) token ids.

    `between` is called before the first counted run and after each.
    """
    inputs, wait = random_ids(model, vocabulary, settings), synchronizer(model)
    runs = repeat(lambda: (timed(lambda: forward(model, inputs), wait),), settings, between)
    seconds = [taken for (taken,) in runs]
    tokens = settings.batch_size * settings.sequence_length
    return rate(settings.batch_size, seconds, "samples/s"), rate(tokens, seconds, "tokens/s")


def generation_rates(
    model: Any, vocabulary: int, settings: ThroughputSettings, between: Between = nothing
) -> tuple[Rate, Rate]:
    """Prompt tokens per second until the first new token, and new tokens per second after it.

    `between` is called before the first counted run and after each. Raises MeasureError where the model does
    not make the tokens that it is asked for.
    """
    inputs = random_ids(model, vocabulary, settings)
    runs = repeat(lambda: generate(model, inputs, settings.new_tokens), settings, between)
    firsts = [first for first, _ in runs]
    each = [after / (settings.new_tokens - 1) for _, after in runs]
    prompt = settings.batch_size * settings.sequence_length
    return rate(prompt, firsts, "tokens/s"), rate(settings.batch_size, each, "tokens/s")


def random_ids(model: Any, vocabulary: int, settings: ThroughputSettings) -> Any:
    """Token ids of shape (batch, length), the same at every call; none that is special."""
    import torch

    special = set(special_ids(model.config.to_dict()))
    plain = torch.tensor([i for i in range(vocabulary) if i not in special] or range(vocabulary))
    shape = (settings.batch_size, settings.sequence_length)
    drawn = torch.randint(0, len(plain), shape, generator=torch.Generator().manual_seed(0))
    return plain[drawn].to(model.device)


def special_ids(config: dict[str, Any]) -> Iterator[int]:
    """The ids in a configuration, and in those within it, whose names say that they are of special tokens."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from special_ids(value)
        elif str(name).endswith(SPECIAL):
            yield from (i for i in (value if isinstance(value, list) else [value]) if isinstance(i, int))


def forward(model: Any, inputs: Any) -> None:
    """One forward pass, with the attention mask that a tokenizer would give."""
    import torch

    with torch.inference_mode():
        model(input_ids=inputs, attention_mask=torch.ones_like(inputs))


class FirstToken:
    """A stopping criterion that stops nothing: it counts new tokens, and notes when the first is there."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self.wait, self.tokens, self.at = wait, 0, 0.0

    def __call__(self, input_ids: Any, scores: Any, **rest: Any) -> Any:
        """Called after each new token; (batch,) of False: no sequence is done."""
        import torch

        if not self.tokens:
            self.wait()
            self.at = time.perf_counter()
        self.tokens += 1
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def generate(model: Any, inputs: Any, new_tokens: int) -> tuple[float, float]:
    """Greedy generation of exactly `new_tokens`: seconds until the first of them, and of those after it.

    Raises MeasureError where another number of tokens comes.
    """
    import torch

    wait = synchronizer(model)
    first = FirstToken(wait)

    mask = torch.ones_like(inputs)
    wait()
    start = time.perf_counter()
    with torch.inference_mode():
        model.generate(
            input_ids=inputs,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=0,
            stopping_criteria=[first],
        )
    wait()
    end = time.perf_counter()
    if first.tokens != new_tokens:
        raise MeasureError(
            f"the model made {first.tokens:,} new tokens where {new_tokens:,} were asked for: no speed of it",
            "--set measuring.throughput=false measures the rest",
        )
    return first.at - start, end - first.at


Run = Callable[[], tuple[float, ...]]


def repeat(run: Run, settings: ThroughputSettings, between: Between) -> list[tuple[float, ...]]:
    """What each counted run took, in seconds of its parts."""
    for _ in range(settings.warmup):
        run()
    between()
    runs: list[tuple[float, ...]] = []
    while len(runs) < settings.repeats or sum(map(sum, runs)) < settings.min_seconds:
        runs.append(run())
        between()
    return runs


def timed(work: Callable[[], None], wait: Callable[[], None]) -> float:
    """Seconds of one call, the devices' queues emptied before and after."""
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def synchronizer(model: Any) -> Callable[[], None]:
    """What waits until the devices that hold the model have done their work; a CPU has always done it."""
    import torch

    devices = {parameter.device for parameter in model.parameters()}
    gpus = [device for device in devices if device.type == "cuda"]

    def wait() -> None:
        for gpu in gpus:
            torch.cuda.synchronize(gpu)
        if any(device.type == "mps" for device in devices):
            torch.mps.synchronize()

    return wait


def rate(amount: int, seconds: list[float], unit: str) -> Rate:
    """`amount` over the seconds of each run: median, quartiles and latencies.

    Noisy where the quartiles are more than 10 % of the median apart.
    """
    values = [amount / max(taken, SHORTEST) for taken in seconds]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    p50, p95 = latencies(seconds)
    return Rate(
        median=median,
        low=low,
        high=high,
        unit=unit,
        repeats=len(values),
        noisy=(high - low) > NOISY * median,
        p50_seconds=p50,
        p95_seconds=p95,
    )


def latencies(seconds: list[float]) -> tuple[float, float]:
    """The 50th and the 95th percentile, by linear interpolation between the two nearest runs."""
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return cuts[9], cuts[18]
