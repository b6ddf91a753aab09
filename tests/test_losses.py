"""Another way to the loss: the same loss and the same gradients, for every method and head, or none of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import HiraConfig, LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BitsAndBytesConfig,
    Gemma2Config,
    Gemma2ForCausalLM,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from hubkit.models import loading
from hubkit.training import frozen, losses
from hubkit.training.losses import HEAD, Losses, Way
from hubkit.training.quick import Quick

pytestmark = pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
TARGETS = {"causal": ["q_proj", "v_proj"], "masked": ["query", "value"]}
HEADS = {"causal": "lm_head", "masked": "decoder"}
METHODS: dict[str, Callable[[str], Any]] = {
    "lora": lambda kind: LoraConfig(r=4, target_modules=TARGETS[kind], lora_dropout=0.2),
    "dora": lambda kind: LoraConfig(r=4, target_modules=TARGETS[kind], use_dora=True),
    "hira": lambda kind: HiraConfig(r=4, target_modules=TARGETS[kind]),
    "biases": lambda kind: LoraConfig(r=4, target_modules=TARGETS[kind], bias="all"),
    "head adapted": lambda kind: LoraConfig(r=4, target_modules=[*TARGETS[kind], HEADS[kind]]),
    "head trained": lambda kind: LoraConfig(
        r=4, target_modules=TARGETS[kind], modules_to_save=["lm_head" if kind == "causal" else "cls"]
    ),
}


@pytest.fixture(scope="module")
def bases(tiny_llama: Path, tiny_bert: Path) -> dict[str, Path]:
    return {"causal": tiny_llama, "masked": tiny_bert}


@pytest.fixture(autouse=True)
def onednn_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any CPU."""
    monkeypatch.setattr(frozen, "_pays", lambda dtype: True)


def adapted(base: Path, kind: str, method: str, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    torch.manual_seed(0)
    auto = AutoModelForCausalLM if kind == "causal" else AutoModelForMaskedLM
    model = get_peft_model(auto.from_pretrained(base, dtype=dtype, **options), METHODS[method](kind))
    for name, parameter in model.named_parameters():
        if "_B." in name:  # else the gradients of A are zero
            torch.nn.init.normal_(parameter, std=0.1)
    model.to(dtype)
    return model.train()


def batch(model: Any, kind: str, rows: int = 3, length: int = 24) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, model.config.vocab_size, (rows, length), generator=draw)
    labels = ids.clone()
    labels[torch.rand(ids.shape, generator=draw) < (0.3 if kind == "causal" else 0.8)] = -100
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def gradients(model: Any, loss: Any) -> dict[str, Any]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def held_to_its_own(model: Any, found: Losses, given: dict[str, Any], tolerance: float) -> None:
    """Loss and gradients of a whole batch, beside the model's own, from the same random numbers."""
    torch.manual_seed(7)
    own = model(**given).loss
    if model.dtype == torch.float64:  # a causal model takes its own in float32
        wanted, targets = losses.labelled(given["labels"], found.causal)
        torch.manual_seed(7)
        own = torch.nn.functional.cross_entropy(model(**given).logits[wanted], targets)
    right = gradients(model, own)
    torch.manual_seed(7)
    loss = found.probed(given)
    ours = gradients(model, loss)
    assert float(loss.detach()) == pytest.approx(float(own.detach()), rel=tolerance)
    assert ours.keys() == right.keys()
    for name, gradient in ours.items():
        assert torch.allclose(gradient, right[name], rtol=0, atol=tolerance * float(right[name].abs().max()))
    assert any(bool(gradient.abs().max() > 0) for gradient in ours.values())


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_the_models_own_in_double_precision(kind: str, method: str, bases: Any) -> None:
    model = adapted(bases[kind], kind, method, torch.float64)
    found = Losses(model, kind, "auto", pytest.fail)
    given = batch(model, kind)
    found.look(given)
    assert found.name == HEAD
    held_to_its_own(model, found, given, 1e-9)


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("method", ["lora", "hira", "head trained"])
def test_gradients_by_onednn_are_the_models_own(kind: str, method: str, bases: Any) -> None:
    model = adapted(bases[kind], kind, method)
    found = Losses(model, kind, "auto", pytest.fail)
    given = batch(model, kind)
    found.look(given)
    assert found.name == f"{HEAD}, {frozen.NAME}"
    held_to_its_own(model, found, given, 1e-3)
    found.checkpoint()  # layers are computed again on the way back, by the same kernels
    held_to_its_own(model, found, given, 1e-3)


def test_four_bit_layers_are_left_alone(bases: Any) -> None:
    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
    model = adapted(bases["causal"], "causal", "lora", quantization_config=bits)
    loading.guard_4bit(model)
    found = Losses(model, "causal", "auto", pytest.fail)
    given = batch(model, "causal")
    found.look(given)
    assert found.name.startswith(HEAD)
    held_to_its_own(model, found, given, 1e-3)


def test_plain_is_plain(bases: Any) -> None:
    model = adapted(bases["masked"], "masked", "lora")
    found = Losses(model, "masked", "plain", pytest.fail)
    found.look(batch(model, "masked"))
    assert found.way == Way()
    assert found.name == "plain"


