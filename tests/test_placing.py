"""Bases in 8 bits, and bases that are spread over memory and disk: counts are the same."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from card_cases import TRAINING

from hubkit import adapter, methods, processes, record, runs, stages, tasks, to_measure
from hubkit.errors import BaseModelError, SettingsError
from hubkit.measures import kernels, memory, merging
from hubkit.measures import run as measuring
from hubkit.models import counting, loading, placing
from hubkit.record import Measures, Record
from hubkit.settings import Base, from_plain

CAUSAL = tasks.get("causal-lm")
PART = {"device_map": "auto", "max_memory": {"cpu": "250KB"}}  # of the tiny base's 380 KB


@pytest.fixture(scope="module")
def trained(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter without a record, and the text beside it."""
    directory = tmp_path_factory.mktemp("placing")
    run = tiny.run("causal-lm", tiny_llama, directory, training__max_steps=2)
    made = stages.train(run, tiny.quiet)
    (made / record.RECORD_NAME).unlink()
    return made


@pytest.fixture(scope="module")
def measured(trained: Path, tiny_llama: Path) -> Callable[..., Record]:
    """Measures of the adapter with settings for its base, taken anew."""

    def measure(say: Callable[[str], None] = tiny.quiet, **base: Any) -> Record:
        plain = {
            "base_model": {"id": tiny.LLAMA_ID, "path": str(tiny_llama), **base},
            "task": "causal-lm",
            "adapter": str(trained),
            "dataset": {"eval_files": [str(trained.parent.parent / "text.txt")], "name": "made-up English"},
            "measuring": {"throughput": False, "context": 64, "max_eval_documents": 8, "resamples": 0},
            "training": {"threads": 1},
        }
        (trained / record.RECORD_NAME).unlink(missing_ok=True)
        stages.measure(runs.prepare(*from_plain(plain)), say)
        return record.read(trained)

    return measure


@pytest.fixture(scope="module")
def whole(measured: Callable[..., Record]) -> Measures:
    """Measures on the base in float32, in memory."""
    return numbers(measured())


def numbers(found: Record) -> Measures:
    assert found.measures.perplexity
    assert found.measures.parameters
    return found.measures


def test_a_base_spread_over_memory_and_disk_gives_the_same_numbers(
    measured: Callable[..., Record], whole: Measures
) -> None:
    said: list[str] = []
    spread = numbers(measured(said.append, **PART))
    assert "the base is spread over cpu, disk" in said
    assert spread.parameters == whole.parameters
    for name in ("value", "base_value", "nll_sum", "tokens_scored"):
        assert getattr(spread.perplexity, name) == pytest.approx(getattr(whole.perplexity, name), rel=1e-6)
    assert spread.size
    assert whole.size
    for name in ("base_memory_bytes", "adapter_memory_bytes", "merged_bytes"):
        assert getattr(spread.size, name) == getattr(whole.size, name)


# PEFT writes the adapter's weights to disk after torch has told that it cannot copy them to nowhere
@pytest.mark.filterwarnings("ignore:.*which is a no-op:UserWarning")
def test_weights_on_disk_are_on_the_meta_device_and_counted(tiny_llama: Path, trained: Path) -> None:
    base, found = Base(id=tiny.LLAMA_ID, path=str(tiny_llama), **PART), adapter.read(trained)
    model = loading.load_adapter(loading.load_base(base, CAUSAL, dtype="float32").model, found)
    on_disk = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    assert any("self_attn.k_proj" in name for name in on_disk)
    assert not any("embed_tokens" in name for name in on_disk)
    assert placing.is_offloaded(model)
    plain = loading.load_base(Base(id=tiny.LLAMA_ID, path=str(tiny_llama)), CAUSAL, dtype="float32").model
    assert not placing.is_offloaded(plain)
    assert counting.count(model, found) == counting.count(loading.load_adapter(plain, found), found)


def test_embeddings_that_do_not_fit_are_one_line(tiny_llama: Path) -> None:
    none = {"device_map": "auto", "max_memory": {"cpu": "1KB"}}
    base = Base(id=tiny.LLAMA_ID, path=str(tiny_llama), **none)
    with pytest.raises(BaseModelError, match="the embeddings of tiny-org/tiny-llama do not fit into memory"):
        loading.load_base(base, CAUSAL, dtype="float32")


