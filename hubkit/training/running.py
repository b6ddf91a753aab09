"""Run a Trainer to its end, and say in one line what kept it from getting there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import Trainer
from transformers.trainer_callback import TrainerState
from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME

from hubkit.errors import HubkitError, Interrupted, TrainingError
from hubkit.models import limits
from hubkit.training import checkpoints
from hubkit.training.guard import Guard, signals

AGAIN = "then run the same command again, without --fresh; it goes on from the last checkpoint"


def run(trainer: Trainer, checkpoint: Path | None, folder: Path) -> None:
    """Train, from a checkpoint if there is one.

    Raises Interrupted when a signal stopped it, TrainingError when it cannot go on.
    """
    guard = next(c for c in trainer.callback_handler.callbacks if isinstance(c, Guard))
    try:
        with signals(guard):
            if checkpoint and checkpoints.step_of(checkpoint) >= trainer.args.max_steps:
                _take(trainer, checkpoint)
            else:
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except HubkitError:
        raise
    except (OSError, RuntimeError, MemoryError, SafetensorError) as error:
        raise failure(f"training stopped at step {trainer.state.global_step}", error) from error
    if guard.broken_at is None and not _is_finite(trainer.model):
        guard.broken_at = trainer.state.global_step
    if guard.broken_at is not None:
        raise _broken(guard.broken_at, folder)
    if guard.stopped_by is not None and trainer.state.global_step < trainer.state.max_steps:
        raise Interrupted(
            f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps}; a checkpoint is in"
            f" {folder}",
            "run the same command again, without --fresh, to go on",
        )


def _broken(step: int, folder: Path) -> TrainingError:
    """The loss broke: what can be kept is kept, for the same settings lead there again from anywhere."""
    message = f"the loss is not finite at step {step}"
    hint = "lower training.learning_rate, or set training.precision: float32"
    kept = checkpoints.last_finite(folder)
    if kept is None:
        checkpoints.drop(folder)
        return TrainingError(message, hint)
    return TrainingError(
        f"{message}; the last checkpoint with finite weights is {kept}", f"{hint}, with another output_dir"
    )


def _take(trainer: Trainer, checkpoint: Path) -> None:
    """Training was at its end, and only what comes after it failed: take its weights, and no further step."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(trainer.model, load_file(checkpoint / ADAPTER_SAFE_WEIGHTS_NAME))
    trainer.state = TrainerState.load_from_json(str(checkpoint / checkpoints.STATE))


def failure(what: str, error: Exception) -> TrainingError:
    """The error for a person: what was being done, why it failed, and what helps."""
    if limits.is_out_of_memory(error):
        return TrainingError(
            f"{what}: out of memory", "lower training.batch_size and raise training.gradient_accumulation"
        )
    reason = (str(error).strip() or repr(error)).splitlines()[0][:300]
    if limits.is_disk_full(error):
        return TrainingError(f"{what}: {reason}", f"free some space, {AGAIN}")
    return TrainingError(f"{what}: {reason}", f"mend what the message names, {AGAIN}")


def _is_finite(model: Any) -> bool:
    return all(bool(p.isfinite().all()) for p in model.parameters() if p.requires_grad)
