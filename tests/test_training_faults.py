"""Training: settings that cannot be meant are refused, in one line that says what to do."""

from __future__ import annotations

import errno
import math
import signal
from pathlib import Path
from typing import Any

import killed
import pytest
import tiny
import torch
from safetensors import SafetensorError
from spies import watched_by
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from hubkit import interrupts, record, stages
from hubkit.errors import Interrupted, SettingsError, TrainingError
from hubkit.training import guard, running


def test_an_unknown_optimizer_is_refused_before_the_base_is_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__optimizer="adamw_torh")
    with pytest.raises(
        SettingsError, match=r"training\.optimizer: 'adamw_torh' .* 'adamw_torch'\?"
    ) as caught:
        stages.train(run, tiny.quiet)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_an_optimizer_that_is_not_installed_is_refused(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*given: object) -> None:
        raise ImportError("You need to install `galore_torch`\nin order to use GaLore optimizers")

    monkeypatch.setattr(Trainer, "get_optimizer_cls_and_kwargs", staticmethod(lacking))
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__optimizer="galore_adamw")
    with pytest.raises(
        SettingsError, match="galore_adamw cannot be used here: You need to install"
    ) as caught:
        stages.train(run, tiny.quiet)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "adapter").exists()


def test_warm_up_that_the_scheduler_has_not_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    training = {"scheduler": "constant", "warmup_steps": 2}
    with pytest.raises(SettingsError, match="constant has no warm-up steps; use constant_with_warmup"):
        tiny.run("causal-lm", tiny_llama, tmp_path, training=training)
    tiny.run("causal-lm", tiny_llama, tmp_path, training=training | {"scheduler": "constant_with_warmup"})


@pytest.mark.parametrize(("epochs", "max_steps", "expected"), [(1, 200, None), (0.5, 200, None), (3, 2, 2)])
@pytest.mark.real
def test_training_ends_where_epochs_or_max_steps_end_it_first(
    epochs: float, max_steps: int, expected: int | None, tiny_llama: Path, tmp_path: Path
) -> None:
    training = {"epochs": epochs, "max_steps": max_steps, "batch_size": 4, "gradient_accumulation": 2}
    run = tiny.run("causal-lm", tiny_llama, tmp_path, dataset__max_documents=30, training=training)
    known = record.read(stages.train(run, tiny.quiet))
    assert known.training is not None
    assert known.dataset is not None
    blocks = (known.dataset.train_tokens or 0) // 32
    assert known.training.steps == (expected or math.ceil(epochs * math.ceil(blocks / 8)))
    if expected is None and epochs == 1:
        assert (known.training.epochs, known.training.tokens_seen) == (1, blocks * 32)


def test_memory_that_runs_out_is_told_as_that(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **more: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")

    monkeypatch.setattr(Trainer, "train", full)
    with pytest.raises(TrainingError, match="out of memory") as caught:
        stages.train(tiny.run("causal-lm", tiny_llama, tmp_path), tiny.quiet)
    assert "batch_size" in (caught.value.hint or "")


def test_a_module_to_train_whole_that_is_not_there(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, method={"modules_to_save": ["nothing"]})
    with pytest.raises(TrainingError, match="no module named nothing"):
        stages.train(run, tiny.quiet)


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EFBIG, "File too large"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    RuntimeError(
        "[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file data/0"
    ),
]
MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_told_with_the_way_on(error: Exception) -> None:
    told = running.failure("training stopped at step 8", error)
    assert told.message.startswith("training stopped at step 8: ")
    assert told.hint == f"free some space, {running.AGAIN}"


@pytest.mark.parametrize("error", MEMORY, ids=repr)
def test_no_memory_is_told_with_what_to_change(error: Exception) -> None:
    told = running.failure("training stopped at step 8", error)
    assert told.message == "training stopped at step 8: out of memory"
    assert "training.batch_size" in (told.hint or "")


@pytest.mark.real
def test_a_full_disk_in_the_midst_of_a_checkpoint_leaves_the_one_before(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def full(what: Any, path: Any, *rest: Any) -> None:
        if str(path).endswith("checkpoint-2/scheduler.pt"):
            Path(path).write_bytes(b"PK")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(what, path, *rest)

    monkeypatch.setattr(torch, "save", full)
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__save_steps=1)
    with pytest.raises(TrainingError, match=r"at step 2: .*No space left on device") as caught:
        stages.train(run, tiny.quiet)
    assert "goes on from the last checkpoint" in (caught.value.hint or "")
    found = [path.name for path in (tmp_path / "run" / "checkpoints").glob("checkpoint-*")]
    assert found == ["checkpoint-1"]  # what was cut off takes no room