def test_a_head_whose_output_is_not_the_logits_is_left_to_the_model() -> None:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=90, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=2.0,
        initializer_range=0.3, pad_token_id=0,
    )  # fmt: skip
    model = get_peft_model(Gemma2ForCausalLM(config), METHODS["lora"]("causal")).train()
    found = Losses(model, "causal", "auto", pytest.fail)
    given = batch(model, "causal")
    found.look(given)
    assert found.name == frozen.NAME
    held_to_its_own(model, found, given, 1e-3)


def test_a_way_that_is_wrong_is_not_gone(bases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel whose gradient is a hundredth off agrees in the loss, and is still found out."""
    right = frozen.Product.backward
    monkeypatch.setattr(
        frozen.Product, "backward", staticmethod(lambda ctx, g: (1.01 * right(ctx, g)[0], None, None, None))
    )
    model = adapted(bases["masked"], "masked", "lora")
    found = Losses(model, "masked", "auto", pytest.fail)
    found.look(batch(model, "masked"))
    assert found.name == HEAD


def test_where_nothing_gives_the_same_the_model_is_asked_and_it_is_said(
    bases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "labelled", lambda labels, causal: (labels == labels, labels.reshape(-1) * 0))
    model, said = adapted(bases["masked"], "masked", "lora"), list[str]()
    found = Losses(model, "masked", "auto", said.append)
    given = batch(model, "masked")
    found.look(given)
    assert found.way is not None
    assert found.way.own
    assert "nothing else gave the same" in said[0]
    assert found(model, given) is None


def test_what_was_found_before_a_stop_is_gone_on_with(bases: Any) -> None:
    model = adapted(bases["masked"], "masked", "lora")
    said: list[str] = []
    place = "base_model.model.cls.predictions.decoder"  # not the first of two that have one name
    found = Losses(model, "masked", "auto", said.append, known=f"{HEAD}, at {place}")
    found.look(batch(model, "masked"))
    assert (found.name, said) == (HEAD, [])
    assert found.key == f"{HEAD}, at {place}"
    assert found.way is not None
    assert found.way.head is model.get_submodule(place)
    found = Losses(model, "masked", "auto", said.append, known="something")
    found.look(batch(model, "masked"))
    assert "before the stop" in said[0]


@pytest.mark.parametrize("wanted", ["auto", "plain"])
def test_a_batch_without_labels_has_no_loss_and_moves_nothing(wanted: str, bases: Any) -> None:
    model = adapted(bases["causal"], "causal", "lora")
    found, given = Losses(model, "causal", wanted, pytest.fail), batch(model, "causal")
    found.look(given)
    without = given | {"labels": torch.full_like(given["labels"], -100)}
    for items in (None, torch.tensor(0), torch.tensor(5)):
        loss = found(model, without, items)
        assert loss.item() == 0
        assert all(not gradient.any() for gradient in gradients(model, loss).values())


def test_looking_draws_no_random_number_and_leaves_no_gradient(bases: Any) -> None:
    model = adapted(bases["causal"], "causal", "lora")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Losses(model, "causal", "auto", pytest.fail).look(batch(model, "causal"))
    assert torch.equal(torch.rand(4), expected)
    assert all(parameter.grad is None for parameter in model.parameters())


class Rows(torch.utils.data.Dataset[Any]):
    """Rows that differ in how many labels they have."""

    def __init__(self, model: Any, kind: str) -> None:
        self.rows = batch(model, kind, rows=20)

    def __len__(self) -> int:
        return 20

    def __getitem__(self, at: int) -> dict[str, Any]:
        return {name: value[at] for name, value in self.rows.items()}


def curve(
    trainer: type[Trainer], base: Path, kind: str, where: Path, size: int, accumulated: int, **options: Any
) -> list[float]:
    """The losses of five steps."""
    model = adapted(base, kind, "biases" if options else "lora", **options)
    told = TrainingArguments(
        output_dir=str(where), per_device_train_batch_size=size, gradient_accumulation_steps=accumulated,
        max_steps=5, learning_rate=1e-2, logging_steps=1, report_to=[], use_cpu=True, disable_tqdm=True,
        save_strategy="no", seed=0, label_names=["labels"],
    )  # fmt: skip
    made = trainer(model=model, args=told, train_dataset=Rows(model, kind))
    made.remove_callback(PrinterCallback)
    if isinstance(made, Quick):
        made.losses = Losses(model, kind, "auto", pytest.fail)
        made.losses.look(batch(model, kind))
    made.train()
    return [line["loss"] for line in made.state.log_history if "loss" in line]


@pytest.mark.real
@pytest.mark.parametrize(("kind", "size", "accumulated"), [("causal", 2, 2), ("masked", 4, 1)])
def test_the_curve_is_that_of_the_plain_trainer(
    kind: str, size: int, accumulated: int, bases: Any, tmp_path: Path
) -> None:
    plain = curve(Trainer, bases[kind], kind, tmp_path, size, accumulated)
    assert curve(Quick, bases[kind], kind, tmp_path, size, accumulated) == pytest.approx(plain, rel=1e-4)
    assert len(set(plain)) == 5


@pytest.mark.real
def test_accumulated_batches_are_one_large_batch(bases: Any, tmp_path: Path) -> None:
    """For masked models too, whose own loss is a mean whatever they are told."""
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    whole = curve(Quick, bases["masked"], "masked", tmp_path, 4, 1, **still)
    parts = curve(Quick, bases["masked"], "masked", tmp_path, 2, 2, **still)
    assert parts == pytest.approx(whole, rel=1e-3)
