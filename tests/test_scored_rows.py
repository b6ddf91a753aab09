"""The loss of chosen positions, by the head alone, is the loss of the model's own logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    FNetConfig,
    FNetForMaskedLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from hubkit.measures import scored_rows, scoring
from hubkit.measures.scored_rows import ScoredRows
from hubkit.measures.windows import Window


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


def capped(cap: float) -> Any:
    """A model that caps its logits after the head."""
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=cap,
        query_pre_attn_scalar=8,
    )
    torch.manual_seed(0)
    return Gemma2ForCausalLM(config).eval()


def test_a_model_that_caps_its_logits_is_asked_itself() -> None:
    model = capped(0.05)
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


def test_a_slight_cap_is_seen_in_sixteen_bits_too() -> None:
    """A cap that moves losses less than 16 bits round them still moves the mean."""
    model = capped(1.0).to(torch.bfloat16)
    rows = ScoredRows(model)
    with torch.inference_mode():
        rows.losses(*batch(model))
    assert rows.way is not None
    assert rows.way.head is None


def test_a_head_that_takes_more_than_states_is_asked_as_the_model_asks_it() -> None:
    config = DebertaV2Config(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        legacy=False,
    )
    torch.manual_seed(0)
    model = DebertaV2ForMaskedLM(config).eval()
    made, rows = batch(model), ScoredRows(model)
    with torch.inference_mode():
        found = float(rows.losses(*made).sum())
        assert found == pytest.approx(plain(model, made), rel=1e-6)


def test_the_positions_of_a_learned_prompt_are_not_scored(tiny_llama: Path) -> None:
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    model = get_peft_model(llama(tiny_llama), prompt).eval()
    inputs, attention, wanted, targets = batch(model)
    rows = ScoredRows(model)
    with torch.inference_mode():
        logits = model(input_ids=inputs, attention_mask=attention).logits[:, 3:][wanted]
        expected = float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
        found = float(rows.losses(inputs, attention, wanted, targets).sum())
    assert found == pytest.approx(expected, rel=1e-6)


def fnet() -> Any:
    return FNetForMaskedLM(
        FNetConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            max_position_embeddings=64,
            initializer_range=0.2,
        )
    )


def dynamic() -> Any:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=20,
            initializer_range=0.3,
            rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10.0},
        )
    )


@pytest.mark.parametrize("make", [fnet, dynamic])
def test_a_model_that_padding_changes_gets_each_row_without_it(make: Any) -> None:
    torch.manual_seed(0)
    model = make().eval()
    draw = numpy.random.default_rng(0)
    made = []
    for number, length in enumerate((60, 30, 45, 25, 25, 8, 5)):
        ids = draw.integers(0, 64, (2, length)).astype(numpy.int32)
        made.append(Window(ids[0], ids[1], numpy.full(length, number, numpy.int32)))
    whole = scoring.score(model, made, 8, len(made))
    parts = [scoring.score(model, [window], 1, len(made)).nll for window in made]
    assert whole.nll_by_document == pytest.approx(parts, rel=1e-6)
    assert scoring.score(model, made, 1, len(made)).nll == pytest.approx(whole.nll, rel=1e-6)


def test_a_loss_that_is_lower_or_higher_or_no_number_is_another_loss() -> None:
    loss = torch.ones(4)
    assert scored_rows._agree(loss, loss, 1e-5)
    for other in (loss * 0.99, loss * 1.01, loss * torch.nan, None):
        assert not scored_rows._agree(other, loss, 1e-5)
