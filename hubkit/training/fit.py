"""Train an adapter with the transformers Trainer, and save it as stock PEFT loads it.

Checkpoints lie in `<output_dir>/checkpoints`. SIGINT and SIGTERM end training after the step at hand, with a
checkpoint; the same settings go on from it. Checkpoints of other settings are not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from hubkit import processes
from hubkit.models import limits, loading, prepared
from hubkit.record import Training as TrainingFacts
from hubkit.settings import Base
from hubkit.training import (
    adapting,
    arguments,
    checkpoints,
    choices,
    heads,
    labelled,
    running,
    saving,
    sparsity,
    starts,
    trainer,
)
from hubkit.training.blocks import Blocks, Packed
from hubkit.training.checkpoints import Clock
from hubkit.training.facts import facts
from hubkit.training.job import Job


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    adapter_dir: Path
    facts: TrainingFacts
    base: Any  # record.BaseModel
    text: dict[str, Any]  # what became of the text, as fields of record.Dataset


def fit(
    base: Base, job: Job, say: Callable[[str], None], *, fresh: bool = False, must_resume: bool = False
) -> Outcome:
    """Train, and write the adapter to `<output_dir>/adapter`.

    Goes on from the last checkpoint of the same settings unless `fresh`. Raises Interrupted when the user
    stopped it, TrainingError when it cannot go on.
    """
    import torch

    arguments.check_optimizer(job.training.optimizer)
    if job.training.threads:
        torch.set_num_threads(job.training.threads)
    checkpoint = processes.main_tells(
        lambda: checkpoints.find(
            job.checkpoints, job.settings_sha256, say, fresh=fresh, must_resume=must_resume
        )
    )
    labels = labelled.label_names(job)
    torch.manual_seed(job.training.seed)
    precision = adapting.precision(job)
    quantization = job.method.quantization(job.method_parameters)
    keep = job.method_parameters.modules_to_save
    with processes.main_first():  # it fetches the base for the others
        loaded = loading.load_base(
            base, job.task, dtype=precision, quantization=quantization, keep=keep, labels=labels
        )
    limits.check_length(loaded.model, "training.block_size", job.training.block_size)
    model, start = adapting.begun(loaded, job, base, labels, checkpoint)
    train, held = _blocks(loaded.tokenizer, job)
    clock = Clock(checkpoint)
    made = trainer.make(model, loaded.tokenizer, train, held, clock, job)
    arguments.check_available(made)
    processes.main_tells(lambda: _mark(job, start, made.choices))
    on = labelled.said(train, job.training.block_size)
    say(f"going on from {checkpoint}" if checkpoint else f"training {job.method.TITLE} on {on}")
    if whole := heads.said(loaded, job):
        say(whole)
    running.run(made, checkpoint, job.checkpoints, say)
    told = facts(job, made, precision, clock.legs())
    adapter_dir = job.output_dir / "adapter"
    try:
        state = saving.gathered(made)
        if processes.is_main():
            drops = sparsity.drops_ranks(job)
            told.ranks = saving.save(model, loaded, adapter_dir, start, drops_ranks=drops, state=state)
            if job.method.NAME == "sparse-lora":
                say(sparsity.left(job.method_parameters, adapter_dir, told))
            if job.text.chat_template:
                saving.save_tokenizer(loaded.tokenizer, adapter_dir)
    except (OSError, SafetensorError) as error:
        raise running.failure(f"cannot save the adapter to {adapter_dir}", error) from error
    return Outcome(adapter_dir, told, loaded.facts, train.facts)


def finish(job: Job) -> None:
    """Remove the checkpoints of a training that is done and recorded."""
    checkpoints.drop(job.checkpoints)


def _mark(job: Job, start: starts.Start | None, found: choices.Choices | None) -> None:
    """Say whose checkpoints the folder will hold, and keep there what the beginning found and took."""
    checkpoints.stamp(job.checkpoints, job.settings_sha256)
    if found:
        choices.write(job.checkpoints, found)
    if start:
        starts.keep(start, job.checkpoints)


def _blocks(tokenizer: Any, job: Job) -> tuple[Blocks, Blocks | None]:
    """The text to train on and, where it is wanted, to evaluate on while training."""
    if labelled.is_wanted(job):
        return labelled.blocks(tokenizer, job)
    size, masked = job.training.block_size, job.task.PERPLEXITY == "masked"

    def packed(evaluation: bool) -> Packed:
        found = prepared.prepare(tokenizer, job.text, size, masked=masked, evaluation=evaluation)
        return Packed(found, job.training.seed)

    with processes.main_first():  # it makes the blocks for the others
        return packed(evaluation=False), packed(evaluation=True) if job.training.eval_steps else None