def test_max_memory_that_nobody_understands_is_one_line(tiny_llama: Path) -> None:
    base = Base(id="a/b", path=str(tiny_llama), device_map="auto", max_memory={"cpu": "much"})
    with pytest.raises(BaseModelError) as caught:
        loading.load_base(base, CAUSAL, dtype="float32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"base_model": {"id": "a/b", "max_memory": {"cpu": "1GB"}}}, "max_memory is for device_map: auto"),
        ({"base_model": {"id": "a/b", "bits": 8}}, "base_model.bits is for an adapter that is loaded"),
        ({"base_model": {"id": "a/b", "bits": 5}, "adapter": "x"}, "bits"),
        ({"base_model": {"id": "a/b", "device_map": "balanced"}}, "device_map"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(settings: dict[str, Any], wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        from_plain({"task": "causal-lm", **settings})


def test_devices_are_numbers_in_yaml() -> None:
    settings, _ = from_plain(
        {"task": "causal-lm", "base_model": {"id": "a/b", "device_map": "auto", "max_memory": {0: "1GB"}}}
    )
    assert placing.options(settings.base, "cpu")["max_memory"] == {0: "1GB"}
    from_flag, _ = from_plain(
        {"task": "causal-lm", "base_model": {"id": "a/b"}},
        ['base_model={id: a/b, device_map: auto, max_memory: {"0": 1GB, cpu: 2GB}}'],
    )
    assert placing.options(from_flag.base, "cpu")["max_memory"] == {0: "1GB", "cpu": "2GB"}


def test_several_processes_do_not_spread_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 2)
    subject: Any = type("Subject", (), {"base": Base(id="a/b", device_map="auto")})
    with pytest.raises(SettingsError, match="lets one process use all devices"):
        measuring._load_base(subject, "float32")


def test_a_base_that_does_not_fit_says_how_it_would() -> None:
    error = loading._unloadable(Base(id="a/b"), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert error.message == "a/b does not fit into memory"
    assert "device_map: auto" in str(error.hint)


def test_a_base_in_8_bits(measured: Callable[..., Record], trained: Path, whole: Measures) -> None:
    config = {"load_in_8bit": True, "load_in_4bit": False, "llm_int8_threshold": 6.0}
    config |= {"_load_in_8bit": True, "quant_method": "bitsandbytes", "bnb_4bit_quant_storage": "uint8"}
    beside = trained / "quantization_config.json"  # as transformers' to_dict gives it
    beside.write_text(json.dumps(config))
    try:
        found = measured()
    finally:
        beside.unlink()
    packed = numbers(found)
    assert found.base_model
    assert found.base_model.quantization
    assert found.base_model.quantization["load_in_8bit"] is True
    assert packed.parameters
    assert whole.parameters
    assert packed.parameters.total == whole.parameters.total
    assert packed.parameters.trainable == whole.parameters.trainable
    linear = 2 * (64 * 64 * 2 + 32 * 64 * 2 + 3 * 128 * 64)  # q, o; k, v; the three of the MLP: two layers
    assert packed.parameters.total_by_dtype["int8"] == linear
    rows = 2 * (64 * 2 + 32 * 2 + 128 * 2 + 64)  # one float32 scale for each
    assert packed.size
    assert whole.size
    assert packed.size.quantization_constants_bytes == 4 * rows
    assert packed.size.base_memory_bytes == whole.size.base_memory_bytes - 3 * linear + 4 * rows
    assert packed.perplexity
    assert whole.perplexity
    assert packed.perplexity.value != whole.perplexity.value
    assert packed.perplexity.value == pytest.approx(whole.perplexity.value, rel=0.05)
    assert packed.perplexity.merged is False


def held(trained: Path, bits: int | None, known: Record) -> dict[str, Any] | None:
    plain = {"base_model": {"id": "a/b", "bits": bits}, "task": "causal-lm", "adapter": str(trained)}
    return to_measure.quantization(runs.prepare(*from_plain(plain)), known)


def test_bits_by_the_setting(trained: Path) -> None:
    assert held(trained, None, Record()) is None
    assert held(trained, 8, Record()) == {"load_in_8bit": True}
    assert held(trained, 4, Record()) == methods.get("qlora").quantization(methods.get("qlora").Parameters())
    with pytest.raises(SettingsError, match="knows how the base was held"):
        held(trained, 8, Record(training=TRAINING))


def test_constants_of_a_plain_weight_are_none() -> None:
    import torch

    assert memory.quantization_bytes(torch.nn.Parameter(torch.ones(2))) == 0


def test_no_private_kernel_and_no_merging_where_weights_are_packed_or_elsewhere(
    tiny_llama: Path, trained: Path
) -> None:
    found, where = adapter.read(trained), {"id": tiny.LLAMA_ID, "path": str(tiny_llama)}
    for base, quantization in ((Base(**where, **PART), None), (Base(**where), {"load_in_8bit": True})):
        loaded = loading.load_base(base, CAUSAL, dtype="float32", quantization=quantization)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # as above
            model = loading.load_adapter(loaded.model, found)
        assert merging.why_not(model)
        known = {id(weight) for weight in kernels.linear_weights(model)}
        packed = [p for p in model.parameters() if p.is_meta or loading.is_packed(p)]
        assert packed
        assert not known & {id(weight) for weight in packed}
    plain = loading.load_base(Base(**where), CAUSAL, dtype="float32").model
    assert merging.why_not(loading.load_adapter(plain, found)) is None
