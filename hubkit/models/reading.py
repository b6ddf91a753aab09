"""The documents of a dataset, one after another, in the order that they stand there.

A document is running text, a text with a label, or a conversation. Rows that lack one of their parts are
left out, and counted where a row has more parts than its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hubkit.errors import DataError
from hubkit.hub_rules import is_repo_id
from hubkit.models import classes, conversations, tables
from hubkit.models.tables import KINDS, Table
from hubkit.settings_data import Data

Document = tuple[str, Any]  # the text, and the value of its label or None


class Reader:
    """Reads what the settings name, and knows afterwards what was left out and which commit it was."""

    def __init__(self, data: Data) -> None:
        if data.id and (data.files or data.eval_files):
            raise DataError("dataset names both an id and files", "keep one of them")
        self.data = data
        self.left_out = 0
        self.revision: str | None = None
        self.classes: list[str] | None = None

    def training(self) -> Iterator[Document]:
        """The documents of `split` or `files`. Raises DataError."""
        return self._documents(self.data.split, self.data.files)

    def evaluation(self) -> Iterator[Document]:
        """The documents of `eval_split` or `eval_files`. Raises DataError."""
        return self._documents(self.data.eval_split or "", self.data.eval_files)

    def _documents(self, split: str, paths: list[str]) -> Iterator[Document]:
        data = self.data
        if paths:
            for path in map(Path, paths):
                yield from self._of_file(path)
            return
        if not data.id:
            raise DataError("dataset names no text", "give dataset.id or dataset.files")
        if not is_repo_id(data.id) or Path(data.id).exists():
            raise DataError(f"{data.id} is no id of a dataset on the Hub", "name local text by dataset.files")
        table = tables.hub(data, split)
        self.revision = table.revision
        yield from self._of_table(table)

    def _of_file(self, path: Path) -> Iterator[Document]:
        if not path.is_file():
            fetched = "make quickstart fetches it for examples/quickstart.yaml; else "
            of_example = path.parts[:1] == ("build",)
            raise DataError(f"there is no file {path}", f"{fetched if of_example else ''}check dataset.files")
        if path.suffix in KINDS:
            yield from self._of_table(tables.local(path, self.data.streaming))
            return
        if self.data.kind != "text":
            raise DataError(f"{path} has no columns", "give a table: JSONL, CSV or Parquet")
        pieces = _streamed(path, self.data.documents) if self.data.streaming else _whole(path, self.data)
        yield from ((piece.strip(), None) for piece in pieces if piece.strip())

    def _of_table(self, table: Table) -> Iterator[Document]:
        data = self.data
        if data.label_column:
            yield from self._labelled(table, data.label_column)
        elif data.messages_column:
            cells = table.rows({"messages_column": data.messages_column})
            made = (
                conversations.of_messages(value, data.system, f"{table.where}, row {at:,}")
                for at, (value,) in enumerate(cells, 1)
            )
            yield from self._there(made)
        elif data.prompt_column:
            yield from self._there(self._instructions(table))
        else:
            for (value,) in table.rows({"text_column": data.text_column}):
                if isinstance(value, str) and value.strip():
                    yield value.strip(), None

    def _labelled(self, table: Table, column: str) -> Iterator[Document]:
        named = table.classes.get(column)
        self.classes = self.classes or named
        rows = table.rows({"text_column": self.data.text_column, "label_column": column})
        for at, (text, cell) in enumerate(rows, 1):
            label = classes.value(cell, f"{table.where}, row {at:,}")
            if not (isinstance(text, str) and text.strip()) or label is None or (named and label == -1):
                self.left_out += 1  # -1 is how the Hub's test splits hide a label
            else:
                yield text.strip(), label

    def _instructions(self, table: Table) -> Iterator[str | None]:
        names = {
            name: getattr(self.data, name) for name in ("prompt_column", "input_column", "answer_column")
        }
        for at, cells in enumerate(table.rows({name: own for name, own in names.items() if own}), 1):
            prompt, *more, answer = cells
            yield conversations.of_columns(
                prompt, more[0] if more else None, answer, self.data.system, f"{table.where}, row {at:,}"
            )

    def _there(self, made: Iterable[str | None]) -> Iterator[Document]:
        for document in made:
            if document is None:
                self.left_out += 1
            else:
                yield document, None


def _not_utf8(path: Path, error: UnicodeDecodeError) -> DataError:
    return DataError(f"{path} is not UTF-8 text (byte {error.start})", "convert it to UTF-8")


def _whole(path: Path, data: Data) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    return {"file": [text], "line": text.splitlines(), "paragraph": re.split(r"\n\s*\n", text)}[
        data.documents
    ]


def _streamed(path: Path, unit: str) -> Iterator[str]:
    """The same documents, with no more than one of them in memory."""
    if unit == "file":
        raise DataError(
            f"{path} is one document, which streaming would hold in memory",
            "set dataset.documents: paragraph or line",
        )
    try:
        with path.open(encoding="utf-8") as file:
            if unit == "line":
                yield from (piece for line in file for piece in line.splitlines())
                return
            lines: list[str] = []
            for line in file:
                if line.strip():
                    lines.append(line)
                elif lines:
                    yield "".join(lines)
                    lines = []
            yield "".join(lines)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
