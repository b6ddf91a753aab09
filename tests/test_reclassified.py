"""A classifier measured again: what may differ by rounding, and what must not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import PERPLEXITY

from hubkit import class_scores, compare, compared_rows, recorded, to_measure
from hubkit.card import evaluation, side_by_side
from hubkit.card.comparison import Side
from hubkit.models import corpus
from hubkit.record import Classification, Compared, Dataset, Interval, Measures, Record, Selection
from hubkit.runs import prepare
from hubkit.settings import from_plain
from hubkit.settings_data import Data
from hubkit.verify import remeasure

MATRIX = [[60, 10], [5, 125]]


def taken(matrix: list[list[int]], **more: Any) -> Classification:
    found = class_scores.of(matrix)
    given: dict[str, Any] = {
        "adapter_sha256": "a" * 64,
        "accuracy": found.accuracy,
        "macro_f1": found.macro_f1,
        "weighted_f1": found.weighted_f1,
        "majority_accuracy": found.majority_accuracy,
        "loss": 0.21,
        "documents": found.documents,
        "context": 64,
        "batch_size": 32,
        "dtype": "float32",
        "device": "cpu",
        "dataset_sha256": "b" * 64,
        "labels_sha256": "c" * 64,
        "dataset_name": "moods",
        "classes": class_scores.classes(matrix, ["no", "yes"]),
        "confusion": matrix,
        "accuracy_interval": Interval(low=0.88, high=0.96, resamples=500),
    }
    return Classification(**given | more)


def wrong(was: Classification, now: Classification, quantized: bool = False) -> set[str]:
    held = remeasure.compare(Measures(classification=was), Measures(classification=now), quantized=quantized)
    assert len(held) > 15
    return set(remeasure.names(held).get(remeasure.DIFFERS, []))


def test_the_same_holds() -> None:
    assert wrong(taken(MATRIX), taken(MATRIX)) == set()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accuracy", 0.93),
        ("macro_f1", 0.92),
        ("loss", 0.2102),
        ("documents", 199),
        ("labels_sha256", "d" * 64),
        ("truncated", 3),
        ("majority_accuracy", 0.6),
    ],
)
def test_each_number_that_was_changed_is_found(field: str, value: Any) -> None:
    edited = msgspec.structs.replace(taken(MATRIX), **{field: value})
    assert wrong(edited, taken(MATRIX)) == {f"classification.{field}"}


def test_one_answer_may_be_another_in_16_bits_alone() -> None:
    other = [[61, 9], [5, 125]]
    assert "classification.accuracy" in wrong(taken(MATRIX), taken(other))
    was, now = (taken(matrix, dtype="bfloat16") for matrix in (MATRIX, other))
    assert wrong(was, now) == set()
    assert wrong(was, taken([[70, 0], [5, 125]], dtype="bfloat16")) >= {"classification.accuracy"}


def test_the_conditions_are_those_of_the_record() -> None:
    text = Dataset(name="moods", id="ada/moods", eval_split="test", eval_documents=500)
    of_hub = taken(MATRIX, dataset_id="ada/moods", split="test", dataset_name="ada/moods")
    known = Record(dataset=text, measures=Measures(classification=of_hub))
    told = recorded.measuring(known)
    assert told == {
        "context": 64,
        "batch_size": 32,
        "resamples": 500,
        "max_eval_documents": 200,
        "precision": "float32",
    }
    plain = recorded.data(known)
    assert plain
    assert (plain["id"], plain["eval_split"]) == ("ada/moods", "test")


def side(name: str, **more: Any) -> Compared:
    given: dict[str, Any] = {"adapter_sha256": "a" * 64, "adapter_weights_bytes": 9, "method": "LoRA"}
    return Compared(name=name, **given | more)


def test_classifiers_stand_side_by_side_on_one_text_alone() -> None:
    good, bad = taken(MATRIX), taken([[50, 20], [5, 125]])
    sides = [side("good", classification=good), side("bad", classification=bad)]
    assert compare.reasons(sides) == []
    assert compare.by(sides) == "perplexity"
    shown = side_by_side.markdown([Side(one.name, one) for one in sides])
    assert "**0.9250**" in shown
    assert "0.8750" in shown
    assert "200 documents of moods" in shown
    row = compared_rows.plain(sides[0], "good")
    assert (row["accuracy"], row["accuracy_low"], row["classification_documents"]) == (0.925, 0.88, 200)
    relabelled = side("other", classification=msgspec.structs.replace(bad, labels_sha256="e" * 64))
    assert compare.reasons([sides[0], relabelled])[0].startswith("the labelling differs")
    assert compare.by([sides[0], relabelled]) is None


def test_tasks_are_not_mixed() -> None:
    sides = [side("talks", perplexity=PERPLEXITY), side("sorts", classification=taken(MATRIX))]
    assert compare.reasons(sides) == ["the tasks differ: perplexity in talks; accuracy in sorts"]
    assert compare.by(sides) is None
    assert compare.called(sides) == "measures"


@pytest.mark.parametrize("seed", [3, None], ids=["drawn", "the first, as before"])
def test_the_documents_that_were_drawn_are_found_again(seed: int | None, tmp_path: Path) -> None:
    rows = [(f"{label} {n}", label) for label, many in (("no", 60), ("yes", 30)) for n in range(many)]
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    data = Data(eval_files=[str(file)], label_column="label")
    whole = corpus.load(data, 3, only_evaluation=True)
    chosen = whole.evaluation[:9] if seed is None else whole.limited(20).limited(9).evaluation
    measured = msgspec.structs.replace(
        taken(MATRIX),
        documents=9,
        dataset_sha256=corpus.digest(chosen),
        selection=seed and Selection(of=90, seed=seed),
    )
    facts = Dataset(name="t.jsonl", eval_documents=20)
    known = Record(dataset=facts, measures=Measures(classification=measured))
    for given in (data, msgspec.structs.replace(data, max_eval_documents=20, split_seed=8)):
        plain: dict[str, Any] = {"base_model": {"id": "a/b"}, "task": {"name": "text-classification"}}
        told = prepare(*from_plain(plain))
        run = replace(told, settings=msgspec.structs.replace(told.settings, dataset=given))
        text, why = to_measure.recorded_text(run, known)
        assert why is None
        assert text
        assert text.evaluation == chosen
        assert [whole.label_names[at] for at in text.evaluation_labels] == [dict(rows)[one] for one in chosen]


@pytest.mark.parametrize(
    ("selection", "said", "row"),
    [
        (None, "200 documents", "200"),
        (Selection(), "the first 200 documents", "the first 200"),
        (Selection(of=1056), "the first 200 of 1,056 documents", "the first 200 of 1,056"),
        (
            Selection(of=1056, seed=7),
            "200 of 1,056 documents, drawn at random",
            "200 of 1,056, drawn with the same share of each label (seed 7)",
        ),
    ],
)
def test_the_card_says_which_documents_were_measured(
    selection: Selection | None, said: str, row: str
) -> None:
    measured = taken(MATRIX, selection=selection)
    assert (evaluation.some_of(measured, "document"), evaluation.documents_measured(measured)) == (said, row)
