"""The rows of the card's tables about a classifier: accuracy and F1, each class, what was taken for what."""

from __future__ import annotations

from hubkit.card import evaluation, results, text
from hubkit.card.facts import Facts
from hubkit.card.tables import Row, known
from hubkit.measured import Classification, Interval

FEW = 10  # documents; of fewer an interval is plainly too narrow
MANY_CLASSES = 12  # of more, the matrix is no longer read: the most frequent mistakes stand in its place
CLASSES = 40  # shown by themselves; of more, those that the text has most of
MISTAKES = 20

Table = tuple[list[tuple[str, ...]], tuple[str, ...]]


def values(facts: Facts) -> Table:
    """What was found, and the head of its table."""
    measured = facts.record.measures.classification
    if measured is None:
        return [], ()
    interval = measured.accuracy_interval or measured.macro_f1_interval
    rows = [
        ("Accuracy", f"**{text.score(measured.accuracy)}**", _between(measured.accuracy_interval)),
        ("Macro F1", f"**{text.score(measured.macro_f1)}**", _between(measured.macro_f1_interval)),
        ("Weighted F1", text.score(measured.weighted_f1), ""),
        ("Accuracy of always answering the most frequent class", text.score(measured.majority_accuracy), ""),
        ("Loss, nats per document", results.loss(measured.loss), ""),
    ]
    if interval is None:
        return [row[:2] for row in rows], ("", "With this adapter")
    named = f"{text.percent_short(interval.confidence)} interval"
    return [tuple(row) for row in rows], ("", "With this adapter", named)


def _between(interval: Interval | None) -> str:
    return f"{text.score(interval.low)} to {text.score(interval.high)}" if interval else ""


def note(facts: Facts) -> str | None:
    """Why there is no value of the base alone, what F1 is, and of what the intervals are."""
    measured = facts.record.measures.classification
    if measured is None:
        return None
    said = (
        "The base alone has no head that was trained for these labels, so it has no accuracy to compare with."
        " F1 of a class is 2 TP / (2 TP + FP + FN); macro F1 is its mean over the classes, weighted F1 that"
        " by the number of documents of each."
    )
    if interval := measured.accuracy_interval or measured.macro_f1_interval:
        over = text.plural(measured.documents, "document")
        drawn = f"{text.plural(interval.resamples, 'resample')}, seed {interval.seed}"
        said += (
            f" The intervals are percentiles of a bootstrap over {over} ({drawn}): how far the value moves"
            " with the choice of documents."
        )
        if measured.documents < FEW:
            said += " With so few documents they are too narrow."
    return said


def classes(facts: Facts) -> Table:
    """Precision, recall and F1 of each class."""
    measured = facts.record.measures.classification
    if measured is None or not measured.classes:
        return [], ()
    shown = measured.classes
    if len(shown) > CLASSES:
        shown = sorted(shown, key=lambda one: -one.support)[:CLASSES]
    rows = [
        (
            text.phrase(one.label),
            text.count(one.support),
            *("" if value is None else text.score(value) for value in (one.precision, one.recall, one.f1)),
        )
        for one in shown
    ]
    return rows, ("Class", "Documents", "Precision", "Recall", "F1")


def classes_title(facts: Facts) -> str:
    """What stands above that table."""
    measured = facts.record.measures.classification
    number = len(measured.classes) if measured else 0
    some = f", the {CLASSES} with most documents of {text.count(number)}" if number > CLASSES else ""
    return f"Each class{some}"


def confusion(facts: Facts) -> Table:
    """The documents by true class, in rows, and predicted class; of many classes the mistakes alone."""
    measured = facts.record.measures.classification
    if measured is None or not measured.confusion:
        return [], ()
    names = [text.phrase(one.label) for one in measured.classes]
    if len(names) > MANY_CLASSES:
        return _mistakes(measured.confusion, names)
    rows = [
        (name, *(text.count(number) for number in row))
        for name, row in zip(names, measured.confusion, strict=True)
    ]
    return rows, ("True class", *(f"as {name}" for name in names))


def confusion_title(facts: Facts) -> str:
    """What stands above that table."""
    measured = facts.record.measures.classification
    if measured and len(measured.classes) > MANY_CLASSES:
        return "The most frequent mistakes"
    return "Confusion matrix: what each class was taken for"


def _mistakes(matrix: list[list[int]], names: list[str]) -> Table:
    cells = [
        (number, true, told)
        for true, row in enumerate(matrix)
        for told, number in enumerate(row)
        if number and true != told
    ]
    cells.sort(key=lambda cell: (-cell[0], *cell[1:]))
    rows: list[tuple[str, ...]] = [
        (names[true], names[told], text.count(number)) for number, true, told in cells[:MISTAKES]
    ]
    return rows, ("True class", "Taken for", "Documents")


def conditions(facts: Facts) -> list[Row]:
    """Everything that the numbers depend on."""
    measured = facts.record.measures.classification
    if measured is None:
        return []
    cut = ", none of them cut"
    if measured.truncated:
        cut = f"; {text.plural(measured.truncated, 'document')} cut to it"
    return known(
        [
            ("Text", evaluation.text_measured(measured)),
            ("Labels", text.digest(measured.labels_sha256)),
            ("Documents", evaluation.documents_measured(measured)),
            ("Tokens read", text.count(measured.tokens) if measured.tokens else None),
            ("Context", f"{text.count(measured.context)} tokens at most, special tokens included{cut}"),
            ("Batch", text.plural(measured.batch_size, "document")),
            (
                "Computed in",
                results.computed_in(facts, measured.dtype, measured.device, measured.environment),
            ),
            ("Kernels", text.phrase(measured.kernels) if measured.kernels else None),
            ("Processes", _processes(measured)),
            ("Peak memory of classifying", results.memory(measured)),
            ("Duration", text.duration(measured.seconds) if measured.seconds else None),
            ("Date", text.phrase(measured.date) if measured.date else None),
        ]
    )


def _processes(measured: Classification) -> str | None:
    if not measured.processes or measured.processes < 2:
        return None
    return f"{text.count(measured.processes)}, each with documents of its own"
