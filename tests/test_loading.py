"""Loading a base: whole, in 4 bits without damage, or with one line that says why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from bitsandbytes.nn import Linear4bit

from hubkit import adapter, extras, methods, stages, tasks
from hubkit.errors import AdapterError, BaseModelError
from hubkit.models import loading
from hubkit.settings import Base

NF4 = methods.get("qlora").quantization(methods.get("qlora").Parameters())
CAUSAL, MASKED = tasks.get("causal-lm"), tasks.get("masked-lm")
IDS = torch.arange(5, 21).unsqueeze(0)


def packed(tiny_llama: Path, *, guarded: bool = True) -> Any:
    """A tiny Llama in 4 bits with an adapter in training."""
    from peft import LoraConfig, get_peft_model

    base = Base(id=tiny.LLAMA_ID, path=str(tiny_llama))
    model = loading.load_base(base, CAUSAL, dtype="float32", quantization=NF4).model
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    for module in adapted.modules():
        if isinstance(module, Linear4bit) and not guarded:
            module.support_avx512bf16_for_cpu = True
    return adapted


def gradients(model: Any) -> dict[str, Any]:
    model.train()
    model.zero_grad()
    model(input_ids=IDS, labels=IDS).loss.backward()
    return {
        n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters() if p.requires_grad
    }


def evaluate(model: Any) -> None:
    model.eval()
    with torch.no_grad():
        model(input_ids=IDS)


def test_evaluating_does_not_change_4bit_training(tiny_llama: Path) -> None:
    never, once = packed(tiny_llama), packed(tiny_llama)
    gradients(once)
    evaluate(once)
    expected, found = gradients(never), gradients(once)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        assert gradient is not None
        torch.testing.assert_close(found[name], gradient, atol=0, rtol=0)


@pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16", False), reason="only CPUs with avx512_bf16 repack"
)
def test_without_the_guard_it_would(tiny_llama: Path) -> None:
    guarded, bare = packed(tiny_llama), packed(tiny_llama, guarded=False)
    for model in (guarded, bare):
        evaluate(model)
    repacked = [
        [bool(getattr(m.weight.quant_state, "packing_format_for_cpu", False)) for m in model.modules()
         if isinstance(m, Linear4bit)]
        for model in (guarded, bare)
    ]  # fmt: skip
    assert not any(repacked[0])
    assert all(repacked[1])


def test_the_guard_reaches_every_4bit_module(tiny_llama: Path, tiny_bert: Path, tmp_path: Path) -> None:
    run = tiny.run("masked-lm", tiny_bert, tmp_path, method={"name": "qlora"}, training__max_steps=1)
    found = adapter.read(stages.train(run, tiny.quiet))
    base = loading.load_base(run.settings.base, MASKED, dtype="float32", quantization=NF4).model
    for model in (packed(tiny_llama), loading.load_adapter(base, found)):
        flags = [m.support_avx512bf16_for_cpu for m in model.modules() if isinstance(m, Linear4bit)]
        assert flags
        assert not any(flags)


@pytest.mark.parametrize("quantization", [None, NF4])
def test_the_facts_cite_the_id_and_never_the_path(tiny_llama: Path, quantization: Any) -> None:
    base = Base(id=tiny.LLAMA_ID, path=str(tiny_llama), note="made by a test")
    loaded = loading.load_base(base, CAUSAL, dtype="float32", quantization=quantization)
    facts = loaded.facts
    assert (facts.id, facts.source, facts.architecture, facts.model_type, facts.dtype, facts.note) == (
        tiny.LLAMA_ID,
        "local",
        "LlamaForCausalLM",
        "llama",
        "float32",
        "made by a test",
    )
    assert facts.weights_bytes == (tiny_llama / "model.safetensors").stat().st_size
    assert facts.quantization == quantization
    assert not facts.head_newly_initialized
    assert loaded.model.config.name_or_path == tiny.LLAMA_ID
    assert not loaded.model.training


def test_the_facts_say_whether_code_of_the_repo_was_allowed(tiny_llama: Path) -> None:
    for trust in (True, False):
        base = Base(id=tiny.LLAMA_ID, path=str(tiny_llama), trust_remote_code=trust)
        assert loading.load_base(base, CAUSAL, dtype="float32").facts.trust_remote_code is trust


def test_a_random_head_is_found(tiny_bert: Path, tmp_path: Path) -> None:
    headless = tiny.bert(tmp_path / "headless", head=False)
    loaded = loading.load_base(Base(id="a/b", path=str(headless)), MASKED, dtype="float32")
    assert loaded.new_modules == {"cls.predictions.transform.dense"}
    assert loaded.facts.head_newly_initialized
    whole = loading.load_base(Base(id="a/b", path=str(tiny_bert)), MASKED, dtype="float32")
    assert whole.new_modules == set()


def test_modules_that_are_saved_whole_stay_out_of_4_bits(tiny_bert: Path) -> None:
    base = Base(id="a/b", path=str(tiny_bert))
    loaded = loading.load_base(base, MASKED, dtype="float32", quantization=NF4, keep=["transform"])
    four_bit = {n for n, p in loaded.model.named_parameters() if getattr(p, "quant_state", None) is not None}
    assert any("query" in name for name in four_bit)
    assert not any("transform" in name or "decoder" in name for name in four_bit)
    assert loaded.facts.quantization is not None
    assert loaded.facts.quantization["llm_int8_skip_modules"] == [
        "cls.predictions.decoder",
        "cls.predictions.transform",
    ]


def broken(what: str, source: Path, directory: Path) -> Base:
    """A base that cannot be loaded."""
    path = directory / "base"
    if what == "missing":
        return Base(id="a/b", path=str(path))
    if what == "cited":
        return Base(id=str(source))
    shutil.copytree(source, path)
    if what == "no config":
        (path / "config.json").unlink()
    elif what == "not JSON":
        (path / "config.json").write_text("{")
    elif what == "unknown family":
        (path / "config.json").write_text(json.dumps({"model_type": "no-such-family"}))
    elif what == "no weights":
        (path / "model.safetensors").unlink()
    elif what == "truncated":
        weights = (path / "model.safetensors").read_bytes()
        (path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    elif what == "other shapes":
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, "hidden_size": 128}))
    elif what == "no tokenizer":
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (path / name).unlink()
    return Base(id="a/b", path=str(path))


BROKEN = (
    "missing,cited,no config,not JSON,unknown family,no weights,truncated,other shapes,no tokenizer".split(
        ","
    )
)


@pytest.mark.parametrize("what", BROKEN)
def test_a_base_that_cannot_be_loaded_is_one_line(what: str, tiny_llama: Path, tmp_path: Path) -> None:
    extras.require_train()
    base = broken(what, tiny_llama, tmp_path)
    with pytest.raises(BaseModelError) as caught:
        loading.load_base(base, CAUSAL, dtype="float32")
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_base_of_another_kind_is_one_line(tiny_llama: Path) -> None:
    with pytest.raises(BaseModelError) as caught:
        loading.load_base(Base(id="a/b", path=str(tiny_llama)), MASKED, dtype="float32")
    assert "\n" not in str(caught.value)


def test_an_unknown_id_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def unknown(source: str, **options: Any) -> Any:
        raise OSError(
            f"{source} is not a local folder and is not a valid model identifier listed on 'https://hf.co'\nMore"
        )

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", unknown)
    with pytest.raises(
        BaseModelError, match="cannot load base model org/none: it is not on the Hub"
    ) as caught:
        loading.load_base(Base(id="org/none"), CAUSAL, dtype="float32")
    assert "\n" not in str(caught.value)


@pytest.mark.real
def test_an_adapter_of_another_base_is_one_line(tiny_llama: Path, tiny_bert: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1)
    found = adapter.read(stages.train(run, tiny.quiet))
    base = loading.load_base(Base(id="a/b", path=str(tiny_bert)), MASKED, dtype="float32").model
    with pytest.raises(AdapterError, match="does not fit the base model") as caught:
        loading.load_adapter(base, found)
    assert "\n" not in str(caught.value)


@pytest.mark.real
def test_an_adapter_of_another_size_is_one_line(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1)
    directory = stages.train(run, tiny.quiet)
    config = json.loads((directory / adapter.CONFIG_NAME).read_text())
    (directory / adapter.CONFIG_NAME).write_text(json.dumps({**config, "r": 2}))
    base = loading.load_base(run.settings.base, CAUSAL, dtype="float32").model
    with pytest.raises(AdapterError, match="does not fit the base model") as caught:
        loading.load_adapter(base, adapter.read(directory))
    assert "\n" not in str(caught.value)


def test_auto_precision_is_what_the_machine_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(loading, "native_bfloat16", lambda where, native=native: native)
        assert loading.resolve_precision("auto", "cpu") == expected
    assert loading.resolve_precision("float16", "cpu") == "float16"


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
@pytest.mark.parametrize("whole", [["embed_tokens", "lm_head"], ["embed_tokens"], None])
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_embeddings_that_were_resized_load_as_peft_saves_them(
    tiny_llama: Path, tmp_path: Path, whole: list[str] | None
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    ids = torch.arange(300, 323).unsqueeze(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    model.resize_token_embeddings(323, mean_resizing=False)
    config = LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=whole, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config).eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    adapted.save_pretrained(tmp_path)  # with the embeddings once more, inside PEFT's wrappers
    again = loading.load_adapter(AutoModelForCausalLM.from_pretrained(tiny_llama), adapter.read(tmp_path))
    torch.testing.assert_close(again(input_ids=ids).logits, adapted(input_ids=ids).logits)
