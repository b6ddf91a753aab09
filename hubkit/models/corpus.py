"""Text to documents, documents to packed blocks of tokens, with the facts of what was done on the way.

Duplicates are dropped, evaluation documents are set apart whole, and what training and evaluation text still
share is measured. Blocks are packed: no padding, documents separated, the last incomplete block of the
training text left out.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubkit.errors import DataError
from hubkit.hub_rules import is_repo_id
from hubkit.record import Dataset, HoldOut, Overlap
from hubkit.settings import Data

OVERLAP_WORDS = 13  # the n-gram length of GPT-3's contamination study (Brown et al. 2020, appendix C)
PARAGRAPH_WORDS = 8  # shorter paragraphs ("For example:") may repeat
HELD_OUT = "held out"


@dataclass(frozen=True)
class Corpus:
    """Training and evaluation documents, and the facts about them."""

    train: list[str]
    evaluation: list[str]
    facts: Dataset
    label_names: tuple[str, ...] = ()  # of labelled text; a label is an index into them
    train_labels: tuple[int, ...] = ()  # one a document
    evaluation_labels: tuple[int, ...] = ()


def load(data: Data, seed: int, *, only_evaluation: bool = False) -> Corpus:
    """Read, deduplicate and split the text. Raises DataError where there is none.

    With `only_evaluation`, training text is not read where the evaluation text has a source of its own.
    `seed` draws the documents that are held out, where the settings name no split_seed.
    """
    seed = seed if data.split_seed is None else data.split_seed
    dropped = (0, 0)
    if data.eval_files or data.eval_split:
        evaluation, revision = _read(data, data.eval_split or "", data.eval_files)
        train: list[str] = []
        if not only_evaluation:
            documents, revision = _read(data, data.split, data.files)
            train, dropped = deduplicate(documents[: data.max_documents], data.drops)
    else:
        documents, revision = _read(data, data.split, data.files)
        documents, dropped = deduplicate(documents[: data.max_documents], data.drops)
        train, evaluation = hold_out(documents, data.eval_fraction, seed)
    evaluation = evaluation[: data.max_eval_documents]
    if only_evaluation and not evaluation:
        raise DataError(f"{_name(data)} has no text to evaluate on", "give another text")
    if not evaluation or not (train or only_evaluation):
        raise DataError(
            f"{_name(data)} has too few documents with text to train on some and to evaluate on others",
            "give more text, or set dataset.documents or dataset.eval_files",
        )
    facts = _facts(data, revision, train, evaluation, dropped)
    if facts.eval_split == HELD_OUT:
        facts.hold_out = HoldOut(
            fraction=data.eval_fraction,
            seed=seed,
            deduplicate=data.drops,
            documents=data.documents if data.files else None,
            max_documents=data.max_documents,
            max_eval_documents=data.max_eval_documents,
        )
    return Corpus(train, evaluation, facts)


def _name(data: Data) -> str:
    return data.name or data.id or ", ".join(Path(file).name for file in [*data.files, *data.eval_files])


def _read(data: Data, split: str, paths: list[str]) -> tuple[list[str], str | None]:
    if data.id and (data.files or data.eval_files):
        raise DataError("dataset names both an id and files", "keep one of them")
    if paths:
        return [text for path in paths for text in _read_file(Path(path), data)], None
    if not data.id:
        raise DataError("dataset names no text", "give dataset.id or dataset.files")
    if not is_repo_id(data.id) or Path(data.id).exists():
        raise DataError(f"{data.id} is no id of a dataset on the Hub", "name local text by dataset.files")
    return _read_hub(data, split)


def _read_file(path: Path, data: Data) -> list[str]:
    if not path.is_file():
        fetched = "make quickstart fetches it for examples/quickstart.yaml; else "
        of_example = path.parts[:1] == ("build",)
        raise DataError(f"there is no file {path}", f"{fetched if of_example else ''}check dataset.files")
    kind = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}.get(
        path.suffix
    )
    if kind is None:
        return _documents(path, data.documents)
    return _column(_table(path, kind), data.text_column, str(path))


def _documents(path: Path, unit: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})", "convert it to UTF-8") from error
    pieces = {"file": [text], "line": text.splitlines(), "paragraph": re.split(r"\n\s*\n", text)}[unit]
    return [piece.strip() for piece in pieces if piece.strip()]


def _table(path: Path, kind: str) -> Any:
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
        cause = error.__cause__ or error
        reason = (str(cause).strip("'\"\n ") or repr(cause)).splitlines()[0][:300]
        raise DataError(f"cannot read {path}: {reason}", "check dataset.files") from error


def _read_hub(data: Data, split: str) -> tuple[list[str], str | None]:
    import datasets

    try:
        table = datasets.load_dataset(data.id, data.config, split=split, revision=data.revision)
    except Exception as error:  # as above
        reason = (str(error).strip() or repr(error)).splitlines()[0][:300]
        raise DataError(
            f"cannot load dataset {data.id}: {reason}", "check dataset.id, config, split and the network"
        ) from error
    sources = " ".join(map(str, table.info.download_checksums or {}))
    commit = re.search(r"@([0-9a-f]{40})", sources)
    return _column(table, data.text_column, str(data.id)), commit.group(1) if commit else data.revision


def _column(table: Any, column: str, where: str) -> list[str]:
    if column not in table.column_names:
        raise DataError(
            f"{where} has no column {column!r}; it has {', '.join(table.column_names)}",
            "set dataset.text_column",
        )
    texts = table[column]
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]


def deduplicate(documents: list[str], unit: str) -> tuple[list[str], tuple[int, int]]:
    """Drop documents, and paragraphs of at least 8 words, that stood before; the first of each stays.

    Returns the documents left and how many documents and paragraphs were dropped.
    """
    if unit == "none":
        return documents, (0, 0)
    kept = list(dict.fromkeys(documents))
    dropped_documents = len(documents) - len(kept)
    if unit == "documents":
        return kept, (dropped_documents, 0)
    seen: set[str] = set()
    result, dropped_paragraphs = [], 0
    for document in kept:
        paragraphs = []
        for paragraph in re.split(r"\n\s*\n", document):
            key = " ".join(paragraph.split())
            if key in seen and len(key.split()) >= PARAGRAPH_WORDS:
                dropped_paragraphs += 1
                continue
            seen.add(key)
            paragraphs.append(paragraph)
        if paragraphs:
            result.append("\n\n".join(paragraphs))
    return result, (dropped_documents, dropped_paragraphs)


def hold_out(documents: list[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Set whole documents apart for evaluation, at random under a seed; both keep the given order."""
    count = min(max(1, round(len(documents) * fraction)), len(documents) - 1)
    chosen = set(random.Random(seed).sample(range(len(documents)), max(count, 0)))
    train = [text for index, text in enumerate(documents) if index not in chosen]
    return train, [documents[index] for index in sorted(chosen)]


