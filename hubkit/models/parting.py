"""Which documents are dropped as duplicates, and which are set apart for evaluation."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

PARAGRAPH_WORDS = 8  # shorter paragraphs ("For example:") may repeat


@dataclass(frozen=True)
class Dropped:
    """What was dropped as seen before."""

    documents: int = 0
    paragraphs: int = 0
    contradictory: int = 0  # of the documents: those whose label was another than that of the first


def deduplicate(documents: list[str], unit: str) -> tuple[list[str], Dropped]:
    """Drop documents, and paragraphs of at least 8 words, that stood before; the first of each stays."""
    if unit == "none":
        return documents, Dropped()
    kept = list(dict.fromkeys(documents))
    gone = len(documents) - len(kept)
    if unit == "documents":
        return kept, Dropped(gone)
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
    return result, Dropped(gone, dropped_paragraphs)


def deduplicate_labelled(
    documents: list[str], labels: list[int], unit: str
) -> tuple[list[str], list[int], Dropped]:
    """Drop documents that stood before, each with its label; the first keeps its own."""
    if unit == "none":
        return documents, labels, Dropped()
    first: dict[str, int] = {}
    contradictory = 0
    for text, label in zip(documents, labels, strict=True):
        contradictory += first.setdefault(text, label) != label
    return list(first), list(first.values()), Dropped(len(documents) - len(first), 0, contradictory)


def hold_out(documents: list[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Set whole documents apart for evaluation, at random under a seed; both keep the given order."""
    count = min(max(1, round(len(documents) * fraction)), len(documents) - 1)
    chosen = set(random.Random(seed).sample(range(len(documents)), max(count, 0)))
    train = [text for index, text in enumerate(documents) if index not in chosen]
    return train, [documents[index] for index in sorted(chosen)]


def stratified(labels: Sequence[int], fraction: float, seed: int) -> set[int]:
    """The numbers of the documents to hold out: of each label the same share, at random under a seed.

    Of two documents or more of a label at least one is held out and one is left; a single one is left.
    """
    draw = random.Random(seed)
    chosen: set[int] = set()
    for label in sorted(set(labels)):
        members = [at for at, own in enumerate(labels) if own == label]
        count = min(max(1, round(len(members) * fraction)), len(members) - 1)
        chosen.update(draw.sample(members, count))
    return chosen


def sample(labels: Sequence[int], count: int, seed: int) -> list[int]:
    """The numbers of `count` documents, in order: each label as often as its share of them all, under a seed.

    What a rounded-down share leaves over goes to the labels with the largest remainders.
    """
    there = Counter(labels)
    shares = {label: divmod(count * there[label], len(labels)) for label in sorted(there)}
    counts = {label: whole for label, (whole, _) in shares.items()}
    left = count - sum(counts.values())
    for label in sorted(shares, key=lambda label: -shares[label][1])[:left]:
        counts[label] += 1
    draw = random.Random(seed)
    chosen: list[int] = []
    for label, number in counts.items():
        chosen += draw.sample([at for at, own in enumerate(labels) if own == label], number)
    return sorted(chosen)


def is_held_out(document: str, fraction: float, seed: int) -> bool:
    """Whether a document is held out by a digest of its text: so its copies are too, in whatever order.

    The first 8 bytes of SHA-256 over seed and text, as a share of their range, are below `fraction`.
    """
    digest = hashlib.sha256(f"{seed}\n{document}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2.0**64
