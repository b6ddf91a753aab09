"""What the record says of a training that has ended."""

from __future__ import annotations

from typing import Any

from hubkit import processes
from hubkit.measures.environment import environment
from hubkit.models import loading
from hubkit.record import LogPoint
from hubkit.record import Training as TrainingFacts
from hubkit.training import arguments, labelled
from hubkit.training.job import Job
from hubkit.training.legs import Legs
from hubkit.training.quick import Quick

MOST_POINTS = 5_000  # of the record's history, of either kind: half a megabyte


def facts(job: Job, trainer: Quick, precision: str, legs: Legs) -> TrainingFacts:
    """The facts of a training: its settings as they were used, its history and its cost."""
    t, state = job.training, trainer.state
    history = _history(state.log_history)
    sequences = arguments.sequences_seen(trainer.args, len(trainer.train_dataset), state.global_step)
    eval_losses = [point.eval_loss for point in history if point.eval_loss is not None]
    losses = [point.loss for point in history if point.loss is not None]
    return TrainingFacts(
        settings_sha256=job.settings_sha256,
        epochs=round(state.epoch or 0, 4),
        steps=state.global_step,
        batch_size=trainer.args.per_device_train_batch_size,
        gradient_accumulation=trainer.args.gradient_accumulation_steps,
        effective_batch_size=arguments.effective_batch(trainer.args),
        block_size=t.block_size,
        tokens_seen=state.num_input_tokens_seen or sequences * t.block_size,
        learning_rate=t.learning_rate,
        scheduler=t.scheduler,
        warmup_steps=t.warmup_steps,
        weight_decay=t.weight_decay,
        max_grad_norm=t.max_grad_norm,
        optimizer=t.optimizer,
        seed=t.seed,
        precision=precision,
        seconds=round(legs.seconds, 1),
        started=legs.started,
        kernels=trainer.losses.name if trainer.losses else None,
        gradient_checkpointing=bool(trainer.choices and trainer.choices.gradient_checkpointing),
        documents=None if labelled.is_wanted(job) else _documents(trainer),
        processes=processes.count() if processes.count() > 1 else None,
        resumed=legs.resumed,
        peak_memory_bytes=legs.peak_memory_bytes,
        memory_kind=legs.memory_kind,
        final_train_loss=losses[-1] if losses else None,
        final_eval_loss=eval_losses[-1] if eval_losses else None,
        history=thinned(history),
        **labelled.facts(job, trainer.train_dataset),
        environment=environment(loading.device()),
    )


def _documents(trainer: Quick) -> str:
    return "apart" if trainer.losses and trainer.losses.apart else "packed"


def _history(log: list[dict[str, Any]]) -> list[LogPoint]:
    """The Trainer's log as far as the record tells it."""
    return [
        LogPoint(
            step=line["step"],
            loss=line.get("loss"),
            eval_loss=line.get("eval_loss"),
            learning_rate=line.get("learning_rate"),
        )
        for line in log
        if "loss" in line or "eval_loss" in line
    ]


def thinned(history: list[LogPoint], most: int = MOST_POINTS) -> list[LogPoint]:
    """A history of at most `most` training losses and as many evaluations, so that the record stays small.

    The first and the last stay as they are. Of training losses, each a mean since the log before it, the rest
    become means of as many in a row, at the last of their steps; of evaluations one in so many is kept.
    """
    training = [point for point in history if point.loss is not None]
    held = [point for point in history if point.loss is None]
    if len(training) > most:
        at_once = -(-(len(training) - 2) // (most - 2))
        rest = training[1:-1]
        parts = [rest[at : at + at_once] for at in range(0, len(rest), at_once)]
        training = [training[0], *(_mean(part) for part in parts), training[-1]]
    if len(held) > most:
        every = -(-(len(held) - 2) // (most - 2))
        held = [held[0], *held[every:-1:every], held[-1]]
    return sorted([*training, *held], key=lambda point: (point.step, point.loss is None))


def _mean(points: list[LogPoint]) -> LogPoint:
    last = points[-1]
    losses = [point.loss for point in points if point.loss is not None]
    return LogPoint(step=last.step, loss=sum(losses) / len(losses), learning_rate=last.learning_rate)
