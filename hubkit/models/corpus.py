"""A dataset as training and evaluation documents, with the facts of what was done on the way.

Duplicates are dropped, evaluation documents are set apart whole, and what training and evaluation text still
share is measured. Text that is streamed is read once, and kept on disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from hubkit.errors import DataError
from hubkit.measured_part import Selection
from hubkit.models import chat, classes, conversations
from hubkit.models.overlap import overlap
from hubkit.models.parting import (
    Dropped,
    deduplicate,
    deduplicate_labelled,
    hold_out,
    is_held_out,
    sample,
    stratified,
)
from hubkit.models.reading import Document, Reader
from hubkit.models.spool import Spool
from hubkit.record import Dataset, HoldOut
from hubkit.settings_data import Data, Kind

HELD_OUT = "held out"
STREAMED_EVALUATION = 1_000  # documents to evaluate on where text is streamed, unless settings say another
MANY_LABELS = 20  # of more, not each is told
COMPARED = 100_000  # streamed training documents above which no overlap is counted: it takes too long


@dataclass(frozen=True)
class Corpus:
    """Training and evaluation documents, and the facts about them.

    Conversations are documents of JSON: `models.conversations` reads them, `models.chat` makes them tokens.
    """

    train: Sequence[str]
    evaluation: list[str]
    facts: Dataset
    label_names: tuple[str, ...] = ()  # of labelled text; a label is an index into them
    train_labels: tuple[int, ...] = ()  # one a document
    evaluation_labels: tuple[int, ...] = ()
    kind: Kind = "text"
    chat_template: str | None = None  # in place of the tokenizer's own
    cache: bool = False  # whether its tokens are kept for the next run
    seed: int = 0  # under which labelled documents are drawn where not all are evaluated on
    selection: Selection | None = None  # which of those there are the evaluation documents are; None: all

    def limited(self, most: int | None) -> Corpus:
        """The same with at most so many evaluation documents: labelled ones drawn, of others the first."""
        there, labels = len(self.evaluation), self.evaluation_labels
        if most is None or most >= there:
            return self
        if labels and len(labels) != there:
            return self  # measuring says what is wrong
        chosen = sample(labels, most, self.seed) if labels else range(most)
        of = self.selection.of if self.selection else there
        return replace(
            self,
            evaluation=[self.evaluation[at] for at in chosen],
            evaluation_labels=tuple(labels[at] for at in chosen) if labels else (),
            selection=Selection(of=of, seed=self.seed if labels else None),
        )

    def said(self) -> list[str]:
        """What a user should know of what became of the text, a line each."""
        facts, lines = self.facts, []
        if self.label_names and facts.train_label_documents:
            told = zip(self.label_names, facts.train_label_documents, strict=True)
            each = ", ".join(f"{name} {n:,}" for name, n in told)
            if len(self.label_names) > MANY_LABELS:
                least, most = min(facts.train_label_documents), max(facts.train_label_documents)
                each = f"{least:,} to {most:,}, of {len(self.label_names):,} labels"
            lines.append(f"documents of each label: {each}")
        if count := facts.contradictory_duplicates:
            other = "a duplicate" if count == 1 else f"{count:,} duplicates"
            lines.append(f"dropped {other} with another label than the first of the same text")
        if (count := facts.rows_left_out) and self.kind != "text":
            part = "label" if self.kind == "labelled" else "answer"
            lines.append(
                f"left out {count:,} row{'s' * (count != 1)} in which the text or the {part} is empty"
            )
        return lines


def load(data: Data, seed: int, *, only_evaluation: bool = False) -> Corpus:
    """Read, deduplicate and split the text. Raises DataError where there is none.

    With `only_evaluation`, training text is not read where the evaluation text has a source of its own. (It
    is where it alone tells which labels there are.)
    `seed` draws the documents that are held out, where the settings name no split_seed.
    """
    seed = seed if data.split_seed is None else data.split_seed
    reader = Reader(data)
    apart = bool(data.eval_files or data.eval_split)
    if data.streaming:
        found = _streamed(data, seed, reader, only_evaluation=only_evaluation)
    elif data.kind == "labelled":
        found = _labelled(data, seed, reader, only_evaluation=only_evaluation)
    else:
        found = _plain(data, seed, reader, only_evaluation=only_evaluation)
    if only_evaluation and not found.evaluation:
        raise DataError(f"{_name(data)} has no {_WHAT[data.kind]} to evaluate on", "give another text")
    if not found.evaluation or not (found.train or only_evaluation):
        raise DataError(
            f"{_name(data)} has too few documents with {_WHAT[data.kind]} to train on some and to evaluate on"
            " others",
            "give more text, or set dataset.documents or dataset.eval_files",
        )
    facts = _facts(data, reader, found)
    if not apart:
        facts.hold_out = HoldOut(
            fraction=data.eval_fraction,
            seed=seed,
            deduplicate=data.drops,
            documents=data.documents if data.files else None,
            max_documents=data.max_documents,
            max_eval_documents=data.max_eval_documents,
        )
    template = chat.read_template(data.chat_template) if data.chat_template else None
    if template is not None:
        facts.chat_template_sha256 = hashlib.sha256(template.encode()).hexdigest()
    return Corpus(
        found.train,
        found.evaluation,
        facts,
        found.names,
        tuple(found.train_labels),
        tuple(found.evaluation_labels),
        data.kind,
        template,
        data.cache,
        seed,
        found.selection,
    )


_WHAT = {"text": "text", "labelled": "text and a label", "chat": "an answer"}


@dataclass
class _Found:
    train: Sequence[str]
    evaluation: list[str]
    dropped: Dropped
    names: tuple[str, ...] = ()
    train_labels: Sequence[int] = ()
    evaluation_labels: Sequence[int] = ()
    selection: Selection | None = None


def _plain(data: Data, seed: int, reader: Reader, *, only_evaluation: bool) -> _Found:
    """Running text or conversations, in memory."""

    def texts(documents: Iterator[Document]) -> list[str]:
        return [text for text, _ in documents]

    if not (data.eval_files or data.eval_split):
        documents, dropped = deduplicate(texts(islice(reader.training(), data.max_documents)), data.drops)
        train, evaluation = hold_out(documents, data.eval_fraction, seed)
        first = evaluation[: data.max_eval_documents]
        return _Found(train, first, dropped, selection=_first(len(first), len(evaluation)))
    there = reader.evaluation()
    evaluation = texts(islice(there, data.max_eval_documents))
    selection = _first(len(evaluation), len(evaluation) + _rest(there, reader))
    if only_evaluation:
        return _Found([], evaluation, Dropped(), selection=selection)
    train, dropped = deduplicate(texts(islice(reader.training(), data.max_documents)), data.drops)
    return _Found(train, evaluation, dropped, selection=selection)


def _first(taken: int, there: int | None) -> Selection | None:
    """That the first were taken; None where that is all of them."""
    return Selection(of=there) if taken != there else None


def _rest(documents: Iterator[Document], reader: Reader) -> int:
    """How many documents follow, without the rows left out among them."""
    left_out = reader.left_out
    count = sum(1 for _ in documents)
    reader.left_out = left_out
    return count


def _labelled(data: Data, seed: int, reader: Reader, *, only_evaluation: bool) -> _Found:
    """Text with labels, in memory. The labels of the training text are all that there are."""
    apart = bool(data.eval_files or data.eval_split)
    held = list(reader.evaluation()) if apart else []
    told, has_training = data.labels or reader.classes, bool(data.files or data.id)
    rows: list[Document] = []
    if not (apart and only_evaluation and (told or not has_training)):
        rows = list(islice(reader.training(), data.max_documents))
    names = classes.names([value for _, value in rows or held], data.labels, reader.classes)
    kinds = (names, data.labels, reader.classes)
    labels = classes.numbers([value for _, value in rows], *kinds)
    texts, labels, dropped = deduplicate_labelled([text for text, _ in rows], labels, data.drops)
    if apart:
        held_labels = classes.numbers([value for _, value in held], *kinds)
        if only_evaluation:
            texts, labels, dropped = [], [], Dropped()
        return _drawn(
            _Found(texts, [text for text, _ in held], dropped, names, labels, held_labels), data, seed
        )
    chosen = stratified(labels, data.eval_fraction, seed)
    left = [at for at in range(len(texts)) if at not in chosen]
    out = sorted(chosen)
    found = _Found(
        [texts[at] for at in left],
        [texts[at] for at in out],
        dropped,
        names,
        [labels[at] for at in left],
        [labels[at] for at in out],
    )
    return _drawn(found, data, seed)


def _drawn(found: _Found, data: Data, seed: int) -> _Found:
    """The same with so many evaluation documents as are wanted at most, each label with its share."""
    there, labels = found.evaluation, found.evaluation_labels
    if data.max_eval_documents is None or data.max_eval_documents >= len(there):
        return found
    chosen = sample(labels, data.max_eval_documents, seed)
    found.evaluation, found.evaluation_labels = [there[at] for at in chosen], [labels[at] for at in chosen]
    found.selection = Selection(of=len(there), seed=seed)
    return found


def _streamed(data: Data, seed: int, reader: Reader, *, only_evaluation: bool) -> _Found:
    """Text that need not fit into memory: to train on, on disk; to evaluate on, no more than so many."""
    if data.kind == "labelled":
        raise DataError("text with labels is not streamed", "leave out dataset.streaming")
    most = data.max_eval_documents or STREAMED_EVALUATION
    train = Spool()
    if data.eval_files or data.eval_split:
        there = reader.evaluation()
        evaluation = [text for text, _ in islice(there, most)]
        left_out = reader.left_out
        selection = None if next(there, None) is None else _first(len(evaluation), None)
        reader.left_out = left_out
        if not only_evaluation:
            for text, _ in islice(reader.training(), data.max_documents):
                train.add(text)
        return _Found(train, evaluation, Dropped(), selection=selection)
    evaluation, over = [], 0
    for text, _ in islice(reader.training(), data.max_documents):
        if not is_held_out(text, data.eval_fraction, seed):
            train.add(text)
        elif len(evaluation) < most:
            evaluation.append(text)
        else:
            over += 1
    reader.left_out += over
    return _Found(train, evaluation, Dropped(), selection=_first(len(evaluation), len(evaluation) + over))


def _name(data: Data) -> str:
    return data.name or data.id or ", ".join(Path(file).name for file in [*data.files, *data.eval_files])


def digest(documents: Iterable[str], labels: Sequence[int] = (), names: Sequence[str] = ()) -> str:
    """SHA-256 over documents in order, each as one JSON line; of labelled ones, with the label's name."""
    whole = hashlib.sha256()
    for at, text in enumerate(documents):
        line: Any = [text, names[labels[at]]] if labels else text
        whole.update(json.dumps(line).encode() + b"\n")
    return whole.hexdigest()