def overlap(train: list[str], evaluation: list[str], words: int = OVERLAP_WORDS) -> Overlap | None:
    """Distinct n-grams of words in the evaluation text, and how many of them the training text has.

    Words are lower-case runs of letters and digits. None where the evaluation text has no n-gram.
    """
    held = {gram for text in evaluation for gram in _ngrams(text, words)}
    if not held:
        return None
    shared = {gram for text in train for gram in _ngrams(text, words) if gram in held}
    return Overlap(
        ngram_words=words,
        evaluation_ngrams=len(held),
        shared_ngrams=len(shared),
        fraction=len(shared) / len(held),
    )


def _ngrams(text: str, words: int) -> list[str]:
    found = re.findall(r"\w+", text.lower())
    return [" ".join(found[start : start + words]) for start in range(len(found) - words + 1)]


def digest(documents: list[str]) -> str:
    """SHA-256 over documents in order, each as one JSON line."""
    whole = hashlib.sha256()
    for text in documents:
        whole.update(json.dumps(text).encode() + b"\n")
    return whole.hexdigest()


def _facts(
    data: Data, revision: str | None, train: list[str], evaluation: list[str], dropped: tuple[int, int]
) -> Dataset:
    if data.eval_files:
        eval_split = ", ".join(Path(file).name for file in data.eval_files)
    else:
        eval_split = data.eval_split or HELD_OUT
    return Dataset(
        name=_name(data),
        id=data.id,
        config=data.config,
        revision=revision,
        source="hub" if data.id else "local",
        note=data.note,
        license=data.license,
        train_split=data.split if data.id else None,
        eval_split=eval_split,
        text_column=data.text_column if data.id else None,
        train_sha256=digest(train),
        eval_sha256=digest(evaluation),
        train_documents=len(train),
        eval_documents=len(evaluation),
        train_words=sum(len(text.split()) for text in train),
        eval_words=sum(len(text.split()) for text in evaluation),
        duplicate_documents_dropped=dropped[0],
        duplicate_paragraphs_dropped=dropped[1],
        overlap=overlap(train, evaluation),
    )


def token_ids(tokenizer: Any, documents: list[str]) -> list[list[int]]:
    """The tokens of each document, without special tokens."""
    if not documents:
        return []
    ids: list[list[int]] = tokenizer(documents, add_special_tokens=False, return_attention_mask=False)[
        "input_ids"
    ]
    return ids


def blocks(tokenizer: Any, documents: list[str], size: int, masked: bool) -> list[list[int]]:
    """Packed blocks of exactly `size` tokens: documents one after the other, each followed by a separator.

    The separator is the end-of-text token, or [SEP] for masked models, whose blocks also begin with [CLS] and
    end with [SEP]. Raises DataError when the text does not fill one block.
    """
    separator = tokenizer.sep_token_id if masked else tokenizer.eos_token_id
    stream: list[int] = []
    for ids in token_ids(tokenizer, documents):
        stream += ids if separator is None else [*ids, separator]
    inner = size - 2 if masked else size
    pieces = [stream[at : at + inner] for at in range(0, len(stream) - inner + 1, inner)]
    if not pieces:
        raise DataError(
            f"the text has {len(stream):,} tokens and does not fill one block of {size}",
            "give more text, or a smaller training.block_size",
        )
    if not masked:
        return pieces
    return [[tokenizer.cls_token_id, *piece, tokenizer.sep_token_id] for piece in pieces]
