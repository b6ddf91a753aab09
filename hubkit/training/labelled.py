"""Training on labelled text: whole documents with their labels, and the loss that counts these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hubkit.models.whole import whole
from hubkit.training.blocks import Blocks
from hubkit.training.by_length import ByLength
from hubkit.training.job import Job


class Labelled(Blocks):
    """A dataset of documents, each one sequence with its label; `cut` of them were longer."""

    def __init__(self, sequences: list[list[int]], labels: tuple[int, ...], seed: int, cut: int) -> None:
        super().__init__(sequences, seed)
        self.labels = labels
        self.cut = cut

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**super().__getitem__(index), "label": self.labels[index]}

    def order(self, batch_size: int, seed: int) -> ByLength:
        """The order in which they are trained on."""
        return ByLength([len(tokens) for tokens in self.blocks], batch_size, seed)


def is_wanted(job: Job) -> bool:
    """Whether the task reads labels."""
    return bool(getattr(job.task, "has_labels", False))


def label_names(job: Job) -> tuple[str, ...]:
    """The labels that the head is to have a row for; none for other tasks. Raises DataError."""
    if not is_wanted(job):
        return ()
    job.task.check(job.text.label_names, job.text.train_labels, job.text.evaluation_labels)
    return job.text.label_names


def blocks(tokenizer: Any, job: Job) -> tuple[Labelled, Labelled | None]:
    """The documents to train on and, where it is wanted, to evaluate on while training. Raises DataError."""
    text, size, seed = job.text, job.training.block_size, job.training.seed

    def documents(texts: Sequence[str], labels: tuple[int, ...]) -> Labelled:
        sequences, cut = whole(tokenizer, list(texts), size)
        return Labelled(sequences, labels, seed, cut)

    held = documents(text.evaluation, text.evaluation_labels) if job.training.eval_steps else None
    return documents(text.train, text.train_labels), held


def weights(job: Job) -> tuple[float, ...] | None:
    """The weight of each class in the loss. Raises SettingsError."""
    if not is_wanted(job):
        return None
    found: tuple[float, ...] | None = job.task.class_weights(
        job.task_parameters, job.text.label_names, job.text.train_labels
    )
    return found


def loss(job: Job) -> Callable[..., Any] | None:
    """The Trainer's compute_loss_func; None where the model's own loss is right."""
    return job.task.loss(weights(job)) if is_wanted(job) else None


def said(train: Blocks, size: int) -> str:
    """What is trained on, in words."""
    if not isinstance(train, Labelled):
        return train.said
    cut = f", {train.cut:,} of them cut" if train.cut else ""
    return f"{len(train):,} documents of at most {size} tokens{cut}"


def facts(job: Job, train: Any) -> dict[str, Any]:
    """What the record says of labels, as fields of its Training."""
    if not isinstance(train, Labelled):
        return {}
    return {
        "labels": list(job.text.label_names),
        "class_weights": list(weights(job) or ()),
        "truncated_documents": train.cut,
    }
