"""Accuracy and F1 from a confusion matrix: by hand, by their definition, and as scikit-learn has them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import class_scores
from hubkit.measures import intervals

MATRIX = [[3, 1, 0], [2, 4, 0], [0, 0, 0]]  # the third class is in neither text nor answers


def test_by_hand() -> None:
    found = class_scores.of(MATRIX)
    assert (found.documents, found.accuracy, found.majority_accuracy) == (10, 0.7, 0.6)
    first, second, third = class_scores.classes(MATRIX, ["no", "yes", "unseen"])
    assert (first.precision, first.recall, first.f1, first.support) == (3 / 5, 3 / 4, 6 / 9, 4)
    assert (second.precision, second.recall, second.f1, second.support) == (4 / 5, 4 / 6, 8 / 11, 6)
    assert (third.precision, third.recall, third.f1, third.support) == (None, None, None, 0)
    assert found.macro_f1 == pytest.approx((6 / 9 + 8 / 11) / 2)
    assert found.weighted_f1 == pytest.approx((4 * 6 / 9 + 6 * 8 / 11) / 10)


def test_a_class_that_is_never_answered_counts_as_nothing_right() -> None:
    never, always = class_scores.classes([[0, 2], [0, 3]], ["a", "b"])
    assert (never.precision, never.recall, never.f1) == (None, 0, 0)
    assert always.f1 == 6 / 8
    assert class_scores.of([[0, 2], [0, 3]]).macro_f1 == 3 / 8


matrices = st.integers(1, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k)
)


@given(matrices.filter(lambda rows: sum(map(sum, rows)) > 0))
def test_what_always_holds(rows: list[list[int]]) -> None:
    found = class_scores.of(rows)
    assert 0 <= found.macro_f1 <= 1
    assert 0 <= found.weighted_f1 <= 1
    assert 0 < found.majority_accuracy <= 1
    turned = class_scores.of([list(column) for column in zip(*rows, strict=True)])
    assert turned.macro_f1 == pytest.approx(found.macro_f1)  # F1 knows no sides


def test_as_scikit_learn_has_them() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = random.Random(0)
    for classes, documents in ((2, 9), (3, 40), (7, 200)):
        true, told = ([draw.randrange(classes) for _ in range(documents)] for _ in range(2))
        confusion = [[0] * classes for _ in range(classes)]
        for one, two in zip(true, told, strict=True):
            confusion[one][two] += 1
        found = class_scores.of(confusion)
        assert found.accuracy == pytest.approx(metrics.accuracy_score(true, told))
        for average, value in (("macro", found.macro_f1), ("weighted", found.weighted_f1)):
            assert value == pytest.approx(metrics.f1_score(true, told, average=average, zero_division=0))


def test_intervals_are_those_of_drawing_documents() -> None:
    """Against a bootstrap that draws the documents themselves, of another generator."""
    import numpy

    confusion = [[30, 8, 2], [5, 25, 5], [1, 2, 12]]
    found = intervals.of_classes(confusion, 4_000)
    pairs = numpy.array([(i, j) for i in range(3) for j in range(3) for _ in range(confusion[i][j])])
    generator, drawn = numpy.random.default_rng(7), []
    for _ in range(1_000):
        rows = pairs[generator.integers(len(pairs), size=len(pairs))]
        matrix = numpy.zeros((3, 3), dtype=int)
        numpy.add.at(matrix, (rows[:, 0], rows[:, 1]), 1)
        scores = class_scores.of(matrix.tolist())
        drawn.append((scores.accuracy, scores.macro_f1))
    for at, name in enumerate(("accuracy_interval", "macro_f1_interval")):
        low, high = numpy.percentile([one[at] for one in drawn], [2.5, 97.5])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=0.015)


def test_intervals_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = intervals.of_classes(MATRIX, 300)
    monkeypatch.setattr(intervals, "CHUNK", 50)
    assert intervals.of_classes(MATRIX, 300) == whole
    assert intervals.of_classes([[1, 0], [0, 0]], 300) == {} == intervals.of_classes(MATRIX, 0)
    assert (
        intervals.of_classes([[5, 0], [0, 5]], 300)["accuracy_interval"].low == 1
    )  # a draw may lack a class
