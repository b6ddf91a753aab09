"""Training: settings that cannot be meant are refused, in one line that says what to do."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tiny
from transformers import Trainer

from hubkit import record, stages
from hubkit.errors import SettingsError, TrainingError


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
