"""Faster kernels give the plain result, for every kind of layer around them, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from peft import HiraConfig, LoraConfig, get_peft_model
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, GPT2Config, GPT2LMHeadModel

from hubkit.measures import kernels, scoring
from hubkit.measures.kernels import Kernels, attention_by_blocks, fits_blocks, linear_weights
from hubkit.measures.windows import Window

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
BOTH = frozenset({True, False})


@pytest.fixture(autouse=True)
def any_gain_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen must not hang on how fast a shared machine is just now."""
    monkeypatch.setattr(kernels, "GAIN", 1e9)
    monkeypatch.setattr(kernels, "TRIED", {True: (1, 2, 70, 8), False: (1, 2, 70, 8)})


def windows(count: int, length: int, vocabulary: int, given: int = 0) -> list[Window]:
    """Windows of random tokens, each of a document of its own; of the last, half the length."""
    draw = numpy.random.default_rng(0)
    made = []
    for number in range(count):
        tokens = length if number < count - 1 else length // 2
        ids = draw.integers(0, vocabulary, (2, tokens)).astype(numpy.int32)
        made.append(Window(ids[0], ids[1], numpy.full(tokens, number, numpy.int32), given))
    return made


def lora(**options: Any) -> Any:
    return LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **options)


ADAPTERS = {
    "none": None,
    "lora": lora(),
    "dora": lora(use_dora=True),
    "hira": HiraConfig(r=4, target_modules=["q_proj", "v_proj"], init_weights=False),
    "modules_to_save": lora(modules_to_save=["lm_head"]),
    "bias": lora(bias="lora_only"),
    "new tokens": lora(trainable_token_indices=[1, 2]),
}


def plain_loss(model: Any, made: list[Window]) -> list[float]:
    """The loss of each window by the model's own logits, in torch's own way."""
    sums = []
    for window in made:
        logits = model(input_ids=torch.from_numpy(window.inputs).long()[None]).logits[0].float()
        targets = torch.from_numpy(window.targets).long()
        sums.append(float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum")))
    return sums


def held_to_plain(model: Any, made: list[Window], tolerance: float = 1e-6) -> scoring.Score:
    model.eval()
    with torch.inference_mode():
        expected = plain_loss(model, made)
    found = scoring.score(model, made, 3, len(made))
    assert found.nll_by_document == pytest.approx(expected, rel=tolerance)
    return found


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_score_is_that_of_the_plain_way(kind: str, tiny_llama: Path) -> None:
    tied = kind != "modules_to_save"
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32, tie_word_embeddings=tied)
    if ADAPTERS[kind] is not None:
        model = get_peft_model(model, ADAPTERS[kind])
    found = held_to_plain(model, windows(3, 100, model.config.vocab_size, given=10))
    assert found.kernels == ("attention in blocks, oneDNN" if HAS_ONEDNN else "attention in blocks")
    plain = scoring.score(model, windows(3, 100, model.config.vocab_size, 10), 3, 4, "plain")
    assert plain.kernels is None
    assert plain.nll == pytest.approx(found.nll, rel=1e-6)


def test_the_score_of_a_masked_model_is_that_of_the_plain_way(tiny_bert: Path) -> None:
    model = AutoModelForMaskedLM.from_pretrained(tiny_bert, dtype=torch.float32)
    assert held_to_plain(model, windows(3, 100, model.config.vocab_size, given=70)).kernels


def test_layers_that_are_not_linear_go_on_as_they_are() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=90, n_positions=128, n_embd=32, n_layer=2, n_head=2))
    assert held_to_plain(model, windows(3, 100, 90)).kernels  # of attention and the head, at least


def test_sixteen_bits_are_near_the_plain_way(tiny_llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16)
    assert held_to_plain(model, windows(3, 100, model.config.vocab_size), 5e-3).kernels


