"""Training: what is saved is what was trained, and a stop costs nothing but the time of the stop."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from peft import PeftModel
from safetensors.torch import load_file
from spies import logits_at_save, watched_by
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, BitsAndBytesConfig, TrainerCallback

from hubkit import adapter, record, stages
from hubkit.errors import Interrupted, SettingsError, TrainingError
from hubkit.training import saving
from hubkit.training.blocks import Blocks, Epochs, Packed

TASKS = ["causal-lm", "masked-lm"]
METHODS = ["lora", "sparse-lora", "qlora", "hira"]
IDS = torch.arange(5, 29).unsqueeze(0)


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def base(task: str, request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue("tiny_llama" if task == "causal-lm" else "tiny_bert")
    return path


@pytest.fixture
def trained_logits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The logits of each model at the end of its training, in eval mode."""
    return logits_at_save(monkeypatch, IDS)


def stock(
    task: str, base: Path, quantization: dict[str, Any] | None, dtype: torch.dtype = torch.float32
) -> Any:
    """The base as anybody would load it."""
    auto = AutoModelForCausalLM if task == "causal-lm" else AutoModelForMaskedLM
    options: dict[str, Any] = {"dtype": dtype}
    if quantization:
        given = {**quantization, "bnb_4bit_compute_dtype": torch.bfloat16}
        options["quantization_config"] = BitsAndBytesConfig(**given)
    model = auto.from_pretrained(base, **options).eval()
    for module in model.modules():  # the kernel that training used; another one rounds otherwise
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def weights(directory: Path) -> dict[str, Any]:
    return dict(load_file(directory / adapter.WEIGHTS_NAME))


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.real
@pytest.mark.parametrize("method", METHODS)
def test_stock_peft_loads_what_was_trained(
    task: str, method: str, base: Path, tmp_path: Path, trained_logits: list[Any]
) -> None:
    run = tiny.run(task, base, tmp_path, method={"name": method})
    directory = stages.train(run, tiny.quiet)
    known = record.read(directory)
    assert known.base_model is not None
    model = stock(task, base, known.base_model.quantization)
    with torch.no_grad():
        plain = model(input_ids=IDS).logits
        loaded = PeftModel.from_pretrained(model, directory).eval()(input_ids=IDS).logits
    torch.testing.assert_close(loaded, trained_logits[0], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(loaded, plain, atol=0.01)
    check_directory(directory, task, method, base)


def check_directory(directory: Path, task: str, method: str, base: Path) -> None:
    """The adapter and its record lie there, and it cites the base's id."""
    assert sorted(path.name for path in directory.iterdir()) == [
        adapter.CONFIG_NAME,
        adapter.WEIGHTS_NAME,
        record.RECORD_NAME,
    ]
    config = json.loads((directory / adapter.CONFIG_NAME).read_text())
    assert config["base_model_name_or_path"] == (tiny.LLAMA_ID if task == "causal-lm" else tiny.BERT_ID)
    assert str(base) not in (directory / adapter.CONFIG_NAME).read_text()
    assert config["peft_type"] == ("HIRA" if method == "hira" else "LORA")
    kinds = {name.split(".")[-2 if name.endswith(".weight") else -1] for name in weights(directory)}
    assert kinds == ({"hira_A", "hira_B"} if method == "hira" else {"lora_A", "lora_B"})
    assert not (directory.parent / "checkpoints").exists()


@pytest.mark.parametrize("method", ["lora", "qlora", "hira"])
@pytest.mark.real
def test_a_base_in_bfloat16_trains_an_adapter_in_float32(
    method: str, tiny_llama: Path, tmp_path: Path, trained_logits: list[Any]
) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, method={"name": method}, training__precision="bfloat16")
    directory = stages.train(run, tiny.quiet)
    known = record.read(directory)
    assert known.base_model is not None
    assert known.training is not None
    assert known.training.precision == known.base_model.dtype == "bfloat16"
    assert {tensor.dtype for tensor in weights(directory).values()} == {torch.float32}
    model = stock("causal-lm", tiny_llama, known.base_model.quantization, torch.bfloat16)
    with torch.no_grad():
        loaded = PeftModel.from_pretrained(model, directory).eval()(input_ids=IDS).logits
    assert torch.equal(loaded, trained_logits[0])


