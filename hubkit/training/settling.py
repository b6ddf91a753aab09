"""What a training finds out before its first step: how losses are found, and what fits memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from hubkit import processes
from hubkit.errors import TrainingError
from hubkit.models import limits
from hubkit.settings import Training
from hubkit.training import apart, choices, memory
from hubkit.training.blocks import Blocks
from hubkit.training.choices import Choices
from hubkit.training.job import Job
from hubkit.training.losses import Losses

LOOKED_AT = 4  # blocks


@dataclass(frozen=True)
class Settled:
    """The settings with numbers where they said auto, how losses are found, and what is to be kept of it."""

    training: Training
    losses: Losses
    choices: Choices


def settle(model: Any, collate: Callable[..., Any], train: Blocks, job: Job, resumes: bool) -> Settled:
    """Find out what the settings leave open, or take what was found before the stop.

    The random numbers that come after it are those that would have come without. Raises TrainingError.
    """
    known = processes.main_tells(lambda: choices.read(job.checkpoints) if resumes else None)

    def batch_of(size: int) -> dict[str, Any]:
        batch = collate([train[at % len(train)] for at in range(size)])
        return {name: part.to(model.device) for name, part in batch.items()}

    t = job.training
    losses = Losses(model, job.task.PERPLEXITY, t.kernels, job.say, known=known and known.kernels)
    model.config.use_cache = False  # as the Trainer has it
    model.train()
    if t.documents == "apart" or (t.documents == "auto" and job.text.kind == "chat"):
        tried = collate([train.shared() or train[0]])
        batch = {name: part.to(model.device) for name, part in tried.items()}
        losses.apart = _can_part(model, batch, losses, must=t.documents == "apart")
    try:
        losses.look(batch_of(min(LOOKED_AT, len(train))))
    except (RuntimeError, MemoryError) as error:
        if not limits.is_out_of_memory(error):
            raise
        raise TrainingError(
            f"one sequence of {t.block_size} tokens does not fit memory", "lower training.block_size"
        ) from error
    t = _fitted(model, batch_of, losses, t, known)
    if t.gradient_checkpointing:
        losses.checkpoint()
    found = Choices(losses.key, int(t.batch_size), t.gradient_accumulation, bool(t.gradient_checkpointing))
    return Settled(t, losses, found)


def _can_part(model: Any, batch: dict[str, Any], losses: Losses, *, must: bool) -> bool:
    """Whether the model keeps the documents of a block apart, tried on one that holds several, if one does.

    Where it `must` and cannot, raises TrainingError; else that is said.
    """
    try:
        apart.check(model, batch, losses.causal)
    except TrainingError as error:
        if must:
            raise
        losses.say(f"conversations in one block see each other: {error.message}")
        return False
    return True


def _fitted(
    model: Any,
    batch_of: Callable[[int], Any],
    losses: Losses,
    t: Training,
    known: Choices | None,
) -> Training:
    """The settings with numbers for auto."""
    if t.batch_size != "auto" and t.gradient_checkpointing != "auto":
        return t
    if known is None:
        step = memory.steps(model, batch_of, losses.probed)
        known = processes.main_tells(lambda: _found(model, step, losses, t))
    return msgspec.structs.replace(
        t,
        batch_size=known.batch_size,
        gradient_accumulation=known.gradient_accumulation,
        gradient_checkpointing=known.gradient_checkpointing,
    )


def _found(model: Any, step: Callable[[int], None], losses: Losses, t: Training) -> Choices:
    """What fits: the largest batch without checkpointing, or where not even one sequence does, with it."""
    several = processes.count()
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    sizes = memory.divisors(_share(t, several))
    least = 1 if t.batch_size == "auto" else sizes[-1]
    tried = (False, True) if t.gradient_checkpointing == "auto" else (bool(t.gradient_checkpointing),)
    for checkpointing in tried:
        if checkpointing:
            losses.checkpoint()
        room = memory.room(t.memory_limit, trained, several)
        if room <= 0:
            raise TrainingError(
                f"there is no room for a step: model, gradients and optimizer take {_mib(-room)} more than"
                f" training.memory_limit ({t.memory_limit or f'{memory.SHARE}% of what is free'})",
                "raise training.memory_limit, or load the base in fewer bits",
            )
        size, taken = memory.largest(sizes, room, step)
        if size >= least:
            break
    else:
        raise TrainingError(
            f"a step of {least} x {t.block_size} tokens does not fit: {size or 1} took {_mib(taken)}, and"
            f" there is room for {_mib(room)} ({t.memory_limit or f'{memory.SHARE}% of what is free'})",
            "raise training.memory_limit, or lower training.block_size or batch_size",
        )
    accumulation = sizes[-1] // size if t.batch_size == "auto" else t.gradient_accumulation
    with_it = ", with gradient checkpointing" if checkpointing else ""
    losses.say(f"batch size {size} x {accumulation}{with_it}: a step takes {_mib(taken)} of {_mib(room)}")
    return Choices(losses.key, size, accumulation, checkpointing)


def _mib(size: int) -> str:
    return f"{max(size, 0) / 2**20:,.0f} MiB"


def _share(t: Training, several: int) -> int:
    """Sequences of one step on each of several processes; of one pass, where batch_size is a number.

    Raises TrainingError.
    """
    if t.batch_size != "auto":
        return int(t.batch_size)
    if t.effective_batch % several:
        raise TrainingError(
            f"training.effective_batch is {t.effective_batch}, which {several} processes cannot share evenly",
            "give a multiple of the number of processes",
        )
    return t.effective_batch // several
