"""How well a classifier tells labels: accuracy, F1 and what they are made of, over whole documents.

Each document is read by itself, with the special tokens that the tokenizer puts around it, cut to the context
where it is longer; the class with the highest logit is its answer (the first of equal ones). Accuracy and F1
follow from the confusion matrix (`class_scores` has the formulas and their sources); the loss is the mean of
-log softmax(logits)[label], in nats. They are scikit-learn's `accuracy_score`, `f1_score` and `log_loss` on
the same answers.

The base alone is not measured: the head that it would answer with is drawn at random, or trained on something
else. What stands beside is the accuracy of always answering the most frequent class.

Intervals are percentiles of a bootstrap over documents (`intervals`). Several processes share the documents.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hubkit import class_scores, processes
from hubkit.errors import MeasureError
from hubkit.measured_part import Selection
from hubkit.measures import shares
from hubkit.measures.classified_rows import ClassifiedRows
from hubkit.measures.environment import environment
from hubkit.measures.intervals import FEW, of_classes
from hubkit.measures.memory import Peak
from hubkit.measures.perplexity import check_token
from hubkit.measures.subject import Subject
from hubkit.measures.text_scores import head_is_random
from hubkit.models import loading
from hubkit.models.corpus import digest
from hubkit.models.whole import whole
from hubkit.record import Classification

Say = Callable[[str], None]


@dataclass(frozen=True)
class Labelled:
    """Documents as the model reads them, and their labels as numbers of its classes."""

    documents: list[str]
    sequences: list[list[int]]
    labels: list[int]
    classes: tuple[str, ...]
    context: int
    truncated: int
    selection: Selection | None

    @property
    def labels_sha256(self) -> str:
        """The digest of the labels by name."""
        return class_scores.labels_sha256(self.classes, self.labels)


def wanted(subject: Subject) -> bool:
    """Whether there is a text, and labels to tell on it."""
    return bool(
        subject.settings.classification and subject.text and getattr(subject.task, "has_labels", False)
    )


def labelled(tokenizer: Any, subject: Subject) -> Labelled:
    """The subject's text and labels. Raises MeasureError where one of them is not to be had."""
    text, settings = subject.text, subject.settings
    assert text is not None
    text = text.limited(settings.max_eval_documents)
    documents, given = text.evaluation, text.evaluation_labels
    classes = subject.labels or text.label_names
    if not given or not classes:
        raise MeasureError("the text has no labels", "name their column: dataset.label_column")
    if len(given) != len(documents):
        raise MeasureError(
            f"the text has {len(documents):,} documents and {len(given):,} labels",
            "give one label a document",
        )
    numbers = {name: number for number, name in enumerate(classes)}
    labels = []
    for at, label in enumerate(given):
        name = text.label_names[label]
        if name not in numbers:
            known = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
            raise MeasureError(
                f"the label of document {at + 1:,}, {name[:60]!r}, is none of the model's: {known}",
                "map it to one of them, or leave those documents out",
            )
        labels.append(numbers[name])
    if empty := next((at + 1 for at, document in enumerate(documents) if not document.strip()), None):
        raise MeasureError(f"document {empty:,} of the text is empty", "leave it out")
    context = settings.context or subject.context
    sequences, truncated = whole(tokenizer, documents, context)
    return Labelled(documents, sequences, labels, tuple(classes), context, truncated, text.selection)


def classification(
    model: Any, tokenizer: Any, text: Labelled, subject: Subject, dtype: str
) -> Classification:
    """The measure of a model with its adapter. Raises MeasureError."""
    begun, peak, settings = time.monotonic(), Peak(), subject.settings
    check_token(model, tokenizer, max(max(ids) for ids in text.sequences))
    logits, kernels = _logits(model, tokenizer, text, settings)
    confusion, loss = _told(logits, text)
    found = class_scores.of(confusion)
    highest, kind = peak.read()
    assert subject.text is not None
    facts = subject.text.facts
    return Classification(
        adapter_sha256=subject.adapter.sha256(),
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        weighted_f1=found.weighted_f1,
        majority_accuracy=found.majority_accuracy,
        loss=loss,
        documents=len(text.documents),
        selection=text.selection,
        classes=class_scores.classes(confusion, text.classes),
        confusion=confusion,
        truncated=text.truncated,
        tokens=sum(map(len, text.sequences)),
        context=text.context,
        batch_size=settings.batch_size,
        dtype=dtype,
        device=loading.device(),
        dataset_sha256=digest(text.documents),
        labels_sha256=text.labels_sha256,
        dataset_name=facts.name,
        dataset_id=facts.id,
        dataset_config=facts.config,
        dataset_revision=facts.revision,
        split=facts.eval_split,
        kernels=kernels,
        processes=processes.count() if processes.count() > 1 else None,
        peak_memory_bytes=highest,
        memory_kind=kind,
        seconds=round(time.monotonic() - begun, 1),
        date=datetime.now(UTC).date().isoformat(),
        environment=environment(loading.device()),
        **of_classes(confusion, settings.resamples),
    )


