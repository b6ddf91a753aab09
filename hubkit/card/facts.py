"""Everything a card may say about one adapter, gathered from its files and its record, without torch.

What the record does not know is read from the files: a foreign adapter has a card too. A measure taken on
another adapter than the one in the directory is left out, and so is its training; `stale` names them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from hubkit import __version__, base_model, freshness, hub_names, tasks, zeros
from hubkit import adapter as adapter_files
from hubkit import record as records
from hubkit.adapter import Adapter
from hubkit.card import fragments, kinds, png, weights
from hubkit.card.kinds import Kind
from hubkit.errors import CardError
from hubkit.hub_rules import LICENSES, is_repo_id
from hubkit.record import Author, BaseModel, Dataset, Method, Overlap, Parameters, Record, Size
from hubkit.tasks import Described

QUANTIZATION_NAME = "quantization_config.json"
# A tokenizer is there where its configuration is, and all files of one of these.
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    ("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"), ("tokenizer.model",),
    ("sentencepiece.bpe.model",), ("spiece.model",),
)  # fmt: skip
MANY_LABELS = 20  # more are counted, and not all named
_EMPTY, _NOBODY = Record(), Author()
_OF_THE_CARD = {
    "written",
    "usage",
    "author_files",
}  # parts of a record that tell of the card, and not of the adapter


@dataclass(frozen=True)
class Facts:
    """What is known about an adapter. `record` holds the fresh measures only."""

    adapter: Adapter
    record: Record
    stale: tuple[str, ...]  # what the directory's record says of another adapter
    weights_bytes: int
    weights_sha256: str
    sha256: str  # of the adapter: weights and effective configuration
    parameters: Parameters
    size: Size
    kind: Kind
    task: Described | None
    repo_id: str | None
    base_id: str | None  # Hub id
    quantization: dict[str, Any] | None  # what BitsAndBytesConfig is given, or the base's own configuration
    directory_name: str
    has_tokenizer: bool
    has_record: bool  # there is a record to speak of
    figures: Mapping[str, str]  # hubkit's figures on disk: the digest of what each shows, by file name
    author: Author  # the author's words: the record's, and those of the card/ folder over them
    labels: int | None  # rows of a classification head in the adapter's file
    embedding_rows: int | None  # tokens that embeddings in the adapter's file are of
    version: str = __version__  # hubkit's
    shown_code: str | None = None  # digest of the code on the card, where it is not what hubkit would write

    @property
    def trained_on(self) -> Dataset | None:
        """The text that the adapter was trained on, where the record says so."""
        dataset = self.record.dataset
        return dataset if dataset and (self.record.training or dataset.train_sha256) else None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes of a classifier, in the order of its head's rows; none where nobody told."""
        run, measured = self.record.training, self.record.measures.classification
        told = (
            run.labels if run and run.labels else [one.label for one in measured.classes] if measured else []
        )
        return tuple(told) if self.labels in (None, len(told)) else ()

    @property
    def overlap(self) -> Overlap | None:
        """How much of the text that was measured on stands in the training text."""
        dataset, measured = self.trained_on, self.record.measures.on_text
        same = dataset and measured and measured.dataset_sha256 == dataset.eval_sha256
        return dataset.overlap if dataset and same else None

    @property
    def base_lacks_head(self) -> bool:
        """Whether the base's weights hold no head for the task."""
        return bool(self.record.base_model and self.record.base_model.head_newly_initialized)

    @property
    def brings_head(self) -> bool:
        """Whether the adapter's file holds whole modules, as a head that was trained anew."""
        return bool(self.adapter.modules_to_save and self.adapter.whole_tensors)

    @property
    def base_is_quantized(self) -> bool:
        """Whether the base is published in quantized weights; its config.json then names a quant_method."""
        return "quant_method" in (self.quantization or {})

    @property
    def resized_vocabulary(self) -> int | None:
        """Of how many tokens the base's embeddings must be, where that is not known to be so."""
        base = self.record.base_model
        fits = base and base.vocab_size == self.embedding_rows
        return None if fits else self.embedding_rows

    @property
    def four_bit(self) -> bool:
        """Whether the base's weights are held in 4 bits."""
        return bool((self.quantization or {}).get("load_in_4bit"))

    def with_total(self, counted: Parameters) -> Facts:
        """The same with the total that was counted from the base's configuration."""
        known = self.record.measures.parameters
        parameters = (
            msgspec.structs.replace(
                known,
                total=counted.total,
                total_by_dtype=counted.total_by_dtype,
                embedding=counted.embedding,
                trainable=known.trainable if known.trainable is not None else counted.trainable,
                counted_on=counted.counted_on,
            )
            if known
            else counted
        )
        measures = msgspec.structs.replace(self.record.measures, parameters=parameters)
        return replace(
            self, record=msgspec.structs.replace(self.record, measures=measures), parameters=parameters
        )


