"""Conversations as tokens, by the chat template of the tokenizer, and which of the tokens are of answers.

Only answers are counted in a loss: all of those in a conversation, each with the token that ends its turn.
Where the template marks what the assistant generates (`{% generation %}`), the marks tell. Elsewhere the
conversation is rendered up to each answer, with and without it: the two must be the beginning of the whole,
or the template rewrites what was said before, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubkit.errors import DataError
from hubkit.models import conversations
from hubkit.models.conversations import Message

NOT_COUNTED = -100
MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")
AT_ONCE = 256  # conversations tokenised at a time
WAY_OUT = "give one by dataset.chat_template, a Jinja file"


@dataclass(frozen=True)
class Encoded:
    """A conversation: `ids`, and `labels`, as many, which are -100 outside of answers."""

    ids: list[int]
    labels: list[int]


def read_template(file: str) -> str:
    """The chat template in a file. Raises DataError."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"cannot read {file}: {reason}", "check dataset.chat_template") from error


def adopt(tokenizer: Any, template: str | None) -> None:
    """Give the tokenizer the template of the settings, if there is one.

    Raises DataError where it then has none.
    """
    if template is not None:
        tokenizer.chat_template = template
    if not tokenizer.chat_template:
        raise DataError("the tokenizer of the base has no chat template", WAY_OUT)


def encode(tokenizer: Any, documents: Sequence[str]) -> Iterator[Encoded]:
    """Each conversation as the tokens that its template makes of it, with labels for the answers alone.

    A token is of an answer where one of its characters is. No special token is added but those that the
    template writes. Raises DataError for a template that cannot be followed.
    """
    adopt(tokenizer, None)
    template = tokenizer.get_chat_template()
    marked = bool(MARKS.search(template))
    for first in range(0, len(documents), AT_ONCE):
        group = [conversations.messages(text) for text in documents[first : first + AT_ONCE]]
        made = [_rendered(tokenizer, one, marked, first + at) for at, one in enumerate(group, 1)]
        yield from _tokens(tokenizer, made)


Spans = list[tuple[int, int]]  # of characters: where answers begin and end


def _rendered(tokenizer: Any, messages: list[Message], marked: bool, number: int) -> tuple[str, Spans]:
    try:
        if marked:
            return _by_marks(tokenizer, messages)
        return _by_prefixes(tokenizer, messages)
    except DataError:
        raise
    except Exception as error:  # a template is a program, and raises whatever it likes
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise DataError(
            f"the chat template refuses conversation {number:,}: {reason}", "repair the data, or " + WAY_OUT
        ) from error


def _by_marks(tokenizer: Any, messages: list[Message]) -> tuple[str, Spans]:
    from transformers.utils.chat_template_utils import render_jinja_template

    (whole,), (spans,) = render_jinja_template(
        conversations=[messages],
        chat_template=tokenizer.get_chat_template(),
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    return whole, [(start, end) for start, end in spans if end > start]


def _by_prefixes(tokenizer: Any, messages: list[Message]) -> tuple[str, Spans]:
    def render(count: int, prompt: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            messages[:count], tokenize=False, add_generation_prompt=prompt
        )
        return text

    whole = render(len(messages), prompt=False)
    ends = _ends_of_turns(tokenizer)
    spans = []
    for at, message in enumerate(messages):
        if message["role"] != conversations.ANSWER or not message["content"].strip():
            continue
        asked, answered = render(at, prompt=True), render(at + 1, prompt=False)
        if not (whole.startswith(answered) and answered.startswith(asked)):
            raise DataError(
                "the chat template writes an answer otherwise once it is answered, so that nobody can tell"
                " which tokens are its",
                "give a template that marks answers with {% generation %}, by dataset.chat_template",
            )
        spans.append((len(asked), len(asked) + _length(answered[len(asked) :], message["content"], ends)))
    return whole, spans


def _length(turn: str, content: str, ends: re.Pattern[str] | None) -> int:
    """Characters of a turn that the model is to write: the answer and the token that ends it.

    What the template writes after that (a line break) is no answer of the model's.
    """
    said = turn.find(content.strip())
    if said < 0:
        raise DataError(
            "the chat template does not hold an answer as it was given",
            "give a template that does, by dataset.chat_template",
        )
    after = said + len(content.strip())
    found = ends.search(turn, after) if ends else None
    return found.end() if found else max(after, len(turn.rstrip()))


def _ends_of_turns(tokenizer: Any) -> re.Pattern[str] | None:
    special = {str(token) for token in tokenizer.all_special_tokens}
    special |= {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    return re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True)))) if special else None


def _tokens(tokenizer: Any, made: list[tuple[str, Spans]]) -> Iterator[Encoded]:
    if not getattr(tokenizer, "is_fast", False):
        yield from (_piece_by_piece(tokenizer, whole, spans) for whole, spans in made)
        return
    told = tokenizer(
        [whole for whole, _ in made],
        add_special_tokens=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
    )
    for ids, offsets, (_, spans) in zip(told["input_ids"], told["offset_mapping"], made, strict=True):
        labels = [NOT_COUNTED] * len(ids)
        left = iter([*spans, (1 << 62, 1 << 62)])
        start, end = next(left)
        for at, (begin, stop) in enumerate(offsets):
            while begin >= end:
                start, end = next(left)
            if stop > start and stop > begin:
                labels[at] = ids[at]
        yield Encoded(ids, labels)


def _piece_by_piece(tokenizer: Any, whole: str, spans: Spans) -> Encoded:
    """With a tokenizer that does not tell which characters a token is of: answers tokenised by themselves."""
    ids: list[int] = []
    labels: list[int] = []
    at = 0
    for start, end in [*spans, (len(whole), len(whole))]:
        for piece, counted in ((whole[at:start], False), (whole[start:end], True)):
            tokens = tokenizer(piece, add_special_tokens=False)["input_ids"] if piece else []
            ids += tokens
            labels += tokens if counted else [NOT_COUNTED] * len(tokens)
        at = end
    return Encoded(ids, labels)