@pytest.mark.real
@pytest.mark.parametrize("share", [0.1, 0.6, 1.05, 1.6])
def test_a_disk_that_is_full_at_any_size_of_file(share: float, tiny_llama: Path, tmp_path: Path) -> None:
    """The system's own limit on a file's size: no part of a checkpoint is left, and the rerun goes on."""
    plain = {"training": killed.SETTINGS | {"save_steps": 4}, "dataset__max_documents": 8}
    whole = killed.run_of("causal-lm", tiny_llama, tmp_path, plain | {"output_dir": str(tmp_path / "whole")})
    assert killed.train(whole) == 0
    expected = killed.ended(tmp_path / "whole" / "adapter")
    largest = int(share * len(expected[0]))
    run = killed.run_of("causal-lm", tiny_llama, tmp_path, plain)
    assert killed.train(run, largest=largest) == 2
    assert not list((tmp_path / "run" / "checkpoints").glob("checkpoint-*"))
    assert killed.ended(stages.train(run(), tiny.quiet)) == expected


def test_a_gradient_that_is_no_number_leaves_no_checkpoint_with_it(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Break(TrainerCallback):
        def on_pre_optimizer_step(self, *given: Any, model: Any = None, **rest: Any) -> None:
            if given[1].global_step == 2:
                next(p for p in model.parameters() if p.requires_grad).grad.fill_(float("inf"))

    watched_by(monkeypatch, Break())
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training={"save_steps": 1, "log_steps": 100})
    with pytest.raises(TrainingError, match="the weights are not finite at step 3; the last") as caught:
        stages.train(run, tiny.quiet)
    assert "learning_rate" in (caught.value.hint or "")
    found = {path.name for path in (tmp_path / "run" / "checkpoints").glob("checkpoint-*")}
    assert found == {"checkpoint-1", "checkpoint-2"}


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        ({"loss": math.nan}, "the loss is"),
        ({"eval_loss": math.inf}, "the loss is"),
        ({"loss": 1.0, "grad_norm": math.inf}, "the gradient is"),
    ],
)
def test_what_broke_is_named(logs: dict[str, float], said: str) -> None:
    watch, control = guard.Guard(), TrainerControl(should_save=True)
    model = torch.nn.Linear(1, 1)
    model.weight.data.fill_(math.nan)
    watch.on_log(None, TrainerState(global_step=7), control, logs=logs, model=model)
    assert (watch.broken, watch.broken_at) == (said, 7)
    assert (control.should_save, control.should_training_stop) == (False, True)


def test_a_gradient_too_long_for_its_norm_is_no_fault_while_weights_are_numbers() -> None:
    watch, control = guard.Guard(), TrainerControl()
    logs = {"loss": 1.0, "grad_norm": math.inf}
    watch.on_log(None, TrainerState(global_step=7), control, logs=logs, model=torch.nn.Linear(1, 1))
    assert watch.broken_at is None


@pytest.mark.parametrize("number", interrupts.NUMBERS)
def test_the_first_signal_asks_and_the_second_is_as_ever(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    came: list[int] = []
    before = signal.signal(number, lambda *given: came.append(given[0]))
    try:
        watch = guard.Guard()
        with guard.signals(watch):
            signal.raise_signal(number)
            assert (watch.stopped_by, came) == (number, [])
            signal.raise_signal(number)
        assert came == [number]
        assert "stopping after the step at hand; once more stops at once" in capfd.readouterr().err
        signal.signal(number, signal.SIG_IGN)
        with guard.signals(watch):  # under nohup
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.real
def test_a_stop_has_the_exit_code_of_its_signal(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == 1:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(guard.Guard, "on_step_begin", stop)
    with pytest.raises(Interrupted, match="stopped at step 2 of 4; a checkpoint is in") as caught:
        stages.train(tiny.run("causal-lm", tiny_llama, tmp_path), tiny.quiet)
    assert caught.value.exit_code == 143
