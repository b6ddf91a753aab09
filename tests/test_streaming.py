"""Text that is streamed: the same documents as in memory, one of them at a time; columns are shown."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from hubkit.errors import DataError
from hubkit.measured_part import Selection
from hubkit.models import corpus, parting, tables
from hubkit.models.reading import Reader
from hubkit.models.spool import Spool
from hubkit.settings_data import Data

TEXTS = [f"{number} {text}" for number, text in enumerate(tiny.text(30))]


def write(path: Path, texts: list[str]) -> str:
    if path.suffix == ".txt":
        path.write_text("\n\n \n".join(texts))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"n": n, "text": text}) for n, text in enumerate(texts)))
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"n": list(range(len(texts))), "text": texts}), path, row_group_size=7)
    else:
        comma = "," if path.suffix == ".csv" else "\t"
        path.write_text(f"n{comma}text\n" + "".join(f'{n}{comma}"{text}"\n' for n, text in enumerate(texts)))
    return str(path)


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "tsv", "parquet"])
def test_streamed_documents_are_those_of_the_file(kind: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"t.{kind}", TEXTS)
    found = corpus.load(Data(files=[file], streaming=True, eval_fraction=0.3), 5)
    held = [text for text in TEXTS if parting.is_held_out(text, 0.3, 5)]
    assert 0 < len(held) < 20
    assert found.evaluation == held
    assert list(found.train) == [text for text in TEXTS if text not in held]
    assert found.facts.train_sha256 == corpus.digest(list(found.train))
    assert found.facts.streamed
    assert found.facts.hold_out is not None
    assert found.facts.hold_out.deduplicate == "none"
    fewer = corpus.load(Data(files=[file], streaming=True, eval_fraction=0.3, max_eval_documents=2), 5)
    assert (fewer.evaluation, list(fewer.train)) == (held[:2], list(found.train))
    assert fewer.facts.rows_left_out == len(held) - 2
    assert fewer.facts.eval_selection == Selection(of=len(held))
    assert found.facts.eval_selection is None
    first = Data(eval_files=[file], max_eval_documents=2, documents="paragraph")
    assert corpus.load(first, 5, only_evaluation=True).selection == Selection(of=len(TEXTS))
    unread = msgspec.structs.replace(first, streaming=True)
    assert corpus.load(unread, 5, only_evaluation=True).selection == Selection()


@given(
    st.text(st.sampled_from("ab \n\r\t\f\x1c\x85\u2028"), max_size=60), st.sampled_from(["paragraph", "line"])
)
def test_a_text_file_has_the_same_documents_either_way(content: str, unit: Any) -> None:
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        Path(file.name).write_text(content, encoding="utf-8", newline="")
        whole, streamed = (
            list(Reader(Data(files=[file.name], documents=unit, streaming=streaming)).training())
            for streaming in (False, True)
        )
    assert streamed == whole


def test_what_is_held_out_does_not_depend_on_the_order(tmp_path: Path) -> None:
    one = corpus.load(Data(files=[write(tmp_path / "a.jsonl", TEXTS)], streaming=True), 1)
    other = corpus.load(Data(files=[write(tmp_path / "b.jsonl", [*TEXTS, *TEXTS][::-1])], streaming=True), 1)
    assert set(one.evaluation) == set(other.evaluation)
    assert not set(other.evaluation) & set(other.train)


def test_evaluation_text_of_its_own(tmp_path: Path) -> None:
    train, held = write(tmp_path / "a.jsonl", TEXTS[:20]), write(tmp_path / "b.jsonl", TEXTS[20:])
    data = Data(files=[train], eval_files=[held], streaming=True, max_documents=8, max_eval_documents=3)
    found = corpus.load(data, 0)
    assert (list(found.train), found.evaluation) == (TEXTS[:8], TEXTS[20:23])
    assert len(corpus.load(data, 0, only_evaluation=True).train) == 0


@given(st.lists(st.text(), max_size=30), st.data())
def test_a_spool_is_a_list(documents: list[str], data: st.DataObject) -> None:
    spool = Spool()
    for text in documents:
        spool.add(text)
    assert list(spool) == documents
    assert len(spool) == len(documents)
    start, stop = (data.draw(st.integers(-40, 40)) for _ in range(2))
    assert spool[start:stop] == documents[start:stop]
    if documents:
        assert spool[-1] == documents[-1]
    with pytest.raises(IndexError):
        spool[len(documents)]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", '{"text": "x"}\n{oops\n', "line 2: Expecting"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', "line 2 is no JSON object"),
        ("a.jsonl", "", "it is empty"),
        ("a.json", "[]", "cannot be streamed"),
        ("a.parquet", "no", "cannot read"),
        ("a.csv", "n,body\n1,x\n", "has no column 'text'; it has n, body"),
        ("a.txt", "only one", "too few documents"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(name: str, content: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(DataError, match=told) as caught:
        corpus.load(Data(files=[str(file)], streaming=True), 0)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool()

    def full(*given: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "_flush", full)
    for number in range((1 << 14) - 1):
        spool.add(str(number))
    with pytest.raises(DataError, match="cannot keep the text on disk: No space left"):
        spool.add("the last")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with two configs, as a directory that takes the place of the Hub's `org/data`."""
    import datasets

    root = tmp_path / "data"
    for config in ("small", "large"):
        (root / config).mkdir(parents=True)
        for split in ("train", "test"):
            write(root / config / f"{split}.jsonl", [f"{config} {split} {text}" for text in TEXTS[:6]])
    (root / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(
            f"- config_name: {config}\n  data_files:\n"
            f"  - {{split: train, path: {config}/train.jsonl}}\n"
            f"  - {{split: test, path: {config}/test.jsonl}}\n"
            for config in ("small", "large")
        )
        + "---\n"
    )
    for name in (
        "load_dataset",
        "load_dataset_builder",
        "get_dataset_config_names",
        "get_dataset_split_names",
    ):
        real = getattr(datasets, name)

        def local(path: str, *given: Any, _real: Any = real, **options: Any) -> Any:
            return _real(str(root), *given, **options)

        monkeypatch.setattr(datasets, name, local)
    return root


