"""Each method computes what its paper says: against a direct computation, layer by layer."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from methods_at_work import begin, stock
from peft.utils.integrations import dequantize_bnb_weight

from hubkit import adapter
from hubkit.errors import SettingsError, TrainingError
from hubkit.settings import from_plain
from hubkit.training import starts

PATTERNS = {"rank_pattern": {"v_proj": 2, "layers.1.self_attn.q_proj": 6}}
ALPHAS = {"alpha_pattern": {"layers.0.self_attn.q_proj": 3}}
VARIANTS: dict[str, dict[str, Any]] = {
    "lora": {"name": "lora", "alpha": 12},
    "patterns": {"name": "lora", **PATTERNS, **ALPHAS},
    "rslora": {"name": "lora", "rslora": True, **PATTERNS},
    "dora": {"name": "lora", "dora": True},
    "gaussian": {"name": "lora", "init": "gaussian"},
    "pissa": {"name": "lora", "init": "pissa", **PATTERNS, **ALPHAS},
    "pissa, rslora": {"name": "lora", "init": "pissa_niter_4", "rslora": True, **PATTERNS, **ALPHAS},
    "olora, dora": {"name": "lora", "init": "olora", "dora": True},
    "nf4": {"name": "qlora"},
    "fp4, dora": {"name": "qlora", "quant_type": "fp4", "double_quant": False, "dora": True},
    "loftq": {"name": "qlora", "init": "loftq", "rslora": True},
    "hira": {"name": "hira"},
    "hira, nf4": {"name": "hira", "bits": 4},
}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


def held(layer: Any) -> torch.Tensor:
    """The weight that a layer computes with: of 4 bits, what they stand for."""
    weight = layer.get_base_layer().weight
    state = getattr(weight, "quant_state", None)
    return (dequantize_bnb_weight(weight, state=state) if state is not None else weight).float()


def product(layer: Any) -> torch.Tensor:
    """B A of a LoRA layer."""
    return (layer.lora_B["default"].weight @ layer.lora_A["default"].weight).detach()


def expected(name: str, layer: Any, method: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    """What the paper of the method has for one linear layer without a bias."""
    rank = next((r for key, r in method.get("rank_pattern", {}).items() if name.endswith(key)), 4)
    weight = held(layer)
    if method["name"] == "hira":
        assert layer.hira_A["default"].shape == (rank, x.shape[-1])
        return x @ (weight + weight * (layer.hira_B["default"] @ layer.hira_A["default"])).T
    alpha = method.get("alpha", 16)
    alpha = next((a for key, a in method.get("alpha_pattern", {}).items() if name.endswith(key)), alpha)
    scale = alpha / math.sqrt(rank) if method.get("rslora") else alpha / rank
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.shape == (rank, x.shape[-1])
    whole = weight + scale * b @ a
    if method.get("dora"):
        magnitude = layer.lora_magnitude_vector["default"].weight
        whole = magnitude.unsqueeze(1) * whole / whole.norm(dim=1, keepdim=True)
    return x @ whole.T


def test_the_forward_pass_is_that_of_the_paper(
    tiny_llama: Path, tmp_path: Path, variant: dict[str, Any]
) -> None:
    begun = begin(tiny_llama, tmp_path, **variant)
    begun.train()
    begun.model.eval()
    x = torch.randn(3, 64)
    four_bits = begun.job.method.quantization(begun.job.method_parameters)
    off = (
        {"atol": 0.1, "rtol": 0.02} if four_bits else {"atol": 1e-4, "rtol": 1e-4}
    )  # they compute in bfloat16
    with torch.no_grad():
        for name, layer in begun.layers().items():
            torch.testing.assert_close(layer(x), expected(name, layer, variant, x), **off)
    assert len(begun.layers()) == 4


def test_stock_peft_computes_the_same_on_the_published_base(
    tiny_llama: Path, tmp_path: Path, variant: dict[str, Any]
) -> None:
    begun = begin(tiny_llama, tmp_path, **variant)
    begun.train()
    saved = begun.save(tmp_path / "adapter")
    logits = begun.logits()
    four_bits = begun.job.method.quantization(begun.job.method_parameters)
    torch.testing.assert_close(stock(tiny_llama, saved, four_bits), logits, atol=2e-4, rtol=1e-4)
    with begun.model.disable_adapter():
        assert not torch.allclose(begun.logits(), logits, atol=0.05)
    twice = str(variant.get("init", "")).startswith(("pissa", "olora"))
    assert adapter.read(saved).config["r"] == (8 if twice else 4)


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_8", "olora"])
def test_a_part_of_the_weight_moves_into_the_adapter(tiny_llama: Path, tmp_path: Path, init: str) -> None:
    untouched = begin(tiny_llama, tmp_path, name="lora").layers()
    begun = begin(tiny_llama, tmp_path, name="lora", init=init)
    plain = begin(tiny_llama, tmp_path, name="lora").logits()
    torch.testing.assert_close(begun.logits(), plain, atol=1e-4, rtol=1e-4)  # together they are the base
    for name, layer in begun.layers().items():
        weight, taken = held(untouched[name]), 4 * product(layer)
        torch.testing.assert_close(held(layer) + taken, weight, atol=1e-5, rtol=1e-4)
        if init == "olora":  # the first columns of Q by the first rows of R
            q, r = torch.linalg.qr(weight)
            best = 4 * q[:, :4] @ r[:4]
        else:  # the largest singular values with their vectors, shared evenly
            u, s, v = torch.linalg.svd(weight, full_matrices=False)
            best = (u[:, :4] * s[:4]) @ v[:4]
        if init == "pissa_niter_8":  # a randomised SVD finds nearly as much
            assert float((weight - taken).norm()) < 1.03 * float((weight - best).norm())
        else:
            torch.testing.assert_close(taken, best, atol=1e-4, rtol=1e-3)


def test_what_is_not_taken_from_the_base_begins_as_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    bare = begin(tiny_llama, tmp_path, name="lora")
    with bare.model.disable_adapter():
        base = bare.logits()
    for method in (
        {"name": "lora"}, {"name": "lora", "init": "gaussian"}, {"name": "lora", "dora": True},
        {"name": "hira"}, {"name": "hira", "init": "gaussian"},
    ):  # fmt: skip
        torch.testing.assert_close(begin(tiny_llama, tmp_path, **method).logits(), base, atol=1e-5, rtol=1e-5)
    gaussian = begin(tiny_llama, tmp_path, name="lora", init="gaussian", r=8).layers().values()
    drawn = torch.cat([layer.lora_A["default"].weight.detach().flatten() for layer in gaussian])
    assert float(drawn.std()) == pytest.approx(1 / 8, rel=0.1)
    uniform = torch.cat(
        [layer.lora_A["default"].weight.detach().flatten() for layer in bare.layers().values()]
    )
    assert float(uniform.abs().max()) == pytest.approx(1 / math.sqrt(64), rel=0.05)


def test_loftq_begins_with_the_best_of_what_rounding_took(tiny_llama: Path, tmp_path: Path) -> None:
    begun = begin(tiny_llama, tmp_path, name="qlora", init="loftq", rslora=True)
    plain = begin(tiny_llama, tmp_path, name="lora").layers()
    for name, layer in begun.layers().items():
        lost = held(plain[name]) - held(layer)
        put = 16 / math.sqrt(4) * product(layer)
        left = torch.linalg.svdvals(lost)[4:]  # Eckart and Young: no matrix of rank 4 is nearer
        assert float((lost - put).norm()) == pytest.approx(float(left.norm()), rel=1e-3)
        assert float((lost - put).norm()) < 0.95 * float(lost.norm())


def test_a_training_that_goes_on_has_the_same_base_to_the_bit(tiny_llama: Path, tmp_path: Path) -> None:
    for init in ("pissa", "pissa_niter_2", "olora"):
        first = begin(tiny_llama, tmp_path, name="lora", init=init, **PATTERNS)
        folder = first.job.checkpoints
        folder.mkdir(parents=True, exist_ok=True)
        assert first.start is not None
        starts.keep(first.start, folder)
        again = begin(
            tiny_llama, tmp_path, checkpoint=folder / "checkpoint-1", name="lora", init=init, **PATTERNS
        )
        assert again.start is not None
        assert all(torch.equal(again.start[key], value) for key, value in first.start.items())
        for name, layer in again.layers().items():
            assert torch.equal(held(layer), held(first.layers()[name]))
            assert torch.equal(layer.lora_B["default"].weight, first.layers()[name].lora_B["default"].weight)
    starts_file = folder / starts.FILE
    starts_file.write_bytes(starts_file.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"cannot be read.*--fresh"):
        begin(tiny_llama, tmp_path, checkpoint=folder / "checkpoint-1", name="lora", init="olora")


def test_layers_and_modules_are_left_out(tiny_llama: Path, tmp_path: Path) -> None:
    where = {"target_modules": ["q_proj", "v_proj", "up_proj"], "layers_to_transform": [1]}
    begun = begin(tiny_llama, tmp_path, name="hira", exclude_modules=["up_proj"], **where)
    assert sorted(begun.layers()) == ["model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj"]
    begun = begin(tiny_llama, tmp_path, name="lora", target_modules="all-linear", exclude_modules=r".*mlp.*")
    assert len(begun.layers()) == 8


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"name": "lora", "rank_pattern": {"gate_proj": 2}}, "rank_pattern: no adapted module"),
        ({"name": "lora", "alpha_pattern": {"(": 2}}, "missing )"),
        ({"name": "lora", "layers_to_transform": [0], "target_modules": "all-linear"}, "as a list of names"),
        ({"name": "lora", "init": "pisa"}, "init"),
        ({"name": "qlora", "init": "pissa"}, "init"),
        ({"name": "qlora", "init": "loftq", "dora": True}, "loftq"),
        ({"name": "hira", "quant_type": "nf4"}, "quant_type is for a base in 4 bits; add bits: 4"),
        ({"name": "hira", "layers_to_transform": [0], "target_modules": "all-linear"}, "as a list of names"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(
    tiny_llama: Path, tmp_path: Path, method: dict[str, Any], said: str
) -> None:
    with pytest.raises((SettingsError, TrainingError)) as error:
        begin(tiny_llama, tmp_path, **method)
    assert said in error.value.message


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"init": "pissa", "r": 33}, "32 ranks at most for model.layers.0.self_attn.v_proj, and 33 are set"),
        ({"init": "olora", "target_modules": ["k_proj"], "r": 40}, "32 ranks at most"),
        ({"name": "qlora", "init": "loftq", "r": 33}, "32 ranks at most"),
        ({"init": "pissa", "target_modules": ["lm_head"]}, "that of model.embed_tokens too"),
        ({"init": "olora", "target_modules": ["q_proj", "embed_tokens"]}, "for linear layers, and"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_a_start_that_no_file_could_hold_is_one_line(
    tiny_llama: Path, tmp_path: Path, method: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrainingError, match=re.escape(said)):
        begin(tiny_llama, tmp_path, **{"name": "lora", "target_modules": ["q_proj", "v_proj"], **method})


def test_a_base_that_would_be_rounded_gives_no_part_of_itself(tiny_llama: Path, tmp_path: Path) -> None:
    from methods_at_work import job_of

    from hubkit.training import adapting

    method = {"name": "lora", "init": "pissa"}
    job, _ = job_of(tiny_llama, tmp_path, method, training__precision="auto")
    assert adapting.precision(job) == "float32"
    job, _ = job_of(tiny_llama, tmp_path, method, training__precision="bfloat16")
    with pytest.raises(SettingsError, match=r"changes the base.s weights.*float32"):
        adapting.precision(job)


def test_settings_name_the_key_of_a_method(tmp_path: Path) -> None:
    from hubkit import runs

    plain = {"base_model": "a/b", "task": "causal-lm", "method": {"name": "hira", "quant": "nf4"}}
    with pytest.raises(SettingsError, match="did you mean 'quant_type'"):
        runs.prepare(*from_plain(plain))


def test_the_rank_of_what_hira_adds_is_counted(tiny_llama: Path, tmp_path: Path) -> None:
    from hubkit.measures.update_ranks import update_ranks

    begun = begin(tiny_llama, tmp_path, name="hira")
    fresh = update_ranks(begun.model)
    assert fresh is not None
    assert (fresh.factors.high, fresh.update.high) == (0, 0)  # B is zero
    begun.train()
    taken = update_ranks(begun.model)
    assert taken is not None
    assert (taken.modules, taken.modules_total) == (4, 4)
    directly = []
    for layer in begun.layers().values():
        both = (layer.hira_B["default"] @ layer.hira_A["default"]).detach()
        assert int(torch.linalg.matrix_rank(both)) == 4
        directly.append(int(torch.linalg.matrix_rank(held(layer) * both)))
    assert (taken.factors.low, taken.factors.high) == (4, 4)
    assert (taken.update.low, taken.update.high) == (min(directly), max(directly))
    assert taken.update.low > 4 * 4
    assert (taken.full.low, taken.full.high) == (32, 64)
    assert update_ranks(begin(tiny_llama, tmp_path, name="lora").model) is None
