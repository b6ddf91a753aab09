"""The rows of the card's tables about text: what was trained on, and what was kept for evaluation."""

from __future__ import annotations

from hubkit.card import text
from hubkit.card.facts import Facts
from hubkit.card.tables import Row, known
from hubkit.measured_part import Selection
from hubkit.record import Classification, Dataset, Perplexity


def data_title(facts: Facts) -> str:
    """The heading of the section about the text."""
    return "Training data" if facts.trained_on else "Evaluation data"


def _described(facts: Facts) -> Dataset | None:
    """The text to describe: what was trained on, else what was measured on."""
    return facts.trained_on or (facts.record.dataset if facts.record.measures.on_text else None)


def dataset_name(repo_id: str | None, name: str) -> str:
    """A dataset's id, linked, with the name it is called by where that is another."""
    if not repo_id:
        return text.phrase(name)
    return text.dataset_link(repo_id) + (f" ({text.phrase(name)})" if name != repo_id else "")


def split_name(dataset: str, split: str | None) -> str:
    """The split of a dataset; nothing where it is one file, which both are called by."""
    return text.phrase(split) if split and split != dataset else ""


def text_measured(measured: Perplexity | Classification) -> str:
    """What was scored, so that a reader can find the very same."""
    revision = f"revision {text.code(measured.dataset_revision[:12])}" if measured.dataset_revision else ""
    parts = (
        dataset_name(measured.dataset_id, measured.dataset_name),
        text.code(measured.dataset_config) if measured.dataset_config else "",
        split_name(measured.dataset_name, measured.split),
        revision,
        text.digest(measured.dataset_sha256),
    )
    return ", ".join(part for part in parts if part)


def data(facts: Facts) -> list[Row]:
    """Where the text is from."""
    dataset = _described(facts)
    if dataset is None:
        return []
    dropped = [
        text.plural(number, kind)
        for number, kind in (
            (dataset.duplicate_documents_dropped, "document"),
            (dataset.duplicate_paragraphs_dropped, "paragraph"),
        )
        if number is not None
    ]
    local = " (local files)" if dataset.source == "local" and not dataset.id else ""
    return known(
        [
            ("Dataset", dataset_name(dataset.id, dataset.name) + local),
            ("Configuration", text.code(dataset.config) if dataset.config else None),
            ("Revision", text.code(dataset.revision) if dataset.revision else None),
            ("Text column", text.code(dataset.text_column) if dataset.text_column else None),
            ("Other columns", _columns(dataset)),
            ("Labels", _labels(dataset)),
            ("System message", text.phrase(dataset.system) if dataset.system else None),
            ("Tokens that the loss counts", _answers(dataset)),
            ("License of the data", text.phrase(dataset.license) if dataset.license else None),
            ("Duplicates dropped", text.listed(dropped) or None),
            (
                "Duplicates with another label",
                text.count(dataset.contradictory_duplicates) if dataset.contradictory_duplicates else None,
            ),
            ("Rows left out", text.count(dataset.rows_left_out) if dataset.rows_left_out else None),
            ("Evaluation text also in the training text", _overlap(facts)),
        ]
    )


_HOLDS = {
    "label_column": "labels",
    "messages_column": "conversations",
    "prompt_column": "what is asked",
    "input_column": "what it is about",
    "answer_column": "answers",
}
MOST_LABELS = 20


def _columns(dataset: Dataset) -> str | None:
    """The other columns that were read, and what they hold."""
    found = [
        f"{text.code(column)} ({_HOLDS[name]})" for name, column in dataset.columns.items() if name in _HOLDS
    ]
    return text.listed(found) or None


