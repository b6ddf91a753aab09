"""Throughput with a clock that the test holds, and what is timed with real tiny models."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from hubkit import record, runs, tasks
from hubkit.cli.main import run
from hubkit.errors import MeasureError, SettingsError
from hubkit.measures import merging, speed, throughput
from hubkit.measures.subject import Subject
from hubkit.settings import Measuring, ThroughputSettings, from_plain

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
        self.config = transformers.PretrainedConfig(vocab_size=VOCABULARY)
        self.calls: list[Any] = []
        self.makes: int | None = None  # tokens, where not those it is asked for

    def parameters(self) -> list[torch.Tensor]:
        return [torch.zeros(1)]

    def __call__(self, input_ids: Any, attention_mask: Any) -> None:
        assert attention_mask.shape == input_ids.shape
        assert attention_mask.all()
        self.calls.append(input_ids)
        self.clock.now += self.forward

    def generate(self, input_ids: Any, max_new_tokens: int, min_new_tokens: int, **rest: Any) -> None:
        assert max_new_tokens == min_new_tokens
        assert (rest["do_sample"], rest["num_beams"]) == (False, 1)
        self.calls.append(max_new_tokens)
        for token in range(self.makes or max_new_tokens):
            self.clock.now += self.each if token else self.prefill
            for criterion in rest["stopping_criteria"]:
                assert not criterion(input_ids, None).any()


def settings(**given: Any) -> ThroughputSettings:
    return ThroughputSettings(**{"warmup": 2, "repeats": 5, "min_seconds": 0.0, **given})


def test_an_encoder_is_timed_per_forward_pass(clock: Clock) -> None:
    model = Model(clock, forward=0.5)
    samples, tokens = throughput.encoder_rates(model, VOCABULARY, settings(batch_size=4, sequence_length=16))
    assert len(model.calls) == 2 + 5
    assert all(torch.equal(ids, model.calls[0]) and ids.shape == (4, 16) for ids in model.calls)
    assert (samples.median, samples.unit, samples.repeats) == (8.0, "samples/s", 5)
    assert (tokens.median, tokens.unit, tokens.noisy) == (128.0, "tokens/s", False)
    assert (samples.p50_seconds, tokens.p95_seconds) == (0.5, 0.5)


def test_runs_go_on_until_the_time_is_filled(clock: Clock) -> None:
    model = Model(clock, forward=0.5)
    samples, _ = throughput.encoder_rates(model, VOCABULARY, settings(min_seconds=6.0))
    assert samples.repeats == 12
    assert len(model.calls) == 2 + 12


def test_the_defaults_warm_up_three_times_and_run_ten_times_and_five_seconds(clock: Clock) -> None:
    for seconds, counted in ((10.0, 10), (0.25, 20)):
        model = Model(clock, forward=seconds)
        samples, _ = throughput.encoder_rates(model, VOCABULARY, ThroughputSettings())
        assert (samples.repeats, len(model.calls)) == (counted, counted + 3)


def test_decoding_is_what_comes_after_the_first_token(clock: Clock) -> None:
    model = Model(clock, prefill=2.0, each=0.25)
    prefill, decode = throughput.generation_rates(
        model, VOCABULARY, settings(batch_size=3, sequence_length=10, new_tokens=9)
    )
    assert model.calls == [9] * (2 + 5)
    assert prefill.median == pytest.approx(3 * 10 / 2.0)
    assert decode.median == pytest.approx(3 / 0.25)
    assert (prefill.p50_seconds, decode.p50_seconds) == (2.0, 0.25)  # to the first token, and for each after
    assert (prefill.repeats, decode.repeats) == (5, 5)


@pytest.mark.parametrize("made", [1, 8, 10])
def test_a_model_that_makes_another_number_of_tokens_is_refused(clock: Clock, made: int) -> None:
    model = Model(clock, prefill=1.0, each=1.0)
    model.makes = made
    with pytest.raises(MeasureError, match=f"made {made} new tokens where 9 were asked for"):
        throughput.generation_rates(model, VOCABULARY, settings(new_tokens=9))


def test_one_slow_run_is_seen_by_the_95th_percentile_and_not_by_the_median(clock: Clock) -> None:
    model = Model(clock, prefill=1.0, each=0.5)
    plain = model.generate

    def with_a_hiccup(input_ids: Any, **rest: Any) -> None:
        plain(input_ids, **rest)
        if len(model.calls) == 4:  # the second counted run, after its last token
            clock.now += 40

    model.generate = with_a_hiccup  # type: ignore[method-assign,assignment]
    prefill, decode = throughput.generation_rates(model, VOCABULARY, settings(new_tokens=5))
    assert decode.median == decode.high == pytest.approx(2.0)
    assert decode.p95_seconds == pytest.approx(0.5 + 0.8 * 10)
    assert prefill.p95_seconds == 1.0


def test_a_wide_spread_is_called_noisy_and_stands() -> None:
    assert not throughput.rate(100, [100 / v for v in (100, 101, 102, 103, 104)], "tokens/s").noisy
    wide = throughput.rate(1, [1 / v for v in (80, 90, 100, 110, 120)], "tokens/s")
    assert (wide.low, wide.median, wide.high) == pytest.approx((90, 100, 110))
    assert wide.noisy


@given(st.lists(st.floats(1e-6, 1e4), min_size=3, max_size=40))
def test_percentiles_are_linear_interpolations(seconds: list[float]) -> None:
    import numpy

    expected = numpy.percentile(seconds, [50, 95])
    assert throughput.latencies(seconds) == pytest.approx(tuple(expected))


def test_token_ids_are_the_same_each_time_and_none_is_special(clock: Clock) -> None:
    model = Model(clock)
    model.config = transformers.LlavaConfig(
        text_config={"model_type": "llama", "eos_token_id": [7, 8], "bos_token_id": 9}, image_token_index=11
    )
    model.config.id2label = {0: "a"}  # keys that are no words
    asked = settings(batch_size=40, sequence_length=100)
    one, other = (throughput.random_ids(model, VOCABULARY, asked) for _ in range(2))
    assert torch.equal(one, other)
    assert set(one.unique().tolist()) == set(range(VOCABULARY)) - {7, 8, 9, 11}
    model.config = transformers.PretrainedConfig(eos_token_id=0, bos_token_id=1)
    assert set(throughput.random_ids(model, 2, asked).unique().tolist()) == {
        0,
        1,
    }  # none is left: all of them


def test_time_is_taken_around_the_work_after_waiting(clock: Clock) -> None:
    def work() -> None:
        clock.now += 3.5

    def wait() -> None:
        clock.now += 0.25

    assert (
        throughput.timed(work, wait) == 3.75
    )  # what is queued belongs to the work, what was before does not


def test_every_device_that_holds_the_model_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))

    def on(*names: str) -> Any:
        held = [SimpleNamespace(device=torch.device(name)) for name in names]
        return SimpleNamespace(parameters=lambda: held)

    throughput.synchronizer(on("cpu", "cuda:0", "cuda:1", "cuda:1"))()
    assert {str(device) for device in waited} == {"cuda:0", "cuda:1"}
    assert len(waited) == 2
    throughput.synchronizer(on("mps:0"))()
    assert waited[2:] == ["mps"]
    throughput.synchronizer(on("cpu"))()
    assert len(waited) == 3


# real tiny models


def lora(base: Path, **changes: Any) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = {"target_modules": ["q_proj", "v_proj"], "r": 4, "init_lora_weights": False, **changes}
    return peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **config)).eval()


def take(model: Any, task: str = "causal-lm", **given: Any) -> tuple[list[record.Throughput], list[str]]:
    """Everything that is yielded, and said."""
    quick = {"warmup": 0, "repeats": 3, "sequence_length": 6, "new_tokens": 4, **given}
    subject = Subject(
        adapter=SimpleNamespace(sha256=lambda: "a" * 64),  # type: ignore[arg-type]
        base=None,  # type: ignore[arg-type]
        task=tasks.TASKS[task],
        task_parameters=None,
        quantization=None,
        settings=Measuring(speed=settings(**quick)),
        context=8,
    )
    said: list[str] = []
    return list(speed.speed(model, subject, "float32", said.append)), said


def test_an_end_of_text_does_not_end_the_generation(tiny_llama: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        model.lm_head.weight.zero_()  # all ids are equal, and greedy takes the first: the end of text
    ids = torch.tensor([[5, 6, 7], [7, 8, 9]])
    plain = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=9, pad_token_id=0)
    assert plain.shape[1] == 3 + 1
    first, after = throughput.generate(model, ids, 9)  # raises where other than nine come
    assert first > 0
    assert after > 0


def test_the_stock_modules_are_timed_with_the_adapter_attached_and_then_merged(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ids = lora(tiny_llama), torch.arange(5, 13)[None]
    with torch.inference_mode():
        before = model(input_ids=ids).logits
    seen: list[tuple[bool, torch.Tensor]] = []
    stock = throughput.generate

    def spied(timed: Any, inputs: Any, new_tokens: int) -> tuple[float, float]:
        for name, module in timed.named_modules():
            assert "forward" not in vars(module), name
            home = type(module).forward.__module__.partition(".")[0]
            assert home in ("torch", "transformers", "peft"), (name, home)
        layered = any("lora_A" in name for name, _ in timed.named_parameters())
        assert layered == hasattr(timed, "peft_config")  # merged: the base itself, not PEFT's shell of it
        with torch.inference_mode():
            seen.append((layered, timed(input_ids=ids).logits))
        return stock(timed, inputs, new_tokens)

    monkeypatch.setattr(throughput, "generate", spied)
    found, _ = take(model)
    assert [layered for layered, _ in seen] == [True] * 3 + [False] * 3
    assert all(torch.allclose(logits, before, rtol=1e-4, atol=1e-5) for _, logits in seen)
    assert [timed.merged is None for timed in found] == [True, False]
    last = found[-1].merged
    assert last is not None
    assert last.prefill
    assert last.decode
    assert (last.batch_size, last.samples) == (1, None)
    assert found[-1].prefill == found[0].prefill


@pytest.mark.filterwarnings("ignore:Position ids are not supported")
def test_what_cannot_be_merged_is_left_out_and_said(tiny_llama: Path) -> None:
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama)
    prompt = peft.get_peft_model(
        base, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    ).eval()
    found, said = take(prompt)
    assert [timed.merged for timed in found] == [None]
    assert said == [
        "throughput of the merged model left out: adapters of the kind PROMPT_TUNING cannot be merged"
    ]
    found, said = take(lora(tiny_llama), merged=False)
    assert ([timed.merged for timed in found], said) == ([None], [])


def test_a_quantised_base_is_not_merged(tiny_llama: Path) -> None:
    model = lora(tiny_llama)
    assert merging.why_not(model) is None
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.uint8), requires_grad=False)
    with pytest.raises(MeasureError, match="quantised"):
        merging.merged(model)
    assert any("lora_A" in name for name, _ in model.named_parameters())  # nothing was touched


@pytest.mark.filterwarnings("ignore:.*lora_bias=True.*")
def test_an_adapter_with_numbers_that_are_none_is_not_merged(tiny_llama: Path) -> None:
    model = lora(tiny_llama)
    with torch.no_grad():
        next(p for name, p in model.named_parameters() if "lora_B" in name).fill_(float("nan"))
    with pytest.raises(MeasureError, match="cannot be merged"):
        merging.merged(model)
    biased = lora(tiny_llama, lora_bias=True)  # to go where the base has no bias
    with pytest.raises(MeasureError, match="cannot be merged"):
        merging.merged(biased)


def test_an_encoder_is_swept_and_merged_too(tiny_bert: Path) -> None:
    base = transformers.AutoModelForMaskedLM.from_pretrained(tiny_bert)
    model = peft.get_peft_model(base, peft.LoraConfig(target_modules=["query", "value"])).eval()
    found, said = take(model, "masked-lm", batch_sizes=[4, 2, 1, 4])
    last = found[-1]
    assert (last.prefill, last.decode, last.new_tokens) == (None, None, None)
    assert [rates.batch_size for rates in last.sweep] == [2, 4]  # 1 is the one that was measured first
    assert (last.out_of_memory_at, last.out_of_memory_foretold) == (None, False)
    for rates in (*last.sweep, last.merged):
        assert rates is not None
        assert rates.samples is not None
        assert rates.tokens is not None
        assert rates.tokens.median == pytest.approx(6 * rates.samples.median)
        assert rates.peak_memory_bytes
    assert "the largest of these batch sizes that fits: 4" in said


def test_an_encoder_decoder_is_refused_in_words() -> None:
    config = transformers.BartConfig(
        vocab_size=VOCABULARY, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
    )  # fmt: skip
    found, said = take(transformers.BartForConditionalGeneration(config), "masked-lm")
    assert found == []
    assert len(said) == 1
    assert "encoder-decoder" in said[0]


def test_a_batch_that_does_not_fit_is_told_with_what_to_lower(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(throughput, "forward", full)
    model = transformers.AutoModelForMaskedLM.from_pretrained(tiny_bert)
    with pytest.raises(MeasureError, match="batch 16") as caught:
        take(model, "masked-lm", batch_size=16)
    assert "measuring.speed.batch_size" in (caught.value.hint or "")


@pytest.mark.parametrize("wrong", ["[0]", "[-1, 2]", "[1.5]", "eight", "[one]"])
def test_batch_sizes_that_are_none_are_refused(wrong: str) -> None:
    plain = {"base_model": "org/base", "task": "causal-lm"}
    with pytest.raises(SettingsError, match="batch_sizes"):
        from_plain(plain, [f"measuring.speed.batch_sizes={wrong}"])


def test_the_batch_sizes_of_the_command_line_are_settings() -> None:
    told = runs.Told(batch_sizes=(1, 8, 32))
    assert runs.overrides_of(told) == ["measuring.speed.batch_sizes=[1, 8, 32]"]


@pytest.mark.parametrize("wrong", ["0", "8,x", "1,,2", "-3", "1.5", "9" * 12, "٣"])
def test_a_bad_list_of_batch_sizes_is_told_in_a_line(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["measure", "--adapter", ".", "--batch-sizes", wrong]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "no batch size; give whole numbers above zero: 1,8,32" in said[0]