def test_four_bit_weights_are_left_to_their_own_kernels(tiny_llama: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    from hubkit.models.loading import guard_4bit

    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    model = AutoModelForCausalLM.from_pretrained(
        tiny_llama, dtype=torch.float32, quantization_config=four, device_map={"": "cpu"}
    )
    guard_4bit(model)
    # the head, which is not in 4 bits, and the adapter's own layers
    assert {weight.dtype for weight in linear_weights(get_peft_model(model, lora()))} == {torch.float32}
    held_to_plain(model, windows(3, 60, model.config.vocab_size))


def test_everything_is_stock_after_scoring(tiny_llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(5, 64)
    plain = linear(x, model.model.layers[0].self_attn.q_proj.weight)
    assert model.config.use_cache
    scoring.score(model, windows(3, 60, model.config.vocab_size), 2, 3)
    assert model.config.use_cache
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any("forward" in vars(module) or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(linear(x, model.model.layers[0].self_attn.q_proj.weight), plain)


@pytest.mark.skipif(not HAS_ONEDNN, reason="this torch has no such operators")
def test_a_weight_that_was_changed_is_laid_out_again() -> None:
    layer = torch.nn.Linear(64, 32)
    with torch.inference_mode(), Kernels([layer.weight], True, frozenset()) as faster:
        x = torch.randn(40, 64)
        layer(x)
        assert len(faster._packed) == 1
        with torch.inference_mode(False), torch.no_grad():
            layer.weight.mul_(2)
        expected = x @ layer.weight.T + layer.bias
        assert torch.allclose(layer(x), expected, atol=1e-5)


def test_weights_beyond_the_room_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    if not HAS_ONEDNN:
        pytest.skip("this torch has no such operators")
    layers = [torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)]
    monkeypatch.setattr(kernels, "COPIES", 64 * 64 * 4)
    faster = Kernels([layer.weight for layer in layers], True, frozenset())
    x = torch.randn(40, 64)
    with torch.inference_mode():
        expected = layers[1](layers[0](x))
        with faster:
            found = layers[1](layers[0](x))
    assert len(faster._packed) == 1
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_kernel_that_is_wrong_missing_or_slow_is_not_used(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    right, blocks = kernels.onednn, kernels.attention_by_blocks

    def chosen(name: str, other: Any) -> tuple[bool, bool]:
        monkeypatch.setattr(kernels, name, other)
        found = kernels.choose(model)
        return (found.linear_layers, bool(found.attention)) if found else (False, False)

    def gone(*_: Any) -> Any:
        raise RuntimeError("no such operator")

    assert chosen("onednn", lambda *args: right(*args) * 1.001)[0] is False
    assert chosen("onednn", gone)[0] is False
    monkeypatch.setattr(kernels, "onednn", right)
    assert chosen("attention_by_blocks", lambda *args, **how: blocks(*args, **how) * 1.001)[1] is False
    assert chosen("attention_by_blocks", blocks) == (HAS_ONEDNN, True)
    assert chosen("GAIN", 1e-9) == (False, False)
    assert kernels.choose(model) is None


def test_a_kernel_that_is_wrong_in_the_model_alone_is_not_used(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    made = windows(2, 60, model.config.vocab_size)
    wrong = Kernels(linear_weights(model), True, BOTH)
    monkeypatch.setattr(Kernels, "_linear", lambda self, x, weight, bias=None: linear(x, weight) * 1.01)
    monkeypatch.setattr(kernels, "choose", lambda *_: wrong)
    assert held_to_plain(model, made).kernels is None


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("shared", [1, 3])
def test_attention_in_blocks_is_attention(causal: bool, shared: bool) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, heads, 150, 16) for heads in (3 * shared, 3, 3))
    how: dict[str, Any] = {"is_causal": causal, "enable_gqa": shared > 1, "scale": 0.3}
    assert fits_blocks(BOTH, q, k, v, **how)
    expected = scaled_dot_product_attention(q, k, v, **how)
    assert torch.allclose(attention_by_blocks(q, k, v, **how), expected, atol=1e-5)


def test_attention_of_another_kind_is_left_to_torch() -> None:
    q = torch.randn(1, 2, 8, 4)
    assert fits_blocks(BOTH, q, q, q)
    assert not fits_blocks(BOTH, q, q, q, torch.ones(8, 8, dtype=torch.bool))
    assert not fits_blocks(BOTH, q, q, q, dropout_p=0.1)
    assert not fits_blocks(BOTH, q[:, :, :3], q, q, is_causal=True)
    assert not fits_blocks(BOTH, q.double(), q.double(), q.double())
    assert not fits_blocks(frozenset({True}), q, q, q)
    assert not fits_blocks(BOTH, q, q[:, :1], q[:, :1])  # shared keys without being told


def test_what_is_no_number_stays_none(tiny_llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    with torch.no_grad():
        model.model.norm.weight[3] = torch.nan
    found = scoring.score(model, windows(2, 60, model.config.vocab_size), 2, 2)
    assert not numpy.isfinite(found.nll)


def test_weights_that_tell_no_version_are_left_to_torch() -> None:
    with torch.inference_mode():
        model = torch.nn.Sequential(torch.nn.Linear(8, 8))
    assert linear_weights(model) == []
    assert len(linear_weights(torch.nn.Sequential(torch.nn.Linear(8, 8)))) == 1
