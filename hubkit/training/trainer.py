"""The transformers Trainer with hubkit's callbacks."""

from __future__ import annotations

from typing import Any

from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hubkit.training import arguments, labelled, sparsity
from hubkit.training.blocks import Blocks, Epochs
from hubkit.training.checkpoints import Clock
from hubkit.training.guard import Guard
from hubkit.training.job import Job
from hubkit.training.progress import ProgressBar
from hubkit.training.steady import Steady


def make(model: Any, tokenizer: Any, train: Blocks, held: Blocks | None, clock: Clock, job: Job) -> Steady:
    """A Trainer for a job, with what watches over it."""
    told = arguments.arguments(job.training, job.checkpoints, len(train))
    if labelled.is_wanted(job):  # sequences differ in length
        told.include_num_input_tokens_seen = "non_padding"
    trainer = Steady(
        model=model,
        args=told,
        train_dataset=train,
        eval_dataset=held,
        data_collator=job.task.collator(tokenizer, job.task_parameters),
        compute_loss_func=labelled.loss(job),
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    pruning = sparsity.pruning(job)  # writes into checkpoints before the clock says that they are whole
    for callback in (Guard(), Epochs(train), *pruning, clock):
        trainer.add_callback(callback)
    if job.watched:
        trainer.add_callback(ProgressBar())
    return trainer
