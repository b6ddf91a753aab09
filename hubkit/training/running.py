"""Run a Trainer to its end, and say in one line what kept it from getting there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.trainer_callback import TrainerState
from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME

from hubkit import processes
from hubkit.errors import HubkitError, Interrupted, TrainingError
from hubkit.models import limits
from hubkit.training import checkpoints
from hubkit.training.checkpoints import Clock
from hubkit.training.guard import Guard, is_finite, signals
from hubkit.training.steady import Steady

C = TypeVar("C")
AGAIN = "then run the same command again, without --fresh; it goes on from the last checkpoint"


def run(trainer: Steady, checkpoint: Path | None, folder: Path, say: Callable[[str], None] = print) -> None:
    """Train, from a checkpoint if there is one.

    Raises Interrupted when a signal stopped it, TrainingError when it cannot go on.
    """
    guard = _the(Guard, trainer)
    clock = _the(Clock, trainer)
    clock.trainer = trainer
    if checkpoint and (changes := clock.changes()):
        say(changes)
    try:
        with signals(guard), processes.apart():
            if checkpoint and checkpoints.step_of(checkpoint) >= trainer.args.max_steps:
                _take(trainer, checkpoint)
            else:
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except HubkitError:
        _tidy(folder)
        raise
    except (OSError, RuntimeError, MemoryError, SafetensorError, pickle.UnpicklingError) as error:
        if processes.is_lost_peer(error):
            processes.wait_for_the_end()
        _tidy(folder)
        raise failure(f"training stopped at step {trainer.state.global_step}", error) from error
    if guard.broken_at is None and not is_finite(trainer.model):
        guard.broken_at, guard.broken = trainer.state.global_step, "the weights are"
    if guard.broken_at is not None:
        what, at = guard.broken, guard.broken_at
        raise processes.main_tells(lambda: _broken(what, at, folder))
    if guard.stopped_by is not None and trainer.state.global_step < trainer.state.max_steps:
        raise Interrupted(
            f"stopped at step {trainer.state.global_step} of {trainer.state.max_steps}; a checkpoint is in"
            f" {folder}",
            "run the same command again, without --fresh, to go on",
            128 + guard.stopped_by,
        )


def _the(kind: type[C], trainer: Steady) -> C:
    """The callback of this kind that the trainer has."""
    return next(one for one in trainer.callback_handler.callbacks if isinstance(one, kind))


def _tidy(folder: Path) -> None:
    """Remove what was cut off, which may be what filled the disk."""
    if processes.is_main():
        checkpoints.drop_cut_off(folder)


def _broken(what: str, step: int, folder: Path) -> TrainingError:
    """A number broke: what can be kept is kept, for the same settings lead there again from anywhere."""
    message = f"{what} not finite at step {step}"
    hint = "lower training.learning_rate, or set training.precision: float32"
    kept = checkpoints.last_finite(folder)
    if kept is None:
        checkpoints.drop(folder)
        return TrainingError(message, hint)
    return TrainingError(
        f"{message}; the last checkpoint with finite weights is {kept}", f"{hint}, with another output_dir"
    )


def _take(trainer: Steady, checkpoint: Path) -> None:
    """Training was at its end, and only what comes after it failed: take its weights, and no further step."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(trainer.model, load_file(checkpoint / ADAPTER_SAFE_WEIGHTS_NAME))
    trainer.state = TrainerState.load_from_json(str(checkpoint / checkpoints.STATE))


def failure(what: str, error: Exception) -> TrainingError:
    """The error for a person: what was being done, why it failed, and what helps."""
    if limits.is_out_of_memory(error):
        return TrainingError(
            f"{what}: out of memory",
            "lower training.batch_size, raise training.gradient_accumulation by as much and add --fresh; or,"
            " where something else took the memory, run the same command again",
        )
    reason = (str(error).strip() or repr(error)).splitlines()[0][:300]
    if limits.is_disk_full(error):
        return TrainingError(f"{what}: {reason}", f"free some space, {AGAIN}")
    return TrainingError(f"{what}: {reason}", f"mend what the message names, {AGAIN}")
