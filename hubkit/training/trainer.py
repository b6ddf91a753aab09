"""The transformers Trainer with hubkit's callbacks."""

from __future__ import annotations

from typing import Any

from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hubkit.training import arguments, labelled, settling, sparsity, trackers
from hubkit.training.blocks import Blocks, Epochs
from hubkit.training.checkpoints import Clock
from hubkit.training.guard import Guard
from hubkit.training.job import Job
from hubkit.training.progress import Progress
from hubkit.training.quick import Quick


def make(model: Any, tokenizer: Any, train: Blocks, held: Blocks | None, clock: Clock, job: Job) -> Quick:
    """A Trainer for a job, with what watches over it. Raises TrainingError where nothing fits memory."""
    collate = job.task.collator(tokenizer, job.task_parameters)
    settled = settling.settle(model, collate, train, job, clock.resumes)
    told = arguments.arguments(settled.training, job.checkpoints, len(train))
    if job.text.kind != "text":  # sequences differ in length, or are filled up
        told.include_num_input_tokens_seen = "non_padding"
    trainer = Quick(
        model=model,
        args=told,
        train_dataset=train,
        eval_dataset=held,
        data_collator=collate,
        compute_loss_func=labelled.loss(job),
    )
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:  # a head apart would find no weights
        settled.losses.leave_to_model()
    trainer.losses, trainer.choices = settled.losses, settled.choices
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    pruning = sparsity.pruning(job)  # writes into checkpoints before the clock says that they are whole
    for callback in (Guard(), Epochs(train), *pruning, clock):
        trainer.add_callback(callback)
    for callback in (_progress(trainer, job), *trackers.trackers(job)):
        trainer.add_callback(callback)
    return trainer


def _progress(trainer: Quick, job: Job) -> Progress:
    """What shows how far it is, in the main process."""
    return Progress(
        job.say,
        watched=job.watched,
        is_language=job.task.PERPLEXITY is not None,
        tokens_a_step=arguments.effective_batch(trainer.args) * job.training.block_size,
    )
