"""Accuracy, precision, recall and F1 from a confusion matrix: rows are true classes, columns predicted ones.

    scores = of(confusion)

Of class k, TP are the texts of it that were predicted as it, FP those of others, FN those of it that were
predicted as others. Precision is TP / (TP + FP), recall TP / (TP + FN), F1 2 TP / (2 TP + FP + FN), their
harmonic mean (van Rijsbergen 1979, Information Retrieval, chapter 7). What would be 0 / 0 is absent. Macro F1
is the mean over the classes that have one, each counting the same, weighted F1 that by their support (Opitz
and Burst 2019, arXiv:1911.03347, who call this macro F1 "averaged F1"). All are those of scikit-learn's
`f1_score` and `accuracy_score` with no `labels` given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.measured import ClassScore

Matrix = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix tells."""

    documents: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    majority_accuracy: float  # of always answering the class that the text has most of


def classes(confusion: Matrix, labels: Sequence[str]) -> list[ClassScore]:
    """The scores of each class, by the names of the classes in the order of the matrix."""
    found = []
    for at, label in enumerate(labels):
        right, support = confusion[at][at], sum(confusion[at])
        predicted = sum(row[at] for row in confusion)
        found.append(
            ClassScore(
                label=label,
                support=support,
                precision=_share(right, predicted),
                recall=_share(right, support),
                f1=_share(2 * right, support + predicted),
            )
        )
    return found


def of(confusion: Matrix) -> Scores:
    """The scores over all classes of a square matrix of counts, with at least one document."""
    found = classes(confusion, [""] * len(confusion))
    documents = sum(one.support for one in found)
    known = [one for one in found if one.f1 is not None]
    return Scores(
        documents=documents,
        accuracy=sum(confusion[at][at] for at in range(len(confusion))) / documents,
        macro_f1=sum(one.f1 or 0.0 for one in known) / len(known),
        weighted_f1=sum(one.support * (one.f1 or 0.0) for one in known) / documents,
        majority_accuracy=max(one.support for one in found) / documents,
    )


def labels_sha256(names: Sequence[str], labels: Sequence[int]) -> str:
    """SHA-256 over the labels of documents by name, in order, each as one line of JSON."""
    whole = hashlib.sha256()
    for label in labels:
        whole.update(json.dumps(names[label]).encode() + b"\n")
    return whole.hexdigest()


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
