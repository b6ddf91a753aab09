"""Labelled text: names in an order that stays, the same share of each held out, contradictions counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import CASES
from hypothesis import given
from hypothesis import strategies as st

from hubkit import record
from hubkit.errors import DataError, SettingsError
from hubkit.models import classes, corpus, parting
from hubkit.record import Dataset, Record, Selection
from hubkit.recorded import columns, local_texts
from hubkit.settings import from_plain
from hubkit.settings_data import Data


def table(path: Path, rows: list[tuple[Any, Any]]) -> list[str]:
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return [str(path)]


ROWS = [(f"text number {n}", "good" if n % 4 else "bad") for n in range(40)]


def test_text_is_held_out_by_label(tmp_path: Path) -> None:
    data = Data(files=table(tmp_path / "t.jsonl", ROWS), label_column="label", eval_fraction=0.2)
    found = corpus.load(data, 3)
    assert found.label_names == ("bad", "good")
    assert (found.facts.train_label_documents, found.facts.eval_label_documents) == ([8, 24], [2, 6])
    of = dict(ROWS)
    for texts, labels in ((found.train, found.train_labels), (found.evaluation, found.evaluation_labels)):
        assert [of[text] for text in texts] == [found.label_names[label] for label in labels]
    assert corpus.load(data, 3) == found
    assert corpus.load(data, 4).evaluation != found.evaluation
    assert found.said() == ["documents of each label: bad 8, good 24"]


def test_duplicates_keep_the_first_label(tmp_path: Path) -> None:
    rows = [*ROWS, ("text number 1", "good"), ("text number 2", "bad"), ("", "bad"), ("x", None)]
    found = corpus.load(Data(files=table(tmp_path / "t.jsonl", rows), label_column="label"), 0)
    facts = found.facts
    assert (facts.duplicate_documents_dropped, facts.contradictory_duplicates, facts.rows_left_out) == (
        2,
        1,
        2,
    )
    assert "dropped a duplicate with another label than the first of the same text" in found.said()
    texts, labels = [*found.train, *found.evaluation], [*found.train_labels, *found.evaluation_labels]
    kept = dict(zip(texts, labels, strict=True))
    assert found.label_names[kept["text number 2"]] == "good"


def test_the_digest_covers_the_labels() -> None:
    a = corpus.digest(["x", "y"], [0, 1], ("bad", "good"))
    assert a != corpus.digest(["x", "y"], [1, 0], ("bad", "good"))
    assert a == corpus.digest(["x", "y"], [1, 0], ("good", "bad"))


def test_a_label_that_training_lacks_is_named(tmp_path: Path) -> None:
    files, other = (
        table(tmp_path / "t.jsonl", ROWS),
        table(tmp_path / "e.jsonl", [("new", "ugly"), *ROWS[:3]]),
    )
    with pytest.raises(DataError, match="has the label 'ugly', which is none of bad, good"):
        corpus.load(Data(files=files, eval_files=other, label_column="label"), 0)
    alone = corpus.load(
        Data(files=files, eval_files=table(tmp_path / "e.jsonl", ROWS[1:3]), label_column="label"),
        0,
        only_evaluation=True,
    )
    assert (alone.train, alone.label_names, alone.evaluation_labels) == ([], ("bad", "good"), (1, 1))


@pytest.mark.parametrize(
    ("values", "told", "of_column", "names", "numbers"),
    [
        ([3, 1, 10, 1], None, None, ("1", "3", "10"), [1, 0, 2, 0]),
        (["b", "a"], None, None, ("a", "b"), [1, 0]),
        ([1, "a"], None, None, ("1", "a"), [0, 1]),
        ([1, 0], None, ["neg", "pos"], ("neg", "pos"), [1, 0]),
        ([1, 0], ["pos", "neg"], ["neg", "pos"], ("pos", "neg"), [0, 1]),
        ([1, 0], ["neg", "pos"], None, ("neg", "pos"), [1, 0]),
        ([1, 2], ["1", "2"], None, ("1", "2"), [0, 1]),
        ([1, 0], None, ["5", "1"], ("5", "1"), [1, 0]),
        (["1", "0"], ["b", "a"], ["1", "0"], None, None),
        ([1, -1, 1], {1: "yes", -1: "no"}, None, ("yes", "no"), [0, 1, 0]),
        (["1", "5", "4"], {"1": "low", "5": "high", 4: "high"}, None, ("low", "high"), [0, 1, 1]),
        ([2], ["neg", "pos"], None, None, None),
        ([-1], ["neg", "pos"], None, None, None),
        (["x"], {"y": "a", "z": "b"}, None, None, None),
        ([10**30], ["a", "b"], ["a", "b"], None, None),
    ],
)
def test_values_become_labels(values: Any, told: Any, of_column: Any, names: Any, numbers: Any) -> None:
    known = classes.names(values, told, of_column)
    if names is None:
        with pytest.raises(DataError, match="which is none of"):
            classes.numbers(values, known, told, of_column)
        return
    assert (known, classes.numbers(values, known, told, of_column)) == (names, numbers)


cells = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
)


@given(st.lists(cells, max_size=20))
def test_any_cell_is_a_label_or_nothing_or_one_line(column: list[Any]) -> None:
    values = []
    for cell in column:
        try:
            values.append(classes.value(cell, "row 1"))
        except DataError as error:
            assert str(error).startswith("row 1: the label is ")  # noqa: PT017 - others pass
    there = [value for value in values if value is not None]
    names = classes.names(there, None, None)
    assert list(names) == sorted(names, key=int if all(isinstance(v, int) for v in there) else str)
    found = classes.numbers(there, names, None, None)
    assert [names[label] for label in found] == [str(value) for value in there]
    assert sum(classes.counts(found, names)) == len(there)


def test_a_column_of_something_else_is_found_out() -> None:
    with pytest.raises(DataError, match="column of labels has 1,001 different values"):
        classes.names(range(1001), None, None)


@given(st.lists(st.integers(0, 4), max_size=60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_of_each_label_some_are_held_out_and_some_left(labels: list[int], fraction: float, seed: int) -> None:
    chosen = parting.stratified(labels, fraction, seed)
    held = Counter(labels[at] for at in chosen)
    for label, count in Counter(labels).items():
        assert held[label] == min(max(1, round(count * fraction)), count - 1)
    assert parting.stratified(labels, fraction, seed) == chosen


def test_the_names_of_a_hub_dataset_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    rows = {"text": [f"text {n}" for n in range(20)] + ["hidden"], "label": [*([1, 0] * 10), -1]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **options: whole)
    found = corpus.load(Data(id="org/data", label_column="label"), 0)
    assert (found.label_names, found.facts.rows_left_out) == (("neg", "pos"), 1)
    assert found.facts.train_label_documents == [9, 9]
    # what the record keeps is enough to read the very same again
    again = corpus.load(Data(**{"id": "org/data", **columns(found.facts)}), 0, only_evaluation=True)
    assert (again.evaluation, again.evaluation_labels) == (found.evaluation, found.evaluation_labels)
    assert again.facts.train_sha256 == found.facts.train_sha256


def test_local_text_is_read_again_from_its_record(tmp_path: Path) -> None:
    rows = [(text, {"good": 5, "bad": 1}[label]) for text, label in ROWS]
    files = table(tmp_path / "t.jsonl", rows)
    found = corpus.load(Data(files=files, label_column="label", labels={1: "bad", 5: "good"}), 7)
    way = local_texts(Record(dataset=found.facts), files)[0]
    again = corpus.load(Data(**way), 7, only_evaluation=True)
    assert (again.label_names, again.evaluation, again.evaluation_labels) == (
        found.label_names,
        found.evaluation,
        found.evaluation_labels,
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"label_column": "a", "messages_column": "b"}, "label_column and messages_column are for different"),
        ({"prompt_column": "a"}, "prompt_column and answer_column belong together"),
        ({"answer_column": "a"}, "prompt_column and answer_column belong together"),
        ({"input_column": "a"}, "input_column is for instructions"),
        ({"labels": ["a", "b"]}, "labels are of a column"),
        ({"label_column": "l", "labels": ["a"]}, "labels must name at least two"),
        ({"label_column": "l", "labels": {"1": "a", "2": "a"}}, "labels must name at least two"),
        ({"label_column": "l", "labels": ["a", "b", "a"]}, "labels names one of them twice"),
        ({"system": "x"}, "system and chat_template are for conversations"),
        ({"label_column": "l", "deduplicate": "paragraphs"}, "paragraphs is for running text"),
        ({"streaming": True, "deduplicate": "documents"}, "streaming forgets what it has read"),
    ],
)
def test_contradictions_are_one_line(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        from_plain({"base_model": "a/b", "task": "causal-lm", "dataset": given})


def test_a_card_tells_how_the_text_was_read(tmp_path: Path) -> None:
    from hubkit.card.evaluation import data
    from hubkit.card.facts import gather
    from hubkit.freshness import only_evaluated

    directory = CASES["causal-lora"](tmp_path / "adapter")
    known = record.read(directory)
    rows = [*ROWS, ("text number 2", "bad"), ("", "bad")]
    text = corpus.load(Data(files=table(tmp_path / "t.jsonl", rows), label_column="label"), 0).facts
    record.write(directory, msgspec.structs.replace(known, dataset=text))
    told: dict[str, str] = dict(data(gather(directory)))  # type: ignore[arg-type]
    assert told["Labels"] == "bad (9 and 1), good (27 and 3)"
    assert told["Other columns"] == "`label` (labels)"
    assert (told["Duplicates with another label"], told["Rows left out"]) == ("1", "1")
    assert (only_evaluated(text).train_label_documents, only_evaluated(text).eval_label_documents) == (
        [],
        [1, 3],
    )
    talk = Dataset(
        name="talk", answer_tokens=6917, train_tokens=10206, conversations_cut=4, conversations_left_out=1
    )
    record.write(directory, msgspec.structs.replace(known, dataset=talk))
    told = dict(data(gather(directory)))  # type: ignore[arg-type]
    assert told["Tokens that the loss counts"] == (
        "6,917 of 10,206, those of answers; 4 conversations cut at the length of a block;"
        " 1 conversation left out as too long"
    )


SORTED = [(f"{label} review {n}", label) for label, many in (("bad", 60), ("good", 30)) for n in range(many)]


@pytest.mark.parametrize("apart", [True, False])
def test_fewer_evaluation_documents_keep_the_share_of_each_label(apart: bool, tmp_path: Path) -> None:
    files = table(tmp_path / "t.jsonl", SORTED)
    source = {"files": files, "eval_files": files} if apart else {"files": files, "eval_fraction": 0.5}
    data = Data(**source, label_column="label")
    every, some = (corpus.load(one, 3) for one in (data, msgspec.structs.replace(data, max_eval_documents=9)))
    assert some.facts.eval_label_documents == [6, 3]
    assert some.evaluation == [text for text in every.evaluation if text in some.evaluation]
    assert some.evaluation not in (every.evaluation[:9], corpus.load(data, 4).limited(9).evaluation)
    assert some.facts.eval_selection == Selection(of=90 if apart else 45, seed=3)
    assert some.facts.train_sha256 == every.facts.train_sha256
    limited = every.limited(9)
    assert (limited.evaluation, limited.evaluation_labels) == (some.evaluation, some.evaluation_labels)
    assert limited.selection == some.selection
    assert every.limited(90) is every
    again = some.limited(3)
    assert again.selection == Selection(of=90 if apart else 45, seed=3)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 9), st.data())
def test_a_sample_has_each_label_as_often_as_its_share(labels: list[int], seed: int, data: Any) -> None:
    count = data.draw(st.integers(1, len(labels)))
    chosen = parting.sample(labels, count, seed)
    assert (len(chosen), chosen) == (count, sorted(set(chosen)))
    drawn = Counter(labels[at] for at in chosen)
    for label, there in Counter(labels).items():
        assert abs(drawn[label] - count * there / len(labels)) < 1
