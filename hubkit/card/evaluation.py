"""The rows of the card's tables about text: what was trained on, and what was kept for evaluation."""

from __future__ import annotations

from hubkit.card import text
from hubkit.card.facts import Facts
from hubkit.card.tables import Row, known
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
            ("License of the data", text.phrase(dataset.license) if dataset.license else None),
            ("Duplicates dropped", text.listed(dropped) or None),
            ("Evaluation text also in the training text", _overlap(facts)),
        ]
    )


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
        ("Documents", *map(_count, (dataset.train_documents, dataset.eval_documents))),
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
