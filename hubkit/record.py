"""The record `hubkit.json`: what is known about an adapter, and how it came to be known.

It lies in the adapter directory and is pushed with it. Training and measuring fill it; the card is made from
it. A field that is not known is absent from the file: there is no null, no "N/A" and no zero in place of a
number. It holds no token, user name, host name or absolute path.

Every measure carries the digest of the adapter weights it was taken on (`adapter_sha256`), so that a number
measured on other weights is found out: see `fresh_measures`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import msgspec

from hubkit import files
from hubkit.errors import RecordError

RECORD_NAME = "hubkit.json"
SCHEMA_VERSION = 1


class _Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part of the record; unknown keys of a newer hubkit are ignored when it is read."""


class Environment(_Part):
    """The machine and the libraries that a number came from."""

    python: str
    platform: str  # "Linux x86_64"
    libraries: dict[str, str]  # distribution name -> version, to the digit
    cpu: str | None = None
    cpu_count: int | None = None
    threads: int | None = None  # torch threads used
    memory_bytes: int | None = None
    device: str | None = None  # "cpu", "cuda"
    accelerator: str | None = None  # name of the GPU
    load_average: float | None = None  # one-minute load when the work began


class BaseModel(_Part):
    """The base model that the adapter belongs to."""

    id: str  # Hub id
    revision: str | None = None  # commit of the Hub repo, when it was loaded from there
    source: Literal["hub", "local"] | None = None
    note: str | None = None  # how the local weights differ from those that the id names
    architecture: str | None = None  # class name, e.g. "LlamaForCausalLM"
    model_type: str | None = None
    license: str | None = None
    weights_sha256: str | None = None  # digest over the base's weight files, local bases only
    weights_bytes: int | None = None  # of the weight files on disk
    dtype: str | None = None  # of the loaded weights ("float32"; compute dtype for 4-bit bases)
    quantization: dict[str, Any] | None = None  # what BitsAndBytesConfig was given
    head_newly_initialized: bool = False  # the task's head is not in the base's weights


class Overlap(_Part):
    """How much of the evaluation text also stands in the training text."""

    ngram_words: int
    evaluation_ngrams: int  # distinct n-grams in the evaluation text
    shared_ngrams: int  # of those, how many also occur in the training text
    fraction: float


class Dataset(_Part):
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
    text_column: str | None = None
    train_sha256: str | None = None  # over the documents used, in order
    eval_sha256: str | None = None
    train_documents: int | None = None
    eval_documents: int | None = None
    train_words: int | None = None
    eval_words: int | None = None
    train_tokens: int | None = None  # in packed blocks, special tokens included
    duplicate_documents_dropped: int | None = None
    duplicate_paragraphs_dropped: int | None = None
    overlap: Overlap | None = None


class Method(_Part):
    """The fine-tuning method and its parameters, as they were used."""

    name: str  # "lora", "sparse-lora", "qlora", "hira"
    parameters: dict[str, Any] = {}


class LogPoint(_Part):
    """One line of the training history."""

    step: int
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None


class Training(_Part):
    """How the adapter was trained."""

    settings_sha256: str  # digest of the settings that shape training; equal means no need to train again
    epochs: float
    steps: int
    batch_size: int  # sequences per device and step
    gradient_accumulation: int
    effective_batch_size: int
    block_size: int  # tokens per sequence
    tokens_seen: int
    learning_rate: float
    scheduler: str
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    optimizer: str
    seed: int
    precision: str  # "float32", "bfloat16"
    seconds: float
    started: str  # date, UTC
    resumed: int = 0  # how many times it went on from a checkpoint
    peak_memory_bytes: int | None = None
    final_train_loss: float | None = None  # mean over the last logging interval
    final_eval_loss: float | None = None
    history: list[LogPoint] = []
    environment: Environment | None = None


class Parameters(_Part):
    """Parameter counts. 4-bit weights count as the parameters they stand for; tied weights count once."""

    adapter_sha256: str
    adapter: int  # numbers in the adapter file
    adapter_by_dtype: dict[str, int] = {}
    trainable: int | None = None  # what training would update with this configuration
    total: int | None = None  # base and adapter
    total_by_dtype: dict[str, int] = {}  # as stored in memory; packed 4-bit weights under "4bit"
    adapter_nonzero: int | None = None  # counted in the saved file
    sparsity: float | None = None  # share of exact zeros in the prunable tensors of the saved file
    sparsity_by_module: dict[str, float] = {}
    counted_on: str | None = None  # "loaded model", "base configuration", "adapter file"