_COLUMNS = ("label_column", "messages_column", "prompt_column", "input_column", "answer_column")


def _facts(data: Data, reader: Reader, found: _Found) -> Dataset:
    train, evaluation, dropped = found.train, found.evaluation, found.dropped
    if data.eval_files:
        eval_split = ", ".join(Path(file).name for file in data.eval_files)
    else:
        eval_split = data.eval_split or HELD_OUT
    words = conversations.words if data.kind == "chat" else str
    compared = () if len(train) > COMPARED and data.streaming else train
    facts = Dataset(
        name=_name(data),
        id=data.id,
        config=data.config,
        revision=reader.revision,
        source="hub" if data.id else "local",
        note=data.note,
        license=data.license,
        train_split=data.split if data.id else None,
        eval_split=eval_split,
        text_column=data.text_column if data.id and data.kind != "chat" else None,
        streamed=data.streaming,
        train_sha256=digest(train, found.train_labels, found.names),
        eval_sha256=digest(evaluation),  # the labels have a digest of their own, beside their measure
        train_documents=len(train),
        eval_documents=len(evaluation),
        eval_selection=found.selection,
        train_words=sum(len(words(text).split()) for text in train),
        eval_words=sum(len(words(text).split()) for text in evaluation),
        duplicate_documents_dropped=dropped.documents,
        duplicate_paragraphs_dropped=dropped.paragraphs,
    )
    if compared or not train:
        facts.overlap = overlap(map(words, compared), map(words, evaluation))
    if data.kind != "text" or (data.streaming and reader.left_out):
        facts.rows_left_out = reader.left_out
    return _of_kind(data, facts, found)


def _of_kind(data: Data, facts: Dataset, found: _Found) -> Dataset:
    """With what only labelled text and conversations have."""
    facts.columns = {name: column for name in _COLUMNS if (column := getattr(data, name))}
    facts.system = data.system
    if data.kind == "labelled":
        facts.labels = list(found.names)
        if isinstance(data.labels, dict):
            facts.label_map = {str(value): name for value, name in data.labels.items()}
        facts.text_column = data.text_column
        facts.train_label_documents = classes.counts(found.train_labels, found.names)
        facts.eval_label_documents = classes.counts(found.evaluation_labels, found.names)
        facts.contradictory_duplicates = found.dropped.contradictory
    return facts


def token_ids(tokenizer: Any, documents: list[str]) -> list[list[int]]:
    """The tokens of each document, without special tokens."""
    if not documents:
        return []
    ids: list[list[int]] = tokenizer(documents, add_special_tokens=False, return_attention_mask=False)[
        "input_ids"
    ]
    return ids
