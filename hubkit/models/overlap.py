"""How much of the evaluation text also stands in the training text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hubkit.record import Overlap

OVERLAP_WORDS = 13  # the n-gram length of GPT-3's contamination study (Brown et al. 2020, appendix C)


def overlap(train: Iterable[str], evaluation: Iterable[str], words: int = OVERLAP_WORDS) -> Overlap | None:
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
