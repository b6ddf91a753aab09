"""Conversations cut into windows: answers alone are scored, each token given all before it in its own.

The chat template of the tokenizer makes the tokens, and tells which of them the model is to write (the token
that ends a turn too). Each conversation is one window, from its first token on: nothing stands before it, and
no other conversation is seen. What lies beyond the context is not scored, and is counted, as scoring it
without its prompt would be another number. This is the loss that training on answers takes, as a perplexity.

Bits per byte are over the bytes of the answers' text, without what the template writes around it; where some
of it was cut there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubkit.errors import MeasureError
from hubkit.measures.tokenising import Stream
from hubkit.measures.windows import IGNORE, Window
from hubkit.models import chat, conversations


@dataclass(frozen=True)
class Cut:
    """The windows, the tokens of all conversations, and what is known of the answers."""

    windows: list[Window]
    streams: list[Stream]
    units: dict[str, int]  # `tokens_cut`, and `bytes` where no answer was cut

    def made(self) -> tuple[list[Stream], list[Window], dict[str, Any], tuple[int, ...]]:
        """As running text is made: no token is added to those that the template writes."""
        return self.streams, self.windows, dict(self.units), ()


def cut(tokenizer: Any, documents: list[str], template: str | None, context: int) -> Cut:
    """One window for each conversation with an answer in its first `context` tokens.

    `template` stands in for the tokenizer's own. Raises DataError for one that cannot be followed.
    """
    import numpy

    chat.adopt(tokenizer, template)
    windows, streams, lost = [], [], 0
    for number, one in enumerate(chat.encode(tokenizer, documents)):
        ids, labels = (numpy.asarray(part, dtype=numpy.int32) for part in (one.ids, one.labels))
        if not len(ids):
            continue
        streams.append(Stream(ids, numpy.full(len(ids), number, dtype=numpy.int32)))
        counted = numpy.flatnonzero(labels[1:] != chat.NOT_COUNTED)  # the first token has nothing before it
        lost += int((counted >= context).sum())
        counted = counted[counted < context]
        if not len(counted):
            continue
        end = int(counted[-1]) + 1  # what comes after the last answer is not run
        targets = numpy.where(labels[1 : end + 1] == chat.NOT_COUNTED, numpy.int32(IGNORE), ids[1 : end + 1])
        windows.append(Window(ids[:end], targets, numpy.full(end, number, dtype=numpy.int32)))
    units = {"tokens_cut": lost} | ({} if lost else {"bytes": bytes_of_answers(documents)})
    return Cut(windows, streams, units)


def bytes_of_answers(documents: list[str]) -> int:
    """Bytes in UTF-8 of what the assistant says, without white space around it."""
    return sum(
        len(message["content"].strip().encode())
        for document in documents
        for message in conversations.messages(document)
        if message["role"] == conversations.ANSWER
    )


def check(definition: str | None, stride: int | None) -> None:
    """Refuse what conversations have no number for. Raises MeasureError."""
    if definition != "causal":
        raise MeasureError(
            "answers are scored from left to right, and this task does not", "set task: causal-lm"
        )
    if stride is not None:
        raise MeasureError(
            "measuring.stride is for running text; each conversation is one window, from its first token",
            "leave it out, and raise measuring.context for long conversations",
        )
