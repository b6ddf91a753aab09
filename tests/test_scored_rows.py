"""The loss of chosen positions, by the head alone, is the loss of the model's own logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, Gemma2Config, Gemma2ForCausalLM

from hubkit.measures import scored_rows
from hubkit.measures.scored_rows import ScoredRows


def batch(model: Any, rows: int = 3, length: int = 40, share: float = 0.3) -> tuple[Any, Any, Any, Any]:
    """Inputs, attention with padding at the end of the last row, wanted positions and their targets."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, model.config.vocab_size, (rows, length), generator=generator)
    attention = torch.ones_like(inputs)
    attention[-1, length // 2 :] = 0
    wanted = (torch.rand(inputs.shape, generator=generator) < share) & attention.bool()
    targets = torch.randint(0, model.config.vocab_size, (int(wanted.sum()),), generator=generator)
    return inputs, attention, wanted, targets


def plain(model: Any, made: tuple[Any, Any, Any, Any]) -> float:
    inputs, attention, wanted, targets = made
    logits = model(input_ids=inputs, attention_mask=attention).logits[wanted].double()
    return float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))


def llama(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def bert(base: Path) -> Any:
    return AutoModelForMaskedLM.from_pretrained(base, dtype=torch.float32)


def untied(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, tie_word_embeddings=False)


def adapted_head(base: Path) -> Any:
    config = LoraConfig(target_modules=["lm_head", "q_proj"], init_lora_weights=False)
    return get_peft_model(untied(base), config)


def saved_head(base: Path) -> Any:
    made = get_peft_model(untied(base), LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"]))
    with torch.no_grad():
        made.get_output_embeddings().weight.mul_(1.5)
    return made


@pytest.mark.parametrize(
    ("make", "base"),
    [(llama, "tiny_llama"), (bert, "tiny_bert"), (adapted_head, "tiny_llama"), (saved_head, "tiny_llama")],
)
def test_the_head_alone_gives_the_models_own_loss(
    make: Any, base: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(request.getfixturevalue(base)).eval()
    monkeypatch.setattr(
        scored_rows, "LOGITS", {"cpu": 7 * 4 * model.config.vocab_size}
    )  # so that several are needed
    made, rows = batch(model), ScoredRows(model)
    seen: list[int] = []
    with torch.inference_mode():
        expected = plain(model, made)
        rows.losses(*made)
        hook = model.get_output_embeddings().register_forward_hook(
            lambda _, args, out: seen.append(out.shape[:-1].numel())
        )
        found = float(rows.losses(*made).sum())
        hook.remove()
    assert rows.way is not None
    assert rows.way.head is not None
    assert found == pytest.approx(expected, rel=1e-6)
    # one row of each sequence for the model's own call, and then the wanted ones
    assert sum(seen) == len(made[0]) + int(made[2].sum()) < made[0].numel()
    assert max(seen) <= 7


def test_a_model_that_caps_its_logits_is_asked_itself() -> None:
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.05,
        query_pre_attn_scalar=8,
    )
    torch.manual_seed(0)
    model = Gemma2ForCausalLM(config).eval()
    made, rows = batch(model), ScoredRows(model)
    with torch.inference_mode():
        found, expected = float(rows.losses(*made).sum()), plain(model, made)
        without_cap = float(rows._by_head(model.lm_head, *made).sum())
    assert rows.way is not None
    assert rows.way.head is None
    assert found == pytest.approx(expected, rel=1e-6)
    assert abs(without_cap / expected - 1) > 1e-4  # what the comparison has to notice


def test_a_model_without_a_head_to_be_found_is_asked_itself(tiny_llama: Path) -> None:
    model = llama(tiny_llama).eval()
    model.get_output_embeddings = lambda: None
    made, rows = batch(model), ScoredRows(model)
    with torch.inference_mode():
        assert float(rows.losses(*made).sum()) == pytest.approx(plain(model, made), rel=1e-6)
    assert rows.way is not None
    assert rows.way.head is None