def _logits(model: Any, tokenizer: Any, text: Labelled, settings: Any) -> tuple[Any, str | None]:
    """The logits of all documents, (documents, classes), in every process; and the kernels that were used."""
    import torch

    model.eval()
    pad = model.config.get_text_config().pad_token_id
    pad = tokenizer.pad_token_id if pad is None else pad
    rows = ClassifiedRows(model, pad=0 if pad is None else pad)
    share = list(range(len(text.sequences)))
    if processes.count() > 1:
        share = shares.split([len(ids) for ids in text.sequences], processes.count())[processes.index()]
    logits = torch.zeros(len(text.sequences), len(text.classes), dtype=torch.float64)
    with torch.inference_mode():
        rows.prepare(text.sequences, settings.kernels)
        if share:
            own = rows.logits([text.sequences[at] for at in share], settings.batch_size)
            if own.shape[1] != len(text.classes):
                raise MeasureError(
                    f"the model's head has {own.shape[1]} rows, and there are {len(text.classes)} labels",
                    "name its labels in their order, as the training had them",
                )
            logits[share] = own
    kernels = rows.kernels.names or None if rows.kernels else None
    if processes.count() == 1:
        return logits.numpy(), kernels
    processes.agree()
    used = sorted({one or "torch's own" for one in processes.gather(kernels)})
    return shares.summed(logits.numpy()), None if used == ["torch's own"] else "; ".join(used)


def _told(logits: Any, text: Labelled) -> tuple[list[list[int]], float]:
    """The confusion matrix and the mean loss. Raises MeasureError where a logit is no number."""
    import numpy

    if len(wrong := numpy.flatnonzero(~numpy.isfinite(logits).all(axis=1))):
        raise MeasureError(
            f"a logit of document {wrong[0] + 1:,} is no finite number",
            "set measuring.precision: float32, or look for NaN in the weights",
        )
    labels = numpy.asarray(text.labels)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = numpy.log(numpy.exp(shifted).sum(axis=1)) - shifted[numpy.arange(len(labels)), labels]
    confusion = numpy.zeros((len(text.classes), len(text.classes)), dtype=int)
    numpy.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
    return confusion.tolist(), float(losses.mean())


@dataclass(frozen=True)
class ClassificationScores:
    """What is to be classified, made ready before the adapter is loaded; None where nothing is."""

    text: Labelled | None
    tokenizer: Any
    subject: Subject
    dtype: str
    say: Say

    @classmethod
    def of(cls, loaded: loading.Loaded, subject: Subject, dtype: str, say: Say) -> ClassificationScores:
        """Cut the text. Raises MeasureError, DataError.

        Nothing is to be classified where a head that was drawn at random would do it.
        """
        tokenizer = loading.tokenizer_beside(subject.adapter, loaded.tokenizer)
        text = None
        if wanted(subject):
            if head_is_random(loaded, subject.adapter):
                say("accuracy left out: the base has no head for the task, and the adapter brings none")
            else:
                text = labelled(tokenizer, subject)
        return cls(text, tokenizer, subject, dtype, say)

    def with_adapter(self, model: Any) -> Classification | None:
        """The measure; None where there is none to take. Raises MeasureError."""
        if self.text is None:
            return None
        documents = len(self.text.documents)
        self.say(f"classifying {documents:,} documents with the adapter")
        if self.text.truncated:
            self.say(f"{self.text.truncated:,} of them were cut to {self.text.context:,} tokens")
        if 1 < documents < FEW and self.subject.settings.resamples:
            self.say(f"{documents} documents are too few for an interval: it comes out too narrow")
        return classification(model, self.tokenizer, self.text, self.subject, self.dtype)