def _labels(dataset: Dataset) -> str | None:
    """The labels in their order, with how many documents of training and evaluation have each."""
    names, many = dataset.labels[:MOST_LABELS], len(dataset.labels) - MOST_LABELS
    counts = [dataset.train_label_documents, dataset.eval_label_documents]
    told = [[column[at] for column in counts if at < len(column)] for at in range(len(names))]
    rows = [
        f"{text.phrase(name)} ({' and '.join(map(text.count, own))})" if any(own) else text.phrase(name)
        for name, own in zip(names, told, strict=True)
    ]
    return ", ".join(rows + ([f"and {many:,} more"] if many > 0 else [])) or None


def _answers(dataset: Dataset) -> str | None:
    """Of conversations, how much of the text the loss counts, and what of it did not fit into a block."""
    if dataset.answer_tokens is None or dataset.train_tokens is None:
        return None
    parts = [f"{text.count(dataset.answer_tokens)} of {text.count(dataset.train_tokens)}, those of answers"]
    if dataset.conversations_cut:
        parts.append(f"{text.plural(dataset.conversations_cut, 'conversation')} cut at the length of a block")
    if dataset.conversations_left_out:
        parts.append(f"{text.plural(dataset.conversations_left_out, 'conversation')} left out as too long")
    return "; ".join(parts)


def _overlap(facts: Facts) -> str | None:
    overlap = facts.overlap
    if overlap is None:
        return None
    return (
        f"{text.percent(overlap.fraction)} ({text.count(overlap.shared_ngrams)} of"
        f" {text.count(overlap.evaluation_ngrams)} distinct {overlap.ngram_words}-word sequences)"
    )


def data_sides(facts: Facts) -> tuple[list[Row], tuple[str, ...]]:
    """How much text was trained on and how much was kept for evaluation, and the head of their table."""
    dataset = _described(facts)
    if dataset is None:
        return [], ()
    rows: tuple[Row, ...] = (
        ("Split", *(split_name(dataset.name, s) for s in (dataset.train_split, dataset.eval_split))),
        ("Documents", _count(dataset.train_documents), _evaluated(dataset)),
        ("Words", *map(_count, (dataset.train_words, dataset.eval_words))),
        (_tokens(facts), _count(dataset.train_tokens), ""),
        (
            "Content digest",
            *(text.digest(d) if d else "" for d in (dataset.train_sha256, dataset.eval_sha256)),
        ),
    )
    if facts.trained_on is None:
        return [(label, evaluated) for label, _, evaluated in rows if evaluated], ("", "Evaluation")
    return [row for row in rows if any(row[1:])], ("", "Training", "Evaluation")


def _tokens(facts: Facts) -> str:
    run = facts.record.training
    return "Tokens" if run and run.truncated_documents is not None else "Tokens, in packed blocks"


def _count(number: int | None) -> str:
    return "" if number is None else text.count(number)


def _evaluated(dataset: Dataset) -> str:
    return "" if dataset.eval_documents is None else _chosen(dataset.eval_documents, dataset.eval_selection)


def documents_measured(measured: Perplexity | Classification) -> str:
    """`134`, `134 of 1,000, drawn with the same share of each label (seed 0)`, `the first 134 of 1,000`."""
    return _chosen(measured.documents, measured.selection)


def _chosen(documents: int, chosen: Selection | None) -> str:
    count = text.count(documents)
    if chosen is None:
        return count
    of_all = f"{count} of {text.count(chosen.of)}" if chosen.of is not None else count
    if chosen.seed is None:
        return f"the first {of_all}"
    return f"{of_all}, drawn with the same share of each label (seed {chosen.seed})"


def some_of(measured: Perplexity | Classification, kind: str) -> str:
    """`134 documents`, or `134 of 1,000 documents, drawn ...`, or `the first 134 of 1,000 documents`."""
    chosen = measured.selection
    if chosen is None or chosen.of is None:
        which = "the first " if chosen else ""
        return f"{which}{text.plural(measured.documents, kind)}"
    some = f"{text.count(measured.documents)} of {text.plural(chosen.of, kind)}"
    return f"the first {some}" if chosen.seed is None else f"{some}, drawn at random"
