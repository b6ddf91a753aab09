"""Throughput with a clock that the test holds."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from hubkit.errors import MeasureError
from hubkit.measures import throughput
from hubkit.settings import ThroughputSettings

VOCABULARY = 50


class Clock:
    """Time passes only when the model works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    held = Clock()
    monkeypatch.setattr(time, "perf_counter", held)
    return held


class Model:
    """A forward pass takes `forward` seconds; generation `prefill`, and `each` per token after the first."""

    device = torch.device("cpu")

    def __init__(self, clock: Clock, forward: float = 0.0, prefill: float = 0.0, each: float = 0.0) -> None:
        self.clock, self.forward, self.prefill, self.each = clock, forward, prefill, each
        self.calls: list[Any] = []

    def __call__(self, input_ids: Any) -> None:
        self.calls.append(input_ids)
        self.clock.now += self.forward

    def generate(self, input_ids: Any, max_new_tokens: int, min_new_tokens: int, **rest: Any) -> None:
        assert max_new_tokens == min_new_tokens
        assert rest["do_sample"] is False
        self.calls.append(max_new_tokens)
        self.clock.now += self.prefill + self.each * (max_new_tokens - 1)


def settings(**given: Any) -> ThroughputSettings:
    return ThroughputSettings(**{"warmup": 2, "repeats": 5, "min_seconds": 0.0, **given})


def test_an_encoder_is_timed_per_forward_pass(clock: Clock) -> None:
    model = Model(clock, forward=0.5)
    samples, tokens = throughput.encoder_rates(model, VOCABULARY, settings(batch_size=4, sequence_length=16))
    assert len(model.calls) == 2 + 5
    assert all(torch.equal(ids, model.calls[0]) and ids.shape == (4, 16) for ids in model.calls)
    assert (samples.median, samples.unit, samples.repeats) == (8.0, "samples/s", 5)
    assert (tokens.median, tokens.unit, tokens.noisy) == (128.0, "tokens/s", False)


def test_runs_go_on_until_the_time_is_filled(clock: Clock) -> None:
    model = Model(clock, forward=0.5)
    samples, _ = throughput.encoder_rates(model, VOCABULARY, settings(min_seconds=6.0))
    assert samples.repeats == 12
    assert len(model.calls) == 2 + 12


def test_decoding_is_what_comes_after_the_first_token(clock: Clock) -> None:
    model = Model(clock, prefill=2.0, each=0.25)
    prefill, decode = throughput.generation_rates(
        model, VOCABULARY, settings(batch_size=3, sequence_length=10, new_tokens=9)
    )
    assert model.calls == [1, 9] * (2 + 5)
    assert prefill.median == pytest.approx(3 * 10 / 2.0)
    assert decode.median == pytest.approx(3 * 8 / (0.25 * 8))
    assert (prefill.repeats, decode.repeats) == (5, 5)


def test_decoding_too_short_to_time_is_an_error(clock: Clock) -> None:
    with pytest.raises(MeasureError, match="too few to time") as caught:
        throughput.generation_rates(Model(clock, prefill=1.0), VOCABULARY, settings(new_tokens=2))
    assert "new_tokens" in (caught.value.hint or "")


def test_one_slow_run_among_many_does_not_matter(clock: Clock) -> None:
    model = Model(clock, prefill=1.0, each=0.5)
    plain = model.generate

    def with_a_hiccup(input_ids: Any, max_new_tokens: int, **rest: Any) -> None:
        plain(input_ids, max_new_tokens, **rest)
        if len(model.calls) == 7:  # the first new token of a counted run
            clock.now += 60

    model.generate = with_a_hiccup  # type: ignore[method-assign]
    _, decode = throughput.generation_rates(model, VOCABULARY, settings(new_tokens=5))
    assert decode.median == decode.high == pytest.approx(2.0)


def test_a_wide_spread_is_called_noisy() -> None:
    assert not throughput.rate([100, 101, 102, 103, 104], "tokens/s").noisy
    wide = throughput.rate([80, 90, 100, 110, 120], "tokens/s")
    assert (wide.low, wide.median, wide.high, wide.noisy) == (90, 100, 110, True)


def test_token_ids_are_the_same_each_time(clock: Clock) -> None:
    model = Model(clock)
    one, other = (throughput.random_ids(model, VOCABULARY, settings()) for _ in range(2))
    assert torch.equal(one, other)
    assert int(one.max()) < VOCABULARY


def test_time_is_taken_around_the_work(clock: Clock) -> None:
    def work() -> None:
        clock.now += 3.5

    assert throughput.timed(work, None) == 3.5