@pytest.mark.real
def test_qlora_trains_on_4bit_weights(
    task: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    save = saving.save
    monkeypatch.setattr(
        saving,
        "save",
        lambda model, *a, **k: (seen.update(model.named_parameters()), save(model, *a, **k))[1],
    )
    run = tiny.run(task, base, tmp_path, method={"name": "qlora"}, training__max_steps=1)
    known = record.read(stages.train(run, tiny.quiet))
    target = tiny.TARGETS[task][0]
    packed = [p for name, p in seen.items() if name.endswith(f"{target}.base_layer.weight")]
    assert len(packed) == 2
    assert all(p.dtype == torch.uint8 and p.numel() == 64 * 64 // 2 for p in packed)
    assert known.base_model is not None
    assert known.base_model.quantization == {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
    }


@pytest.mark.real
def test_a_seed_makes_two_runs_equal(task: str, base: Path, tmp_path: Path) -> None:
    dropout = {"dropout": 0.3}
    one, other, unlike = (
        stages.train(
            tiny.run(
                task, base, tmp_path, method=dropout, output_dir=str(tmp_path / name), training__seed=seed
            ),
            tiny.quiet,
        )
        for name, seed in (("one", 1), ("other", 1), ("unlike", 2))
    )
    assert same(one, other)
    assert not same(one, unlike)


@pytest.mark.real
def test_gradient_checkpointing_changes_nothing_but_memory(task: str, base: Path, tmp_path: Path) -> None:
    plain = stages.train(tiny.run(task, base, tmp_path), tiny.quiet)
    run = tiny.run(
        task, base, tmp_path, output_dir=str(tmp_path / "other"), training__gradient_checkpointing=True
    )
    other = stages.train(run, tiny.quiet)
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(other)[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.real
def test_accumulated_batches_train_as_one_batch_does(tiny_llama: Path, tmp_path: Path) -> None:
    whole = stages.train(tiny.run("causal-lm", tiny_llama, tmp_path, training__batch_size=6), tiny.quiet)
    parts = {"batch_size": 2, "gradient_accumulation": 3}
    run = tiny.run("causal-lm", tiny_llama, tmp_path, output_dir=str(tmp_path / "parts"), training=parts)
    accumulated = stages.train(run, tiny.quiet)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(accumulated)[name], tensor, atol=1e-5, rtol=1e-4)
    one, other = record.read(whole).training, record.read(accumulated).training
    assert one is not None
    assert other is not None
    assert one.effective_batch_size == other.effective_batch_size == 6
    assert one.tokens_seen == other.tokens_seen == 4 * 6 * 32


def test_every_epoch_sees_every_block_once_and_hides_other_tokens(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    get = Packed.__getitem__
    monkeypatch.setattr(
        Packed, "__getitem__", lambda self, at: (seen.append((self.epoch, at)), get(self, at))[1]
    )
    monkeypatch.setattr(
        Epochs, "on_train_begin", lambda *given, **named: seen.clear()
    )  # what was tried before
    training = {"max_steps": None, "epochs": 2, "batch_size": 4}
    run = tiny.run("masked-lm", tiny_bert, tmp_path, dataset__max_documents=10, training=training)
    facts = record.read(stages.train(run, tiny.quiet)).training
    assert facts is not None
    blocks = max(at for _, at in seen) + 1
    assert sorted(seen) == [(epoch, at) for epoch in range(2) for at in range(blocks)]
    assert (facts.epochs, facts.tokens_seen) == (2, 2 * blocks * 32)


class StopAt(TrainerCallback):
    """A person who presses Ctrl-C during a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step + 1 == self.step:
            signal.raise_signal(signal.SIGINT)


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    watched_by(monkeypatch, StopAt(step))


@pytest.mark.real
@pytest.mark.parametrize(("method", "stop"), [("lora", 3), ("sparse-lora", 5)])  # in the first epoch, second
def test_a_stopped_training_goes_on_to_the_same_end(
    task: str, method: str, stop: int, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str) -> Any:
        return tiny.run(
            task,
            base,
            tmp_path,
            method={"name": method, "dropout": 0.2},
            dataset__max_documents=12,
            training={"max_steps": 7, "batch_size": 4 if task == "masked-lm" else 9, "eval_steps": 2},
            output_dir=str(tmp_path / name),
        )

    whole = stages.train(run("whole"), tiny.quiet)
    with monkeypatch.context() as patch:
        stop_at(stop, patch)
        with pytest.raises(Interrupted, match=f"stopped at step {stop} of 7") as caught:
            stages.train(run("stopped"), tiny.quiet)
    assert caught.value.hint == "run the same command again, without --fresh, to go on"
    assert (tmp_path / "stopped" / "checkpoints" / f"checkpoint-{stop}").is_dir()
    assert not (tmp_path / "stopped" / "adapter").exists()
    said: list[str] = []
    stopped = stages.train(run("stopped"), said.append, must_resume=True)
    assert said[0].startswith("going on from")
    assert same(whole, stopped)
    facts, again = record.read(whole).training, record.read(stopped).training
    assert facts is not None
    assert again is not None
    assert (facts.resumed, again.resumed) == (0, 1)
    assert facts.epochs > 1
    assert [point.loss for point in again.history] == [point.loss for point in facts.history]
    assert [point.eval_loss for point in again.history] == [point.eval_loss for point in facts.history]


@pytest.mark.real
def test_the_time_of_all_parts_is_counted(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    with monkeypatch.context() as patch:
        stop_at(2, patch)
        with pytest.raises(Interrupted):
            stages.train(run, tiny.quiet)
    legs = tmp_path / "run" / "checkpoints" / "checkpoint-2" / "hubkit_legs.json"
    legs.write_text(json.dumps({"started": "2020-01-02", "seconds": 1000.0, "resumed": 2}))
    facts = record.read(stages.train(run, tiny.quiet)).training
    assert facts is not None
    assert facts.seconds >= 1000
    assert (facts.started, facts.resumed) == ("2020-01-02", 3)


@pytest.mark.real
def test_a_checkpoint_that_was_cut_off_is_passed_over(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    with monkeypatch.context() as patch:
        stop_at(2, patch)
        with pytest.raises(Interrupted):
            stages.train(run, tiny.quiet)
    (tmp_path / "run" / "checkpoints" / "checkpoint-3").mkdir()
    said: list[str] = []
    stages.train(run, said.append)
    assert said[0].endswith("checkpoint-2")


@pytest.mark.real
def test_checkpoints_of_other_settings_are_an_error_and_not_lost(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    with monkeypatch.context() as patch:
        stop_at(2, patch)
        with pytest.raises(Interrupted):
            stages.train(run, tiny.quiet)
    other = tiny.run("causal-lm", tiny_llama, tmp_path, training__learning_rate=0.005)
    with pytest.raises(TrainingError, match="holds checkpoints of other settings") as caught:
        stages.train(other, tiny.quiet)
    assert "--fresh" in (caught.value.hint or "")
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-2").is_dir()
    said: list[str] = []
    stages.train(other, said.append, fresh=True)
    assert said[0].startswith("training LoRA")


def test_resume_without_a_checkpoint_is_an_error(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no checkpoint in .* to resume from"):
        stages.train(tiny.run("causal-lm", tiny_llama, tmp_path), tiny.quiet, must_resume=True)


@pytest.mark.real
@pytest.mark.parametrize(("log_steps", "found"), [(1, 3), (100, 4)])  # 100: found when it would be saved
def test_a_loss_that_is_no_number_stops_and_saves_nothing_more(
    log_steps: int, found: int, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Break(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
            if state.global_step == 2:
                for parameter in model.parameters():
                    parameter.data.mul_(float("nan"))
                    break

    watched_by(monkeypatch, Break())
    training = {"log_steps": log_steps, "save_steps": 2, "max_steps": 6}
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training=training)
    with pytest.raises(TrainingError, match=f"the loss is not finite at step {found};") as caught:
        stages.train(run, tiny.quiet)
    assert "learning_rate" in (caught.value.hint or "")
    assert not (tmp_path / "run" / "adapter").exists()
    assert caught.value.message.endswith("checkpoint-2")  # from before it broke
    assert [path.name for path in (tmp_path / "run/checkpoints").glob("checkpoint-*")] == ["checkpoint-2"]


@pytest.mark.real
def test_weights_that_break_in_the_last_step_are_not_saved(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Break(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
            if state.global_step == state.max_steps:
                next(p for p in model.parameters() if p.requires_grad).data.fill_(float("inf"))

    watched_by(monkeypatch, Break())
    with pytest.raises(TrainingError, match="not finite at step 4"):
        stages.train(tiny.run("causal-lm", tiny_llama, tmp_path), tiny.quiet)
    assert not (tmp_path / "run" / "adapter").exists()


@pytest.mark.real
def test_an_authors_readme_is_left_alone(tiny_llama: Path, tmp_path: Path) -> None:
    readme = tmp_path / "run" / "adapter" / "README.md"
    readme.parent.mkdir(parents=True)
    readme.write_text("mine")
    stages.train(tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1), tiny.quiet)
    assert readme.read_text() == "mine"


def test_unknown_target_modules_are_one_clear_error(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, method={"target_modules": ["q_lin"]})
    with pytest.raises(TrainingError, match="q_lin") as caught:
        stages.train(run, tiny.quiet)
    assert caught.value.hint == "check method.target_modules"
    assert "\n" not in str(caught.value)


def test_a_random_head_must_be_saved(tmp_path: Path) -> None:
    base = tiny.bert(tmp_path / "headless", head=False)
    with pytest.raises(TrainingError, match=r"no weights for cls\.predictions\.transform\.dense") as caught:
        stages.train(tiny.run("masked-lm", base, tmp_path), tiny.quiet)
    assert "modules_to_save: [" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "method", [m if m == "lora" else pytest.param(m, marks=pytest.mark.real) for m in METHODS]
)
def test_a_new_head_is_trained_and_loads_again(
    method: str, tmp_path: Path, trained_logits: list[Any]
) -> None:
    base = tiny.bert(tmp_path / "headless", head=False)
    run = tiny.run("masked-lm", base, tmp_path, method={"name": method, "modules_to_save": ["transform"]})
    directory = stages.train(run, tiny.quiet)
    known = record.read(directory).base_model
    assert known is not None
    assert known.head_newly_initialized
    kept = {"llm_int8_skip_modules": ["cls.predictions.decoder", "cls.predictions.transform"]}
    model = stock("masked-lm", base, {**known.quantization, **kept} if known.quantization else None)
    with torch.no_grad():
        loaded = PeftModel.from_pretrained(model, directory).eval()(input_ids=IDS).logits
    torch.testing.assert_close(loaded, trained_logits[0], atol=1e-6, rtol=1e-6)


def test_training_without_text_is_a_settings_error(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no dataset"):
        stages.train(tiny.run("causal-lm", tiny_llama, tmp_path, dataset=None), tiny.quiet)


def test_draws_depend_on_seed_epoch_and_block() -> None:
    blocks = Blocks([[1], [2]], seed=1)
    first = [block["draw"] for block in (blocks[0], blocks[1], blocks[0])]
    assert first[0] == first[2] != first[1]
    blocks.epoch = 1
    assert blocks[0]["draw"] != first[0]
    assert Blocks([[1]], seed=2)[0]["draw"] != first[0]
