"""What the Trainer is told, and how many steps that comes to."""

from __future__ import annotations

import math
from pathlib import Path

from transformers import Trainer, TrainingArguments
from transformers.training_args import OptimizerNames

from hubkit.errors import SettingsError
from hubkit.models import loading
from hubkit.settings import Training
from hubkit.yaml_source import nearest


def arguments(t: Training, folder: Path, blocks: int) -> TrainingArguments:
    """The Trainer's arguments for training on so many blocks, with checkpoints in `folder`.

    Gradient checkpointing is no matter of the Trainer's: training.losses sees to it.
    """
    told = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=int(t.batch_size),
        per_device_eval_batch_size=int(t.batch_size),
        gradient_accumulation_steps=t.gradient_accumulation,
        num_train_epochs=t.epochs,
        learning_rate=t.learning_rate,
        weight_decay=t.weight_decay,
        warmup_steps=t.warmup_steps,
        lr_scheduler_type=t.scheduler,
        max_grad_norm=t.max_grad_norm,
        optim=t.optimizer,
        seed=t.seed,
        logging_steps=t.log_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if t.eval_steps else "no",
        eval_steps=t.eval_steps,
        prediction_loss_only=True,
        save_steps=t.save_steps,
        save_total_limit=None,  # Clock removes the older ones, once the new one is whole
        use_cpu=loading.device() == "cpu",
        dataloader_pin_memory=loading.device() == "cuda",
        disable_tqdm=True,
        report_to=[],
        ddp_find_unused_parameters=False,  # every adapter has a part in every loss
        label_names=["labels"],
        remove_unused_columns=False,
    )
    told.max_steps = math.ceil(t.epochs * _steps_per_epoch(told, blocks))
    if t.max_steps:
        told.max_steps = min(told.max_steps, t.max_steps)
    return told


def effective_batch(told: TrainingArguments) -> int:
    """Sequences of one optimizer step."""
    return int(told.per_device_train_batch_size * told.gradient_accumulation_steps * told.world_size)


def _steps_per_epoch(told: TrainingArguments, blocks: int) -> int:
    return math.ceil(blocks / effective_batch(told))


def sequences_seen(told: TrainingArguments, blocks: int, steps: int) -> int:
    """Sequences that so many steps read; the last batch of an epoch can be smaller than the others."""
    epochs, rest = divmod(steps, _steps_per_epoch(told, blocks))
    return int(epochs * blocks + rest * effective_batch(told))


def check_optimizer(name: str) -> None:
    """The name must be one that transformers knows. Raises SettingsError."""
    known = [str(member.value) for member in OptimizerNames]
    if name not in known:
        raise SettingsError(
            f"training.optimizer: {name[:60]!r} is no optimizer of transformers{nearest(name[:60], known)}",
            "adamw_torch is the usual one",
        )


def check_available(trainer: Trainer) -> None:
    """What the optimizer needs must be installed. Raises SettingsError."""
    try:
        Trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    except (ImportError, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0][:300]
        name = getattr(trainer.args.optim, "value", trainer.args.optim)
        raise SettingsError(
            f"training.optimizer: {name} cannot be used here: {reason}",
            "install what it needs, or use adamw_torch",
        ) from error
