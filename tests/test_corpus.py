"""Text to documents to blocks: nothing lost, nothing counted twice, nothing shared between the two parts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from hubkit.errors import DataError
from hubkit.models import corpus, parting
from hubkit.models.overlap import overlap
from hubkit.models.parting import Dropped
from hubkit.settings import Data

TEXTS = ["one fish", "two fish", "red fish", "blue fish"]
documents = st.lists(st.text(min_size=1), max_size=30)


def everything(data: Data, seed: int = 0) -> list[str]:
    found = corpus.load(data, seed)
    return sorted([*found.train, *found.evaluation])


@pytest.mark.parametrize(
    ("unit", "content"),
    [
        ("paragraph", "one fish\n\ntwo fish\n  \n\nred fish\n\n\n\nblue fish\n"),
        ("line", "one fish\ntwo fish\n\nred fish\n blue fish \n"),
    ],
)
def test_a_text_file_is_cut_into_documents(unit: Any, content: str, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text(content)
    assert everything(Data(files=[str(file)], documents=unit)) == sorted(TEXTS)


def test_a_text_file_can_be_one_document(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"{name} one\n\n{name} two\n")
    data = Data(files=[str(tmp_path / "a.txt"), str(tmp_path / "b.txt")], documents="file")
    assert everything(data) == ["a one\n\na two", "b one\n\nb two"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
def test_tables_are_read_by_their_text_column(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"t.{kind}"
    rows = [{"n": n, "body": text} for n, text in enumerate([*TEXTS, "  "])]
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        comma = "," if kind == "csv" else "\t"
        file.write_text(f"n{comma}body\n" + "".join(f"{r['n']}{comma}{r['body']}\n" for r in rows))
    assert everything(Data(files=[str(file)], text_column="body")) == sorted(TEXTS)
    with pytest.raises(DataError, match="has no column 'text'; it has n, body") as caught:
        corpus.load(Data(files=[str(file)]), 0)
    assert caught.value.hint == "set dataset.text_column"


@pytest.mark.parametrize("name", ["empty.txt", "blank.txt", "one.txt"])
def test_too_little_text_is_one_clear_error(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text({"empty.txt": "", "blank.txt": " \n\n \n", "one.txt": "only this"}[name])
    with pytest.raises(DataError, match="too few documents with text"):
        corpus.load(Data(files=[str(file)]), 0)


@pytest.mark.parametrize("name", ["bad.jsonl", "empty.jsonl", "empty.csv", "bad.parquet"])
def test_a_table_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text("{not json" if name.startswith("bad") else "")
    with pytest.raises(DataError) as caught:
        corpus.load(Data(files=[str(file)]), 0)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_no_text_at_all_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        corpus.load(Data(files=[str(tmp_path / "none.txt")]), 0)
    with pytest.raises(DataError, match="dataset names no text"):
        corpus.load(Data(), 0)
    with pytest.raises(DataError, match="both an id and files"):
        corpus.load(Data(id="org/data", files=["a.txt"]), 0)


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8 text"):
        corpus.load(Data(files=[str(file)]), 0)


def test_evaluation_files_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("one fish\n\ntwo fish")
    (tmp_path / "test.txt").write_text("red fish\n\nblue fish")
    data = Data(files=[str(tmp_path / "train.txt")], eval_files=[str(tmp_path / "test.txt")])
    found = corpus.load(data, 0)
    assert (found.train, found.evaluation) == (["one fish", "two fish"], ["red fish", "blue fish"])
    assert found.facts.eval_split == "test.txt"
    alone = corpus.load(Data(eval_files=data.eval_files), 0, only_evaluation=True)
    assert (alone.train, alone.evaluation) == ([], ["red fish", "blue fish"])
    assert alone.facts.eval_sha256 == found.facts.eval_sha256


def test_duplicates_are_dropped_by_document_and_by_paragraph() -> None:
    long = "a paragraph of eight words or more counts"
    texts = [f"start\n\n{long}", "Note:", f"Note:\n\n{long}", "Note:", long.replace(" ", "  ")]
    assert parting.deduplicate(texts, "none") == (texts, Dropped())
    kept = [texts[0], "Note:", texts[2], texts[4]]
    assert parting.deduplicate(texts, "documents") == (kept, Dropped(1))
    assert parting.deduplicate(texts, "paragraphs") == ([texts[0], "Note:", "Note:"], Dropped(1, 2))


@given(documents)
def test_deduplication_is_idempotent_and_keeps_order(texts: list[str]) -> None:
    for unit in ("documents", "paragraphs"):
        kept, dropped = parting.deduplicate(texts, unit)
        assert parting.deduplicate(kept, unit)[0] == kept
        assert dropped.documents == len(texts) - len(set(texts))


@given(st.lists(st.text(), min_size=2, max_size=40, unique=True), st.floats(0.01, 0.99), st.integers(0, 99))
def test_held_out_documents_are_disjoint_whole_and_repeatable(
    texts: list[str], fraction: float, seed: int
) -> None:
    train, held = parting.hold_out(texts, fraction, seed)
    assert set(train) & set(held) == set()
    assert [text for text in texts if text in set(train)] == train
    assert [text for text in texts if text in set(held)] == held
    assert len(train) + len(held) == len(texts)
    assert len(held) == min(max(1, round(fraction * len(texts))), len(texts) - 1)
    assert parting.hold_out(texts, fraction, seed) == (train, held)


def test_another_seed_holds_out_other_documents() -> None:
    texts = [str(n) for n in range(100)]
    assert parting.hold_out(texts, 0.1, 0)[1] != parting.hold_out(texts, 0.1, 1)[1]


def test_the_overlap_is_counted_exactly() -> None:
    train = ["The cat sat on the mat, it purred.", "unrelated"]
    held = ["the CAT sat on a mat", "it purred", "sat on the"]
    found = overlap(train, held, words=3)
    # The text has "the cat sat", "cat sat on" and "sat on the"; it lacks "sat on a" and "on a mat".
    assert found is not None
    assert (found.evaluation_ngrams, found.shared_ngrams, found.fraction) == (5, 3, 0.6)
    assert overlap(train, ["too short"], words=3) is None
    assert overlap(held, held) is None


def test_the_facts_tell_what_was_done(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    texts = tiny.text(20)
    file.write_text("\n\n".join([*texts, texts[0]]))
    found = corpus.load(Data(files=[str(file)], eval_fraction=0.25), 0)
    facts = found.facts
    assert (facts.train_documents, facts.eval_documents, facts.duplicate_documents_dropped) == (15, 5, 1)
    assert facts.train_words == sum(len(text.split()) for text in found.train)
    assert facts.name == "a.txt"
    assert facts.source == "local"
    assert facts.train_split is None
    by_hand = hashlib.sha256("".join(json.dumps(text) + "\n" for text in found.evaluation).encode())
    assert facts.eval_sha256 == by_hand.hexdigest()


@given(st.lists(st.text(max_size=5), max_size=5), st.lists(st.text(max_size=5), max_size=5))
def test_only_equal_documents_have_equal_digests(one: list[str], other: list[str]) -> None:
    assert (corpus.digest(one) == corpus.digest(other)) == (one == other)


def test_a_dataset_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def missing(*given: Any, **options: Any) -> Any:
        raise FileNotFoundError("no such dataset\nwith a second line")

    monkeypatch.setattr(datasets, "load_dataset", missing)
    with pytest.raises(DataError, match="cannot load dataset org/none: no such dataset") as caught:
        corpus.load(Data(id="org/none"), 0)
    assert "\n" not in str(caught.value)


def test_a_hub_dataset_keeps_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[Any] = []

    def load_dataset(*given: Any, **options: Any) -> Any:
        asked.append((*given, options))
        table = datasets.Dataset.from_dict({"text": [*TEXTS, "", "  "]})
        table.info.download_checksums = {f"hf://datasets/org/data@{'a' * 40}/x.parquet": {}}
        return table

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = Data(id="org/data", config="small", split="train[:10%]", eval_split="test")
    found = corpus.load(data, 0)
    assert [call[2]["split"] for call in asked] == ["test", "train[:10%]"]
    assert found.train == found.evaluation == TEXTS
    assert (found.facts.revision, found.facts.train_split, found.facts.eval_split) == (
        "a" * 40,
        "train[:10%]",
        "test",
    )
    asked.clear()
    corpus.load(data, 0, only_evaluation=True)
    assert [call[2]["split"] for call in asked] == ["test"]
