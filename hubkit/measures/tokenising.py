"""Text to token ids in flat memory, each token with the number of its document.

Documents that are kept apart are tokenised each by itself. Packed documents are one text, joined by blank
lines, and get the tokens of that text: a tokenizer may join the end of a document to the blank line (Qwen's
and Llama 3's do), or put a mark at the start of all that it is handed (Llama 2's), so that the tokens of the
pieces would be others. The blank line before a document is of that document; a token is of the document that
its first character is of.

A long text is tokenised in parts that overlap, and put together where two parts agree on a run of tokens
around the same character, so that no list of all ids ever exists: what stays is 4 bytes a token, and 4 for
its document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hubkit.errors import MeasureError
from hubkit.models import corpus

PART = 1 << 18  # characters tokenised at a time
OVERLAP = 1 << 11  # characters that a part shares with the one before it
AGREEING = 8  # tokens before and after a seam on which both parts agree
BLANK_LINE = "\n\n"


@dataclass(frozen=True, eq=False)
class Stream:
    """A sequence of tokens to score: `ids` and, for each, the number of its document; int32, (tokens,)."""

    ids: Any
    documents: Any


def joined(documents: Sequence[str]) -> str:
    """Packed documents as the one text that they are scored as."""
    return BLANK_LINE.join(documents)


def streams(tokenizer: Any, documents: list[str], kept: str) -> list[Stream]:
    """The token sequences to score: one per document ("apart"), or all joined by blank lines ("packed").

    No special token is added. Documents without a token are in none of them, and keep their number. A
    tokenizer that does not tell which characters a token is of (those written in Python) gets packed
    documents one by one, each after its blank line. Raises MeasureError for text that is not Unicode.
    """
    _check_unicode(documents)
    if kept == "apart":
        return [stream for stream in _apart(tokenizer, documents) if len(stream.ids)]
    if not getattr(tokenizer, "is_fast", False):
        pieces = [text if at == 0 else BLANK_LINE + text for at, text in enumerate(documents)]
        whole = _end_to_end(list(_apart(tokenizer, pieces)))
    else:
        whole = _packed(tokenizer, documents)
    return [whole] if len(whole.ids) else []


def _check_unicode(documents: list[str]) -> None:
    for at, text in enumerate(documents):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise MeasureError(
                f"document {at + 1:,} of the text is not Unicode: it holds half a surrogate pair at character"
                f" {error.start + 1:,}",
                "repair the text",
            ) from error


def _apart(tokenizer: Any, documents: list[str]) -> Iterator[Stream]:
    """A stream of each document, also of those without a token."""
    import numpy

    for first, group in _groups(documents):
        if len(group) == 1 and len(group[0]) > PART and getattr(tokenizer, "is_fast", False):
            many = [_long(tokenizer, group[0])[0]]
        else:
            many = [numpy.asarray(ids, dtype=numpy.int32) for ids in corpus.token_ids(tokenizer, group)]
        for at, ids in enumerate(many, first):
            yield Stream(ids, numpy.full(len(ids), at, dtype=numpy.int32))


def _groups(documents: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Documents that are tokenised at a time, with the number of the first; a long one is by itself."""
    group: list[str] = []
    size = first = 0
    for at, text in enumerate(documents):
        if group and size + len(text) > PART:
            yield first, group
            group, size, first = [], 0, at
        group.append(text)
        size += len(text)
    if group:
        yield first, group


def _end_to_end(parts: list[Stream]) -> Stream:
    import numpy

    none = numpy.zeros(0, dtype=numpy.int32)
    return Stream(
        numpy.concatenate([none, *(part.ids for part in parts)]),
        numpy.concatenate([none, *(part.documents for part in parts)]),
    )


def _packed(tokenizer: Any, documents: list[str]) -> Stream:
    import numpy

    ids, starts = _long(tokenizer, joined(documents))
    lengths = numpy.array([len(text) + len(BLANK_LINE) for text in documents[:-1]], dtype=numpy.int64)
    ends = numpy.cumsum(lengths) - len(BLANK_LINE)  # of all documents but the last, in the joined text
    return Stream(ids, numpy.searchsorted(ends, starts, side="right").astype(numpy.int32))


def _long(tokenizer: Any, text: str) -> tuple[Any, Any]:
    """The ids of one text, int32, and the characters that its tokens begin at, int64; (tokens,) each."""
    import numpy

    ids, starts = _encoded(tokenizer, text, 0, min(len(text), PART))
    parts, at = [], PART
    while at < len(text):
        more = _encoded(tokenizer, text, at - OVERLAP, min(len(text), at + PART))
        seam = _seam((ids, starts), more)
        if seam is None:  # parts that never agree: a text without a place to cut it
            return _encoded(tokenizer, text, 0, len(text))
        parts.append((ids[: seam[0]], starts[: seam[0]]))
        ids, starts = more[0][seam[1] :], more[1][seam[1] :]
        at += PART
    parts.append((ids, starts))
    return (
        numpy.concatenate([part[0] for part in parts]),
        numpy.concatenate([part[1] for part in parts]),
    )


def _encoded(tokenizer: Any, text: str, begin: int, end: int) -> tuple[Any, Any]:
    import numpy

    told = tokenizer(
        text[begin:end],
        add_special_tokens=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
    )
    starts = numpy.fromiter((start for start, _ in told["offset_mapping"]), dtype=numpy.int64)
    return numpy.asarray(told["input_ids"], dtype=numpy.int32), starts + begin


def _seam(left: tuple[Any, Any], right: tuple[Any, Any]) -> tuple[int, int] | None:
    """The token of either part that the same character begins, with agreeing tokens around it.

    The one in the middle of the overlap, as near as there is one: what the cut did to either part is furthest
    from there.
    """
    import numpy

    def around(part: tuple[Any, Any], at: int) -> list[Any]:
        ids, starts = (values[at - AGREEING : at + AGREEING] for values in part)
        return [ids.tolist(), starts.tolist()]

    first = int(numpy.searchsorted(left[1], right[1][0] if len(right[1]) else 0))
    candidates = range(max(first, 1) + AGREEING, len(left[0]) - AGREEING)
    middle = (candidates.start + candidates.stop) // 2
    for at in sorted(candidates, key=lambda at: abs(at - middle)):
        if left[1][at] == left[1][at - 1]:
            continue  # inside a character that several tokens share
        other = int(numpy.searchsorted(right[1], left[1][at]))
        fits = AGREEING <= other <= len(right[0]) - AGREEING
        if fits and around(left, at) == around(right, other):
            return at, other
    return None