class Size(_Part):
    """Bytes, each said as what it is."""

    adapter_sha256: str
    adapter_weights_bytes: int  # the safetensors file
    adapter_directory_bytes: int | None = None  # all files that are published, without record and card
    base_weights_bytes: int | None = None  # the base's weight files
    base_memory_bytes: int | None = None  # loaded weights and buffers, quantisation constants included
    quantization_constants_bytes: int | None = None  # part of base_memory_bytes
    adapter_memory_bytes: int | None = None
    merged_bytes: int | None = None  # the base's parameters in `merged_dtype`, as after merging
    merged_dtype: str | None = None


class Perplexity(_Part):
    """Perplexity of base + adapter, and of the base alone, on the same tokens."""

    adapter_sha256: str
    definition: Literal["causal", "masked"]
    value: float  # base + adapter
    tokens_scored: int  # predictions that went into `value` (and into `base_value`)
    tokens_total: int  # tokens of the text
    documents: int
    documents_kept: Literal["apart", "packed"]
    context: int  # longest input, in tokens
    stride: int  # tokens scored per window
    batch_size: int
    dtype: str
    device: str
    dataset_sha256: str
    dataset_name: str
    split: str | None = None
    base_value: float | None = None
    base_left_out: str | None = None  # why there is no base_value
    mask_probability: float | None = None  # masked only
    mask_seed: int | None = None
    nll_sum: float | None = None  # of base + adapter, in nats
    base_nll_sum: float | None = None
    seconds: float | None = None
    date: str | None = None
    environment: Environment | None = None


class Rate(_Part):
    """One throughput figure: the median over `repeats` runs, and its spread."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    unit: str  # "tokens/s", "samples/s"
    repeats: int
    noisy: bool = False  # interquartile range above 10 % of the median


class Throughput(_Part):
    """Speed of the model as the card's snippet loads it: adapter attached, not merged."""

    adapter_sha256: str
    batch_size: int
    sequence_length: int  # tokens per sequence (the prompt, for generating models)
    warmup: int
    dtype: str
    device: str
    samples: Rate | None = None  # encoders: sequences per second
    tokens: Rate | None = None  # encoders: tokens per second
    prefill: Rate | None = None  # generating models: prompt tokens per second
    decode: Rate | None = None  # generating models: new tokens per second, after the prompt
    new_tokens: int | None = None
    peak_memory_bytes: int | None = None
    memory_kind: str | None = None  # "peak resident memory of the process", "peak allocated on the device"
    date: str | None = None
    environment: Environment | None = None


class Measures(_Part):
    """What was measured."""

    parameters: Parameters | None = None
    size: Size | None = None
    perplexity: Perplexity | None = None
    throughput: Throughput | None = None


class Author(_Part):
    """What only the author can say: kept in the record so that the card can be made again anywhere."""

    title: str | None = None
    summary: str | None = None
    description: str | None = None
    intended_use: str | None = None
    out_of_scope: str | None = None
    limitations: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: list[str] = []
    tags: list[str] = []
    authors: list[str] = []
    contact: str | None = None
    example: str | None = None  # text for the inference example


class Record(_Part):
    """Everything known about one adapter."""

    schema_version: int = SCHEMA_VERSION
    hubkit_version: str | None = None
    repo_id: str | None = None
    task: str | None = None  # "causal-lm", "masked-lm"
    method: Method | None = None
    base_model: BaseModel | None = None
    dataset: Dataset | None = None
    training: Training | None = None
    measures: Measures = msgspec.field(default_factory=Measures)
    measuring_sha256: str | None = None  # digest of the settings and inputs of `measures`
    author: Author = msgspec.field(default_factory=Author)


class _Version(msgspec.Struct):
    schema_version: int = SCHEMA_VERSION


def read(directory: Path) -> Record:
    """The record of an adapter directory; an empty one where there is no file yet."""
    path = directory / RECORD_NAME
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Record()
    except OSError as error:
        raise RecordError(
            f"cannot read {path}: {error.strerror or error}", "look at what lies there"
        ) from error
    try:
        record = msgspec.json.decode(content, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _check_version(path, _version(content))
        raise RecordError(f"{path} is not a record: {error}", "delete it and run: hubkit measure") from error
    _check_version(path, record.schema_version)
    return record


def _version(content: bytes) -> int:
    """The version that a record of another shape says it has."""
    try:
        return msgspec.json.decode(content, type=_Version).schema_version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
    plain = {"schema_version": record.schema_version, **msgspec.to_builtins(record)}
    try:
        return msgspec.json.format(msgspec.json.encode(_said(plain, [])), indent=2) + b"\n"
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


def fresh_measures(measures: Measures, adapter_sha256: str) -> tuple[Measures, list[str]]:
    """The measures taken on the weights with this digest, and the names of those taken on others."""
    stale = [
        name
        for name in measures.__struct_fields__
        if (value := getattr(measures, name)) is not None and value.adapter_sha256 != adapter_sha256
    ]
    return msgspec.structs.replace(measures, **dict.fromkeys(stale)), stale


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the record."""
    schema = msgspec.json.schema(Record)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hubkit record", **schema}
