"""Tables of a classifier on a card: whether accuracy and F1 follow from the matrix, and F1 from its parts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit import class_scores
from hubkit.audit import labels, statements, values
from hubkit.audit.document import Document
from hubkit.audit.parts import Table

_TRUE = re.compile(r"^\W*(?:true|actual|gold)(?: class| label)?\b", re.IGNORECASE)
_CLASS = re.compile(r"^\W*(?:class|label|category)\W*$", re.IGNORECASE)
MOST = 60  # classes of a matrix that is looked at
TOLD = {"accuracy": "accuracy", "macro f1": "macro_f1", "weighted f1": "weighted_f1"}


def contradictions(document: Document) -> Iterator[tuple[int, str, str, str]]:
    """The line, what it says, what it would have to be, and by what."""
    matrices = [found for table in document.tables if (found := matrix(table))]
    if len(matrices) == 1:
        yield from _against(document, class_scores.of(matrices[0]))
    for table in document.tables:
        yield from _rows(table)


def matrix(table: Table) -> list[list[int]] | None:
    """The counts of a confusion matrix with true classes in rows; None for any other table."""
    head, size = table.header.cells, len(table.rows)
    if not head or not _TRUE.search(head[0]) or not 2 <= size <= MOST or len(head) != size + 1:
        return None
    rows = [[values.number(cell) for cell in row.cells[1:]] for row in table.rows]
    counts = [[int(cell.value) for cell in row if cell and cell.value >= 0] for row in rows]
    named = all(
        name.lower().split()[-1:] == row.cells[0].lower().split()[-1:]
        for name, row in zip(head[1:], table.rows, strict=True)
        if row.cells
    )
    whole = all(len(row) == size for row in counts) and sum(map(sum, counts)) > 0
    return counts if named and whole else None


def _against(document: Document, right: class_scores.Scores) -> Iterator[tuple[int, str, str, str]]:
    """What the card says of accuracy and F1 against the one matrix that it shows."""
    for claim in document.claims:
        name = TOLD.get(labels.key_of(claim.label) or "")
        if name is None or not statements.is_ours(document, claim):
            continue
        number = values.number(re.split(r",\s", claim.value)[0])
        truth = getattr(right, name)
        if number and not any(number.agrees(one) for one in (truth, 100 * truth)):
            yield claim.line, claim.value, f"{truth:.4f}", "the confusion matrix"


def _rows(table: Table) -> Iterator[tuple[int, str, str, str]]:
    """The F1 of a class is the harmonic mean of its precision and its recall."""
    head = [cell.lower().strip(" *`") for cell in table.header.cells]
    if not head or not _CLASS.match(head[0]) or not {"precision", "recall"} <= set(head):
        return
    at = next((head.index(name) for name in ("f1", "f1-score", "f1 score") if name in head), None)
    for row in table.rows if at is not None else ():
        if len(row.cells) <= max(at or 0, head.index("precision"), head.index("recall")):
            continue
        if re.search(r"\b(?:avg|average|macro|micro|weighted|mean|total|all|overall)\b", row.cells[0], re.I):
            continue
        parts = [values.number(row.cells[head.index(name)]) for name in ("precision", "recall")]
        said = values.number(row.cells[at or 0])
        if said is None or None in parts:
            continue
        low, high = (_harmonic([part.value + by * _half(part) for part in parts if part]) for by in (-1, 1))
        if not low - _half(said) <= said.value <= high + _half(said):
            right = _harmonic([part.value for part in parts if part])
            yield row.line, row.cells[at or 0], f"{right:.4g}", "its precision and recall"


def _half(number: values.Number) -> float:
    """What rounding may have taken, and a little more."""
    return 0.51 * number.step


def _harmonic(two: list[float]) -> float:
    first, second = (max(one, 0.0) for one in two)
    return 2 * first * second / (first + second) if first + second else 0.0