def gather(
    directory: Path,
    *,
    repo_id: str | None = None,
    base_config: Path | None = None,
    author: Author | None = None,
    record: Record | None = None,
    adapter: Adapter | None = None,
) -> Facts:
    """Gather the facts of an adapter directory.

    `record` stands in for the directory's own, `adapter` for one that was read already, `author` adds to what
    the record says, `base_config` is the base's config.json.
    Raises AdapterError, RecordError, BaseModelError, CardError.
    """
    adapter = adapter or adapter_files.read(directory)
    there = _entries(directory)
    whole = records.read(directory) if record is None else record
    config = base_model.read_config(base_config) if base_config else None
    weights_sha256 = adapter.weights_sha256()
    sha256 = adapter.sha256(weights_sha256)
    given = freshness.fresh(whole, sha256)
    measures = given.measures
    task = _task(given, adapter, config)
    quantization = _quantization(directory, there, given, config)
    named = given.base_model.id if given.base_model else adapter.base_model
    base_id = hub_names.canonical(base_model.hub_id(named))
    kind = _kind(given, adapter, quantization)
    weights_bytes = os.stat(adapter.weights).st_size
    repo_id = _checked_repo_id(repo_id or given.repo_id)
    said = merge_authors(given.author, author)
    return Facts(
        adapter=adapter,
        record=msgspec.structs.replace(
            given,
            repo_id=repo_id,
            task=task.NAME if task and task.NAME in tasks.TASKS else given.task,
            base_model=_base(given.base_model, base_id, config, quantization),
            author=said,
        ),
        stale=tuple(freshness.stale(whole, sha256)),
        weights_bytes=weights_bytes,
        weights_sha256=weights_sha256,
        sha256=sha256,
        parameters=measures.parameters or weights.parameters(adapter, kind, sha256),
        size=measures.size or Size(adapter_sha256=sha256, adapter_weights_bytes=weights_bytes),
        kind=kind,
        task=task,
        repo_id=repo_id,
        base_id=base_id,
        quantization=quantization,
        directory_name=os.path.basename(os.path.abspath(directory)),
        has_tokenizer=_has_tokenizer(there),
        has_record=_speaks(whole),
        figures=png.on_disk(directory) if png.FOLDER in there else {},
        author=fragments.over(directory, said, whole.author_files) if fragments.FOLDER in there else said,
        labels=adapter.labels,
        embedding_rows=adapter.embedding_rows,
    )


def _kind(given: Record, adapter: Adapter, quantization: dict[str, Any] | None) -> kinds.Kind:
    """What kind of adapter it is, by its configuration, its method and what pruning left of it."""
    method = given.method or Method(name="")
    return kinds.of(
        adapter.config,
        method.name,
        bool((quantization or {}).get("load_in_4bit")),
        str(method.parameters.get("pruning", "magnitude")),
        str(method.parameters.get("init", "default")),
        method.name != "sparse-lora" or _is_sparse(given, adapter),
    )


def _speaks(record: Record) -> bool:
    """Whether a record says anything about the adapter: what hubkit wrote last alone says nothing of it."""
    parts = (name for name in Record.__struct_fields__ if name not in _OF_THE_CARD)
    return any(getattr(record, name) != getattr(_EMPTY, name) for name in parts)


def _is_sparse(record: Record, adapter: Adapter) -> bool:
    """Whether a pruned adapter may be called sparse: as was measured on it, else as its file says."""
    measured = record.measures.parameters
    share = measured.sparsity if measured else None
    try:
        share = zeros.share(adapter) if share is None else share
    except OSError:
        share = None
    return zeros.is_sparse(share, record.training)


def _entries(directory: Path) -> frozenset[str]:
    """The names in a directory: asked once, and not for each file that may be there."""
    try:
        return frozenset(os.listdir(directory))
    except OSError:
        return frozenset()


def _has_tokenizer(there: frozenset[str]) -> bool:
    return TOKENIZER_CONFIG in there and any(there.issuperset(names) for names in TOKENIZER_FILES)


def merge_authors(known: Author, more: Author | None) -> Author:
    """`known` with everything that `more` says put over it."""
    if more is None and not known.license:
        return known
    given = {
        name: value
        for name in Author.__struct_fields__
        if more is not None and (value := getattr(more, name)) != getattr(_NOBODY, name)
    }
    merged = msgspec.structs.replace(known, **given)
    if merged.license and merged.license.lower() in LICENSES:
        merged.license = merged.license.lower()
    return merged


def _checked_repo_id(repo_id: str | None) -> str | None:
    if repo_id is not None and not is_repo_id(repo_id):
        raise CardError(f"{repo_id!r} is not the id of a repo", "write it as user/name")
    return repo_id


def _task(record: Record, adapter: Adapter, config: dict[str, Any] | None) -> Described | None:
    """The task: as the record says, else as the adapter's and the base's own files tell."""
    if named := tasks.described(record.task):
        return named
    architecture = record.base_model.architecture if record.base_model else None
    known = {"architectures": [architecture]} if architecture else None
    return tasks.of_card(adapter.config, config or known, weights.headless(adapter))


def _base(
    known: BaseModel | None,
    base_id: str | None,
    config: dict[str, Any] | None,
    quantization: dict[str, Any] | None,
) -> BaseModel | None:
    """What is known of the base: what the record says, then what the base's configuration does."""
    if known is None and base_id is None:
        return None
    base = known or BaseModel(id=str(base_id))
    return msgspec.structs.replace(
        base,
        architecture=base.architecture or (base_model.architecture(config) if config else None),
        model_type=base.model_type or (base_model.model_type(config) if config else None),
        vocab_size=base.vocab_size or (base_model.vocab_size(config) if config else None),
        max_positions=base.max_positions or (base_model.max_positions(config) if config else None),
        quantization=base.quantization or quantization,
    )


def _quantization(
    directory: Path, there: frozenset[str], record: Record, config: dict[str, Any] | None
) -> dict[str, Any] | None:
    """How the base's weights are quantized.

    The record knows how training loaded the base. PEFT's configuration cannot say it; some tools write
    quantization_config.json beside it.
    """
    if record.base_model and record.base_model.quantization:
        return record.base_model.quantization
    if config and (published := base_model.quantization(config)):
        return published
    if record.training is None and QUANTIZATION_NAME in there:
        given = base_model.read_json(directory / QUANTIZATION_NAME)
        given.pop("quant_method", None)  # what training gave, and not what the base is published in
        return given or None
    return None