@pytest.mark.parametrize("streaming", [False, pytest.param(True, marks=pytest.mark.real)])
def test_configs_and_splits_that_exist_are_shown(hub: Path, streaming: bool) -> None:
    def said(**given: Any) -> str:
        with pytest.raises(DataError) as caught:
            corpus.load(Data(id="org/data", streaming=streaming, **given), 0)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "; it has the configs small, large" in said()
    assert "; it has the configs small, large, did you mean 'small'?" in said(config="smal")
    assert "; it has the splits train, test, did you mean 'train'?" in said(config="small", split="trian")
    assert "has no column 'body'; it has n, text" in said(config="small", text_column="body")
    found = corpus.load(Data(id="org/data", config="small", eval_split="test", streaming=streaming), 0)
    assert found.evaluation == [f"small test {text}" for text in TEXTS[:6]]
    assert list(found.train) == [f"small train {text}" for text in TEXTS[:6]]


def test_a_dataset_that_breaks_off_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def rows() -> Any:
        yield {"text": "one"}
        raise ConnectionError("the server went away\nand more")

    class Builder:
        class config:
            data_files = {"train": [f"hf://datasets/org/data@{'b' * 40}/x.jsonl"]}

        def as_streaming_dataset(self, split: str) -> Any:
            return datasets.IterableDataset.from_generator(rows)

    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *given, **options: Builder())
    table = tables.hub(Data(id="org/data", streaming=True), "train")
    assert (table.columns, table.revision) == (["text"], "b" * 40)
    with pytest.raises(DataError, match="reading org/data broke off: the server went away") as caught:
        list(table.rows({"text_column": "text"}))
    assert "\n" not in str(caught.value)


GROWING = """
import resource, sys
from hubkit.models import corpus, prepared
from hubkit.settings_data import Data
class Letters:
    eos_token_id = 1
    def __call__(self, texts, **options):
        return {"input_ids": [list(text.encode()) for text in texts]}
data = Data(files=[sys.argv[1]], streaming=True, eval_fraction=0.001, max_eval_documents=50, cache=False)
text = corpus.load(data, 0)
blocks = prepared.prepare(Letters(), text, 128)
print(len(text.train), blocks.made.tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.real
def test_memory_stays_flat_while_the_data_grows_tenfold(tmp_path: Path) -> None:
    peaks = []
    for megabytes in (8, 80):
        file = tmp_path / f"{megabytes}.jsonl"
        line = json.dumps({"text": "word " * 200}) + "\n"
        with file.open("w") as out:
            for number in range(megabytes * 1_000_000 // len(line)):
                out.write(line.replace("word", f"w{number}", 1))
        done = subprocess.run([sys.executable, "-c", GROWING, str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        documents, tokens, peak = map(int, done.stdout.split())
        assert tokens > 0.9 * documents * 1000
        peaks.append(peak * 1024)
        file.unlink()
    assert peaks[1] < peaks[0] + 30_000_000, peaks
