"""The record on disk: round trip, nothing in place of what is not known, and clear refusals."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import freshness, record
from hubkit.errors import RecordError
from hubkit.record import (
    Author,
    BaseModel,
    Compared,
    Comparison,
    Dataset,
    Environment,
    HoldOut,
    LogPoint,
    Measures,
    Method,
    Overlap,
    Parameters,
    Perplexity,
    Pushed,
    Rate,
    Record,
    Size,
    Throughput,
    Training,
    UsageRun,
    Written,
)

PLAIN = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5))
ANY = st.recursive(
    st.one_of(st.none(), PLAIN),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field of the record."""
    if hasattr(kind, "__metadata__"):  # Annotated with its description
        return values(kind.__origin__)
    if kind is float:
        return FLOATS
    if kind is Any:
        return ANY
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind)
    arguments = getattr(kind, "__args__", ())
    origin = getattr(kind, "__origin__", None)
    if origin is list:
        return st.lists(values(arguments[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), values(arguments[1]), max_size=2)
    if type(None) in arguments:
        return st.one_of(st.none(), *(values(one) for one in arguments if one is not type(None)))
    if kind is int:
        return st.integers(0, 2**53)
    return st.from_type(kind)


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any Struct of this kind; fields that have a default are sometimes left alone."""
    fields = msgspec.structs.fields(kind)
    required = {f.name: values(f.type) for f in fields if f.required}
    optional = {f.name: values(f.type) for f in fields if not f.required and f.name != "schema_version"}
    return st.fixed_dictionaries(required, optional=optional).map(lambda given_fields: kind(**given_fields))


def without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nothing(below) for key, below in value.items() if below is not None}
    if isinstance(value, list):
        return [without_nothing(below) for below in value if below is not None]
    return value


def has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_null, value.values()))
    return any(map(has_null, value)) if isinstance(value, list) else value is None


SCHEMA = jsonschema.Draft202012Validator(record.json_schema())


@given(structs(Record))
def test_round_trip_without_null(given_record: Record) -> None:
    content = record.to_bytes(given_record)
    plain = json.loads(content)
    assert not has_null(plain)
    assert content.endswith(b"}\n")
    SCHEMA.validate(plain)
    again = msgspec.json.decode(content, type=Record)
    assert again == msgspec.convert(without_nothing(msgspec.to_builtins(given_record)), Record)
    assert msgspec.json.decode(record.to_bytes(again), type=Record) == again


def test_written_and_read(tmp_path: Path) -> None:
    written = Record(
        task="causal-lm",
        method=Method(name="lora", parameters={"r": 8}),
        training=None,
        measures=Measures(size=Size(adapter_sha256="a", adapter_weights_bytes=3)),
        author=Author(language=["no"]),
    )
    path = record.write(tmp_path, written)
    assert record.read(tmp_path) == written
    assert json.loads(path.read_bytes()) == {
        "schema_version": 1,
        "task": "causal-lm",
        "method": {"name": "lora", "parameters": {"r": 8}},
        "measures": {"size": {"adapter_sha256": "a", "adapter_weights_bytes": 3}},
        "author": {"language": ["no"]},
    }
    assert [path.name for path in tmp_path.iterdir()] == [record.RECORD_NAME]


def test_an_empty_record_says_its_version() -> None:
    assert json.loads(record.to_bytes(Record())) == {"schema_version": 1, "measures": {}, "author": {}}


def test_nothing_is_left_out_inside_free_mappings() -> None:
    known = Record(base_model=BaseModel(id="a/b", quantization={"x": None, "y": [None, {"z": None}], "w": 0}))
    assert json.loads(record.to_bytes(known))["base_model"]["quantization"] == {"y": [{}], "w": 0}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_number_is_refused(value: float, tmp_path: Path) -> None:
    before = record.write(tmp_path, Record(task="causal-lm")).read_bytes()
    history = Record(measures=Measures(parameters=Parameters(adapter_sha256="a", adapter=1, sparsity=value)))
    with pytest.raises(RecordError, match=r"^measures\.parameters\.sparsity is .*no number"):
        record.write(tmp_path, history)
    assert (tmp_path / record.RECORD_NAME).read_bytes() == before
    assert "null" not in repr(before)
    with pytest.raises(RecordError, match=r"method\.parameters\.x"):
        record.to_bytes(Record(method=Method(name="lora", parameters={"x": [value]})))


def test_text_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(RecordError, match="no UTF-8"):
        record.to_bytes(Record(author=Author(title="\udcff")))


def test_no_file_is_an_empty_record(tmp_path: Path) -> None:
    assert record.read(tmp_path) == Record()
    assert record.read(tmp_path / "nowhere") == Record()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"task": 3}',
        b'{"measures": {"size": {}}}',
        b'{"schema_version": "x"}',
        b'{"base_model": {"id": "a/b", "quantization": ' + b'{"a":' * 100_000,
        b'{"unknown": ' + b"[" * 100_000,
        b'{"author": {"title": "\xff"}}',
    ],
    ids=lambda content: repr(content[:40]),
)
def test_garbage_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / record.RECORD_NAME
    path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        record.read(tmp_path)
    assert str(caught.value).startswith(f"{path} is not a record: ")
    assert str(caught.value).endswith("(delete it and run: hubkit measure)")
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / record.RECORD_NAME).write_bytes(content)
    with contextlib.suppress(RecordError):
        assert isinstance(record.read(directory), Record)


def test_a_directory_in_its_place(tmp_path: Path) -> None:
    (tmp_path / record.RECORD_NAME).mkdir()
    with pytest.raises(RecordError, match=r"cannot read .*Is a directory"):
        record.read(tmp_path)


@pytest.mark.parametrize(
    "content", ['{"schema_version": 2}', '{"schema_version": 7, "task": {"of": "another shape"}}']
)
def test_a_newer_version_is_refused_with_the_way_out(content: str, tmp_path: Path) -> None:
    (tmp_path / record.RECORD_NAME).write_text(content)
    with pytest.raises(RecordError, match="written by a newer hubkit") as caught:
        record.read(tmp_path)
    assert caught.value.hint == "pip install --upgrade hubkit"


def test_unknown_keys_of_the_same_version_are_ignored(tmp_path: Path) -> None:
    (tmp_path / record.RECORD_NAME).write_text('{"schema_version": 1, "later": {"a": null}}')
    assert record.read(tmp_path) == Record()


def test_fresh_measures() -> None:
    size = Size(adapter_sha256="new", adapter_weights_bytes=1)
    counted = Parameters(adapter_sha256="old", adapter=1)
    fresh, stale = freshness.fresh_measures(Measures(size=size, parameters=counted), "new")
    assert fresh == Measures(size=size)
    assert stale == ["parameters"]
    assert freshness.fresh_measures(Measures(), "new") == (Measures(), [])
    assert freshness.fresh_measures(Measures(size=size), "new") == (Measures(size=size), [])


def test_every_measure_names_its_weights() -> None:
    for field in msgspec.structs.fields(Measures):
        (kind,) = [one for one in field.type.__args__ if one is not type(None)]
        required = [f.name for f in msgspec.structs.fields(kind) if f.required]
        assert "adapter_sha256" in required, field.name


def test_the_schema_describes_every_key() -> None:
    schema = record.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    kinds = {
        Record, Author, BaseModel, Dataset, Environment, HoldOut, LogPoint, Measures, Method, Overlap,
        Parameters, Perplexity, Pushed, Rate, Size, Throughput, Training, Compared, Comparison, UsageRun,
        Written, record.Classification, record.ClassScore, record.Energy, record.Interval, record.Rates,
        record.FoundHistory, record.Origin, record.Ranks, record.RankRange, record.UpdateRanks,
        record.Selection,
    }  # fmt: skip
    assert set(schema["$defs"]) == {kind.__name__ for kind in kinds}
    for definition in schema["$defs"].values():
        assert definition["description"], definition["title"]
        for name, part in definition["properties"].items():
            assert {"type", "anyOf", "enum", "$ref"} & part.keys(), name


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("Perplexity.adapter_sha256", "digest of no file"),
        ("Perplexity.tokens_scored", "Predictions"),
        ("BaseModel.weights_sha256", "SHA-256 over a line 'NAME SHA256' for each"),
        ("Training.settings_sha256", "no need to train again"),
        ("Record.measuring_sha256", "no need to measure again"),
        ("Parameters.total_by_dtype", '"4bit"'),
    ],
)
def test_the_schema_says_what_a_name_does_not(path: str, words: str) -> None:
    kind, name = path.split(".")
    assert words in record.json_schema()["$defs"][kind]["properties"][name]["description"]


def test_a_digest_in_the_record_can_be_made_again_as_the_schema_says(tmp_path: Path) -> None:
    import hashlib

    from hubkit import files

    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    lines = "".join(
        f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in (("a", b"1"), ("b", b"2"))
    )
    assert files.sha256_of([tmp_path / "b", tmp_path / "a"]) == hashlib.sha256(lines.encode()).hexdigest()
