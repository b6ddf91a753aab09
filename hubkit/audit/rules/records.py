"""HK610 to HK613: the record beside the card, and whether its numbers can be, and are of this adapter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from hubkit import freshness
from hubkit.audit import consistency
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject
from hubkit.errors import HubkitError
from hubkit.record import Classification, Perplexity

PERPLEXITIES = ("perplexity.value", "perplexity.base_value", "word_perplexity", "byte_perplexity")
SHARES = {"fraction", "accuracy", "macro_f1", "weighted_f1", "majority_accuracy", "precision", "recall", "f1"}
ENDS = tuple(f"{name}_interval.{end}" for name in ("accuracy", "macro_f1") for end in ("low", "high"))
MUCH = 0.5  # of the evaluation text: more of it in the training text, and perplexity measures memory


@rule("HK610", "error", title="A record of another adapter")
def stale(subject: Subject) -> Iterator[Fault]:
    """The record's numbers carry the digest of the adapter that they were taken on. It is not the one
    beside the card.

    Bad:

        hubkit.json was measured before the last training.

    Good:

        hubkit.json was measured after the last training.
    """
    if subject.record is None or subject.adapter is None:
        return
    if subject.remote and subject.adapter.known_sha256 is None:
        return
    names = freshness.stale(subject.record, subject.adapter.sha256())
    if names:
        yield found(
            None,
            "The record's numbers are of another adapter than this.",
            says=f"{', '.join(names)} of another digest (hubkit.json)",
            instead=f"adapter {subject.adapter.sha256()[:12]}",
            mend=subject.command("measure"),
        )


@rule("HK611", "error", title="A record with impossible numbers")
def impossible(subject: Subject) -> Iterator[Fault]:
    """A perplexity below 1, a count below 0 or a share above 1 was not measured.

    Bad:

        hubkit.json holds a perplexity of 0.83.

    Good:

        hubkit.json holds a perplexity of 15.06.
    """
    if subject.record is None:
        return
    for path, value in _numbers(msgspec.to_builtins(subject.record.measures), "measures"):
        name = path.rpartition(".")[2]
        below_one = path.endswith(PERPLEXITIES) and value < 1
        share = ("sparsity" in path or name in SHARES or path.endswith(ENDS)) and value > 1
        lowest = -1 if ".change_interval." in path else 0  # a change of -100 % is the least
        if below_one or share or not math.isfinite(value) or value < lowest:
            yield found(
                None, f"The record's {path} cannot be.", instead=value, mend=subject.command("measure")
            )


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _numbers(below, f"{path}.{key}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _numbers(below, f"{path}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


@rule("HK612", "error", title="Evaluated on its training text")
def seen(subject: Subject) -> Iterator[Fault]:
    """A perplexity or an accuracy on text that the adapter was trained on measures memory. The record has the
    digests of both texts, and how much they share.

    Bad:

        The evaluation text of hubkit.json has the digest of its training text.

    Good:

        The evaluation text of hubkit.json was held out.
    """
    record = subject.record
    dataset, measured = (record.dataset, record.measures.on_text) if record else (None, None)
    if not dataset or not measured:
        return
    same = dataset.train_sha256 is not None and measured.dataset_sha256 == dataset.train_sha256
    overlap = dataset.overlap if dataset.eval_sha256 == measured.dataset_sha256 else None
    if same or (overlap and overlap.fraction > MUCH):
        what = "is the text"
        if overlap and not same:
            what = f"shares {overlap.fraction:.0%} of its {overlap.ngram_words}-word sequences with the text"
        yield found(
            None,
            f"The text that {_quality(measured)} was measured on {what} that the adapter was trained on.",
            mend=f"measure on text that was held out: {subject.command('measure')} --text FILE",
        )


@rule("HK613", "error", title="A record that was edited by hand")
def contradicting(subject: Subject) -> Iterator[Fault]:
    """A perplexity is exp of the sum of losses over the tokens that were scored, and lies in its interval; a
    median lies between its quartiles; accuracy and F1 are what the confusion matrix makes them.
    Each measure also has a digest in the record (`measures_sha256`). One that does not agree with it, or with
    the numbers beside it, is not as hubkit wrote it.

    Bad:

        The perplexity in hubkit.json is 14.06, and the losses below it sum up to one of 15.06.

    Good:

        The perplexity in hubkit.json is 15.06, as its losses say.
    """
    if subject.record is None:
        return
    for said in consistency.contradictions(subject.record.measures):
        yield found(
            None,
            f"The record contradicts itself: measures.{said}.",
            mend=subject.command("measure"),
        )
    for name in _edited(subject):
        yield found(
            None,
            f"The record's measures.{name} is not as hubkit wrote it: its digest is another.",
            mend=f"{subject.command('measure')} --verify tells what holds; --again measures anew",
        )


def _quality(measured: Perplexity | Classification) -> str:
    return "perplexity" if isinstance(measured, Perplexity) else "accuracy"


def _edited(subject: Subject) -> list[str]:
    """The measures that are not as they were written; none where the record cannot be read."""
    if subject.directory is None or subject.record is None or not subject.record.measures_sha256:
        return []
    try:
        return freshness.edited(subject.directory)
    except (OSError, ValueError, HubkitError):
        return []
