"""The record `hubkit.json`: what is known about an adapter, and how it came to be known.

It lies in the adapter directory and is pushed with it. Training and measuring fill it; the card is made from
it. A field that is not known is absent from the file: there is no null, no "N/A" and no zero in place of a
number. It holds no token, user name, host name or absolute path.

Every measure carries the digest of the adapter it was taken on (`adapter_sha256`: digest of weights and
configuration), and training that of the adapter it ended in, so that a number of another adapter is found
out: see `freshness`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hubkit import bounded_json, files
from hubkit.compared import Compared as Compared
from hubkit.compared import Comparison as Comparison
from hubkit.errors import RecordError
from hubkit.measured import Classification as Classification
from hubkit.measured import ClassScore as ClassScore
from hubkit.measured import Interval as Interval
from hubkit.measured import Measures as Measures
from hubkit.measured import Parameters as Parameters
from hubkit.measured import Perplexity as Perplexity
from hubkit.measured import RankRange as RankRange
from hubkit.measured import Size as Size
from hubkit.measured import UpdateRanks as UpdateRanks
from hubkit.measured import UsageRun as UsageRun
from hubkit.measured_part import Environment as Environment
from hubkit.measured_part import Part, TextDigest
from hubkit.measured_part import Selection as Selection
from hubkit.measured_speed import Energy as Energy
from hubkit.measured_speed import Rate as Rate
from hubkit.measured_speed import Rates as Rates
from hubkit.measured_speed import Throughput as Throughput
from hubkit.trained import FoundHistory as FoundHistory
from hubkit.trained import LogPoint as LogPoint
from hubkit.trained import Origin as Origin
from hubkit.trained import Ranks as Ranks
from hubkit.trained import Training as Training

RECORD_NAME = "hubkit.json"
SCHEMA_VERSION = 1
LARGEST = 16_000_000  # bytes; a loss history of 100,000 points has 8 MB
MOST_VALUES = 1_000_000


class BaseModel(Part):
    """The base model that the adapter belongs to."""

    id: str  # Hub id
    revision: str | None = None  # commit of the Hub repo, when it was loaded from there
    source: Literal["hub", "local"] | None = None
    note: Annotated[
        str | None, Meta(description="How the weights used differ from those that the id names.")
    ] = None
    architecture: str | None = None  # class name, e.g. "LlamaForCausalLM"
    model_type: str | None = None
    license: str | None = None
    trust_remote_code: bool = False  # loading it runs code of its repo
    gated: bool = False  # the Hub hands it out only to those who asked for access
    vocab_size: int | None = None  # rows of its input embeddings
    max_positions: int | None = None  # tokens that it can take at once
    weights_sha256: Annotated[
        str | None,
        Meta(
            description="Of a base loaded from a local path: SHA-256 over a line 'NAME SHA256' for each of"
            " its weight files, sorted by name. It is the digest of no file."
        ),
    ] = None
    weights_bytes: int | None = None  # of the weight files on disk
    dtype: str | None = None  # of the loaded weights ("float32"; compute dtype for 4-bit bases)
    quantization: dict[str, Any] | None = None  # what BitsAndBytesConfig was given
    head_newly_initialized: bool = False  # the task's head is not in the base's weights
    pad_token: str | None = None  # given to a tokenizer that has none, so that texts can share a batch
    pad_token_id: Annotated[
        int | None,
        Meta(
            description="Given to a classifier's configuration that names none, or another: it finds the end"
            " of a text by it."
        ),
    ] = None


class Overlap(Part):
    """How much of the evaluation text also stands in the training text."""

    ngram_words: int
    evaluation_ngrams: int  # distinct n-grams in the evaluation text
    shared_ngrams: int  # of those, how many also occur in the training text
    fraction: float


class HoldOut(Part):
    """How evaluation documents were set apart, so that the very same can be set apart again."""

    fraction: float
    seed: int
    deduplicate: str
    documents: str | None = None  # what one document of a text file is
    max_documents: int | None = None
    max_eval_documents: int | None = None


class Dataset(Part):
    """The text an adapter was trained and measured on."""

    name: str  # as the card shows it
    id: str | None = None  # Hub id
    config: str | None = None
    revision: str | None = None
    source: Literal["hub", "local"] | None = None
    note: str | None = None
    license: str | None = None
    train_split: str | None = None
    eval_split: str | None = None  # a split's name, or "held out" for documents set apart by hubkit
    hold_out: HoldOut | None = None
    text_column: str | None = None
    columns: Annotated[
        dict[str, str], Meta(description="Other columns that were read, by their names in the settings.")
    ] = {}
    labels: Annotated[list[str], Meta(description="Their names; label n is the n-th.")] = []
    label_map: Annotated[
        dict[str, str], Meta(description="From the values of the column of labels to names.")
    ] = {}
    train_label_documents: Annotated[list[int], Meta(description="Of each label, in order.")] = []
    eval_label_documents: list[int] = []
    system: Annotated[str | None, Meta(description="Set before conversations without their own.")] = None
    chat_template_sha256: Annotated[
        TextDigest | None, Meta(description="Of one that was given; else the tokenizer's own was used.")
    ] = None
    streamed: bool = False  # read once, one document at a time; held out by a digest of each
    train_sha256: TextDigest | None = None
    eval_sha256: TextDigest | None = None
    train_documents: int | None = None
    eval_documents: int | None = None
    eval_selection: Selection | None = None  # where those are not all that could be evaluated on
    train_words: int | None = None
    eval_words: int | None = None
    train_tokens: int | None = None  # in blocks, special tokens included
    duplicate_documents_dropped: int | None = None
    duplicate_paragraphs_dropped: int | None = None
    contradictory_duplicates: int | None = None  # dropped, though their label was another than the first's
    rows_left_out: int | None = None  # without text, label or answer; streamed: and beyond the evaluation's
    answer_tokens: Annotated[
        int | None, Meta(description="Of `train_tokens`, those of answers: what the loss counted.")
    ] = None
    conversations_cut: int | None = None  # longer than a block
    conversations_left_out: int | None = None  # no answer begins within a block
    overlap: Overlap | None = None


class Method(Part):
    """The fine-tuning method and its parameters, as they were used."""

    name: str  # "lora", "sparse-lora", "qlora", "hira"
    parameters: dict[str, Any] = {}


class Author(Part):
    """What only the author can say: kept in the record so that the card can be made again anywhere.

    Texts are Markdown, but for those that stand in one line: title, names, links.
    """

    title: str | None = None
    summary: str | None = None
    description: str | None = None
    intended_use: str | None = None
    downstream_use: str | None = None
    out_of_scope: str | None = None
    risks: str | None = None
    limitations: str | None = None
    recommendations: str | None = None
    training_data: str | None = None  # what else there is to say of the data
    evaluation: str | None = None  # of results that hubkit did not measure
    citation: str | None = None
    acknowledgements: str | None = None
    funding: str | None = None
    help: str | None = None  # how to get help
    contact: str | None = None
    glossary: str | None = None
    more_information: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: list[str] = []
    tags: list[str] = []
    authors: list[str] = []
    shared_by: str | None = None
    repository: str | None = None  # of the code: a link
    paper: str | None = None  # a link
    demo: str | None = None  # a link
    cloud_provider: str | None = None  # for those who estimate emissions
    compute_region: str | None = None
    example: str | None = None  # text for the inference example


class Written(Part):
    """What hubkit wrote into the card last: the base that the next card is merged on."""

    metadata: Annotated[
        dict[str, Any], Meta(description="Of the front matter; the author's own items are not in it.")
    ] = {}
    agreed: Annotated[
        dict[str, Any],
        Meta(description="What the author's front matter said before hubkit did: not hubkit's to take out."),
    ] = {}
    regions: Annotated[list[str], Meta(description="Names; one that is not in the card was taken out.")] = []
    no_figures: Annotated[bool, Meta(description="The user wants none on the card.")] = False


class Pushed(Part):
    """What was published from a directory: so the next push can tell what was changed on the Hub since."""

    cards: Annotated[list[str], Meta(description="SHA-256 of README.md, the newest first.")] = []
    onto: Annotated[
        str | None, Meta(description="The commit on the Hub whose card the newest one takes account of.")
    ] = None


class Record(Part):
    """Everything known about one adapter."""

    schema_version: int = SCHEMA_VERSION
    hubkit_version: str | None = None
    repo_id: str | None = None
    task: str | None = None  # "causal-lm", "masked-lm"
    method: Method | None = None
    base_model: BaseModel | None = None
    dataset: Dataset | None = None
    training: Training | None = None
    origin: Origin | None = None
    found_history: FoundHistory | None = None  # where `training` is not known
    measures: Measures = msgspec.field(default_factory=Measures)
    measuring_sha256: Annotated[
        str | None,
        Meta(description="Digest of the settings and inputs of `measures`; equal: no need to measure again."),
    ] = None
    measures_sha256: Annotated[
        dict[str, str],
        Meta(
            description="Of each of `measures`, as hubkit wrote it: SHA-256 of canonical JSON (keys sorted,"
            " no spaces, 5.0 as 5). One that was edited since is found out by `hubkit measure --verify`."
        ),
    ] = {}
    usage: UsageRun | None = None  # the card's code ran
    author: Author = msgspec.field(default_factory=Author)
    author_files: Annotated[
        list[str], Meta(description="Texts of `author` that a card/ folder said when it was published.")
    ] = []
    comparison: Comparison | None = None
    written: Written | None = None  # into README.md
    pushed: Pushed | None = None  # from its directory


class _Version(msgspec.Struct):
    schema_version: int = SCHEMA_VERSION


def read(directory: Path) -> Record:
    """The record of an adapter directory; an empty one where there is no file yet."""
    path = directory / RECORD_NAME
    try:
        content = files.read(path, LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return Record()
    except OSError as error:
        raise RecordError(
            f"cannot read {path}: {error.strerror or error}", "look at what lies there"
        ) from error
    try:
        bounded_json.check(content, MOST_VALUES)
        record = msgspec.json.decode(content, type=Record)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        _check_version(path, _version(content))
        raise RecordError(f"{path} is not a record: {error}", "delete it and run: hubkit measure") from error
    _check_version(path, record.schema_version)
    return record


def _version(content: bytes) -> int:
    """The version that a record of another shape says it has."""
    try:
        return msgspec.json.decode(content, type=_Version).schema_version
    except (msgspec.DecodeError, ValueError, RecursionError):
        return SCHEMA_VERSION


def _check_version(path: Path, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{path} was written by a newer hubkit (schema {version}, this one knows {SCHEMA_VERSION})",
            "pip install --upgrade hubkit",
        )


def to_bytes(record: Record) -> bytes:
    """The record as it is written: JSON, two spaces, keys in the order of the schema, final newline.

    `schema_version` is always there, though it has a default. Raises RecordError for what JSON cannot hold.
    """
    try:
        encoded = msgspec.json.encode(record)
        if b"null" in encoded or not encoded.startswith(b'{"hubkit_version"'):
            plain = {"schema_version": record.schema_version, **msgspec.to_builtins(record)}
            encoded = msgspec.json.encode(_said(plain, []))
        else:  # nothing to leave out
            encoded = b'{"schema_version":%d,' % SCHEMA_VERSION + encoded[1:]
        return msgspec.json.format(encoded, indent=2) + b"\n"
    except UnicodeEncodeError as error:
        raise RecordError(
            "a text for the record holds bytes that are no UTF-8", "write it in UTF-8"
        ) from error


def _said(value: Any, keys: list[str]) -> Any:
    """The same without entries that say nothing (None). JSON has no number for NaN or infinity."""
    if isinstance(value, dict):
        return {key: _said(below, [*keys, key]) for key, below in value.items() if below is not None}
    if isinstance(value, list):
        return [_said(below, keys) for below in value if below is not None]
    if isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"{'.'.join(keys)} is {value}, which is no number to record", "measure it again")
    return value


def write(directory: Path, record: Record) -> Path:
    """Write the record beside its place, then rename it there."""
    path = directory / RECORD_NAME
    files.write_atomically(path, to_bytes(record))
    return path


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the record."""
    schema = msgspec.json.schema(Record)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hubkit record", **schema}
