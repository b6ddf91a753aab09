"""Every example of docs/data.md is loaded, from files like those that it names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tiny
from test_chat import CHATML

import hubkit
from hubkit.models import corpus
from hubkit.settings import from_plain
from hubkit.settings_data import Data

PAGE = (Path(hubkit.__file__).parent.parent / "docs/data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def fill(path: Path, data: Data) -> None:
    """Write a file of the kind that an example names, with the columns that it names."""
    texts = tiny.text(24, seed=sum(map(ord, path.name)))
    rows: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        row: dict[str, Any] = {data.text_column: text}
        if data.label_column:
            row[data.label_column] = [1, 2, 4, 5][number % 4] if data.labels else ["good", "bad"][number % 2]
        if data.messages_column:
            row = {
                data.messages_column: [
                    {"role": "user", "content": text},
                    {"role": "assistant", "content": "yes"},
                ]
            }
        if data.prompt_column:
            row = {data.prompt_column: text, data.input_column or "": "", data.answer_column or "": "yes"}
        rows.append(row)
    if path.suffix == ".txt":
        path.write_text("\n\n".join(texts))
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines))
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_page_is_loaded(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    plain = {"base_model": "org/base", "task": "causal-lm", **yaml.safe_load(EXAMPLES[number])}
    settings, _ = from_plain(plain)
    data = settings.data
    assert data is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "template.jinja").write_text(CHATML)
    if data.id:
        import datasets

        table = datasets.Dataset.from_dict({"text": tiny.text(4)})
        monkeypatch.setattr(datasets, "load_dataset", lambda *given, **options: table)
    for name in [*data.files, *data.eval_files]:
        fill(tmp_path / name, data)
    found = corpus.load(data, 42)
    assert found.kind == data.kind
    assert len(found.train) > 0
    assert len(found.evaluation) > 0


def test_the_page_has_an_example_of_every_kind_and_names_every_setting() -> None:
    import msgspec
    import yaml

    given = [yaml.safe_load(example)["dataset"] for example in EXAMPLES]
    assert {Data(**one).kind for one in given} == {"text", "labelled", "chat"}
    assert any(one.get("streaming") for one in given)
    names = {field.name for field in msgspec.structs.fields(Data)}
    assert {name for name in names if not re.search(rf"\b{name}\b", PAGE)} <= {"note", "revision"}
