"""Tables as rows: local JSONL, CSV and Parquet files, and datasets of the Hub; whole, or one row at a time.

Errors show what there is: the columns of a table, the splits and configs of a dataset.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubkit.errors import DataError
from hubkit.settings_data import Data
from hubkit.yaml_source import nearest

KINDS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
PARQUET_ROWS = 1_000  # read at a time while streaming


@dataclass(frozen=True)
class Table:
    """Rows that can be read once or more, by the names of their columns."""

    where: str  # for messages
    columns: list[str]
    read: Callable[[list[str]], Iterable[tuple[Any, ...]]]
    classes: dict[str, list[str]]  # of columns that name their values (ClassLabel)
    revision: str | None = None

    def rows(self, columns: dict[str, str]) -> Iterable[tuple[Any, ...]]:
        """The values of columns, a tuple for each row; `columns` maps names of settings to columns.

        Raises DataError for a column that there is not.
        """
        for setting, column in columns.items():
            if column not in self.columns:
                known = ", ".join(self.columns[:50])
                close = nearest(column, self.columns)
                close = close if close.startswith(", did you mean") else ""
                raise DataError(
                    f"{self.where} has no column {column[:60]!r}; it has {known}{close}",
                    f"set dataset.{setting}",
                )
        return self.read(list(columns.values()))


def reason(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip("'\"\n ") or repr(error)).splitlines()[0][:300]


def local(path: Path, streaming: bool) -> Table:
    """A local table. Raises DataError where it cannot be read."""
    kind = KINDS[path.suffix]
    if streaming:
        return _STREAMED[kind](path)
    loaded = _loaded(path, kind)
    return _of_datasets(loaded, str(path))


def _loaded(path: Path, kind: str) -> Any:
    """A local table; read by datasets, into memory, past its cache."""
    import tempfile

    import datasets

    make = {"json": datasets.Dataset.from_json, "csv": datasets.Dataset.from_csv}.get(
        kind, datasets.Dataset.from_parquet
    )
    options = {"sep": "\t"} if path.suffix == ".tsv" else {}
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what is wrong is said below, once
    try:
        with tempfile.TemporaryDirectory() as cache:
            return make(str(path), cache_dir=cache, keep_in_memory=True, **options)
    except Exception as error:  # datasets raises many kinds, from pyarrow and pandas too
        raise _unreadable(path, error.__cause__ or error) from error


def _unreadable(path: Path, error: BaseException) -> DataError:
    return DataError(f"cannot read {path}: {reason(error)}", "check dataset.files")


def _of_datasets(table: Any, where: str, revision: str | None = None) -> Table:
    features = table.features or {}
    classes = {name: list(kind.names) for name, kind in features.items() if hasattr(kind, "names")}

    def read(columns: list[str]) -> Iterable[tuple[Any, ...]]:
        return zip(*(table[column] for column in columns), strict=True)

    return Table(where, list(table.column_names), read, classes, revision)


def hub(data: Data, split: str) -> Table:
    """A split of a dataset on the Hub. Raises DataError, with the splits or configs that there are."""
    import datasets

    try:
        if data.streaming:
            return _streamed_from_hub(data, split)
        table = datasets.load_dataset(data.id, data.config, split=split, revision=data.revision)
    except Exception as error:  # of many kinds; ValueError: a name that it does not have
        others = _there_is(data, split) if isinstance(error, ValueError) else ""
        raise DataError(
            f"cannot load dataset {data.id}: {reason(error)}{others}",
            "check dataset.id, config, split and the network",
        ) from error
    sources = " ".join(map(str, table.info.download_checksums or {}))
    return _of_datasets(table, str(data.id), _commit(sources) or data.revision)


def _commit(sources: str) -> str | None:
    found = re.search(r"@([0-9a-f]{40})", sources)
    return found.group(1) if found else None


def _streamed_from_hub(data: Data, split: str) -> Table:
    import datasets

    builder = datasets.load_dataset_builder(data.id, data.config, revision=data.revision)
    stream = builder.as_streaming_dataset(split=split)
    sources = " ".join(str(file) for files in (builder.config.data_files or {}).values() for file in files)
    features = stream.features or {}
    classes = {name: list(kind.names) for name, kind in features.items() if hasattr(kind, "names")}
    columns = list(stream.column_names or next(iter(stream), {}))

    def read(columns: list[str]) -> Iterator[tuple[Any, ...]]:
        try:
            for row in stream:
                yield tuple(row.get(column) for column in columns)
        except Exception as error:  # the network, or a file of the dataset
            raise DataError(
                f"reading {data.id} broke off: {reason(error)}", "run the same command again"
            ) from error

    return Table(str(data.id), columns, read, classes, _commit(sources) or data.revision)


def _there_is(data: Data, split: str) -> str:
    """The configs or splits of a dataset, where the one that was asked for is not among them."""
    import datasets

    try:
        configs = datasets.get_dataset_config_names(data.id, revision=data.revision)
        if data.config is None and len(configs) > 1 and "default" not in configs:
            return f"; it has the configs {', '.join(configs[:50])}"
        if data.config is not None and data.config not in configs:
            return _known("config", data.config, configs)
        name = re.split(r"[\[+]", split)[0]
        splits = datasets.get_dataset_split_names(data.id, data.config, revision=data.revision)
        return "" if name in splits else _known("split", name, splits)
    except Exception:  # then the first error says what is wrong
        return ""


def _known(what: str, name: str, known: list[str]) -> str:
    close = nearest(name, known)
    close = close if close.startswith(", did you mean") else ""
    return f"; it has the {what}s {', '.join(known[:50])}{close}"


def _json_lines(path: Path) -> Table:
    if path.suffix != ".jsonl":
        raise DataError(
            f"{path} is read as a whole, and cannot be streamed", "write it as JSON lines (.jsonl)"
        )

    def lines() -> Iterator[dict[str, Any]]:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.isspace():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"cannot read {path}: line {number:,}: {reason(error)}",
                                    "check dataset.files") from error  # fmt: skip
                if not isinstance(row, dict):
                    raise DataError(f"cannot read {path}: line {number:,} is no JSON object", "check it")
                yield row

    def read(columns: list[str]) -> Iterator[tuple[Any, ...]]:
        return (tuple(row.get(column) for column in columns) for row in lines())

    first = next(lines(), None)
    if first is None:
        raise DataError(f"cannot read {path}: it is empty", "check dataset.files")
    return Table(str(path), list(first), read, {})


def _csv_rows(path: Path) -> Table:
    def rows() -> Iterator[list[str]]:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                yield from csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        except (csv.Error, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from error

    header = next(rows(), [])

    def read(columns: list[str]) -> Iterator[tuple[Any, ...]]:
        places = [header.index(column) for column in columns]
        found = rows()
        next(found)
        return (tuple(row[at] if at < len(row) else None for at in places) for row in found)

    return Table(str(path), header, read, {})


def _parquet_rows(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error

    def read(columns: list[str]) -> Iterator[tuple[Any, ...]]:
        with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS, columns=columns):
                yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)

    return Table(str(path), names, read, {})


_STREAMED: dict[str, Callable[[Path], Table]] = {
    "json": _json_lines,
    "csv": _csv_rows,
    "parquet": _parquet_rows,
}
