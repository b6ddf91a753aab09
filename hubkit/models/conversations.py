"""Conversations as documents: rows of chat or instruction data, checked, each as one line of JSON.

A document holds `[{"role": ..., "content": ...}, ...]` and ends in an answer: what stands after the last one
can teach nothing. As text it can be compared, counted and hashed as any other document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from hubkit.errors import DataError

ROLES = ("system", "developer", "user", "assistant", "tool")
OTHER_NAMES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
ANSWER = "assistant"

Message = dict[str, str]


def document(messages: Sequence[Message]) -> str:
    """The conversation as one document."""
    return json.dumps(list(messages), ensure_ascii=False)


def messages(text: str) -> list[Message]:
    """The messages of a document."""
    found: list[Message] = json.loads(text)
    return found


def words(text: str) -> str:
    """What is said in a document, without roles: for counts and comparisons of words."""
    return "\n\n".join(message["content"] for message in messages(text))


def of_messages(value: Any, system: str | None, where: str) -> str | None:
    """A document from a cell that holds messages; None where nothing in it is answered.

    `from` and `value` are taken for `role` and `content`, and `human` and `gpt` for user and assistant.
    Raises DataError, which names the row by `where`, for anything that is no list of messages.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _json(value, where)
    if not isinstance(value, list | tuple):
        raise _wrong(where, f"{type(value).__name__} in place of a list of messages")
    found = [_message(one, f"{where}, message {at}") for at, one in enumerate(value, 1)]
    return _answered(found, system)


def of_columns(prompt: Any, more: Any, answer: Any, system: str | None, where: str) -> str | None:
    """A document from what is asked, what it is asked about (None: nothing), and the answer.

    None where one of prompt and answer is empty. Raises DataError for what is no text.
    """
    for name, value in (("prompt", prompt), ("input", more), ("answer", answer)):
        if not (value is None or isinstance(value, str) or _is_nan(value)):
            raise DataError(
                f"{where}: the {name} is of the type {type(value).__name__}, not text", "give text there"
            )
    asked, about, said = (value if isinstance(value, str) else "" for value in (prompt, more, answer))
    if not asked.strip():
        return None
    if about.strip():
        asked = f"{asked.rstrip()}\n\n{about.strip()}"
    return _answered([{"role": "user", "content": asked}, {"role": ANSWER, "content": said}], system)


def _answered(found: list[Message], system: str | None) -> str | None:
    """The conversation up to its last answer; None where there is none. An empty answer is none.

    What the assistant says before anybody else answers nothing, and is left out.
    """
    while found and found[0]["role"] == ANSWER:
        found.pop(0)
    while found and not (found[-1]["role"] == ANSWER and found[-1]["content"].strip()):
        found.pop()
    if all(message["role"] != ANSWER for message in found):
        return None
    if system is not None and found[0]["role"] not in ("system", "developer"):
        found.insert(0, {"role": "system", "content": system})
    return document(found)


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise _wrong(where, f"{type(value).__name__} in place of {{role, content}}")
    role = value.get("role", value.get("from"))
    content = value.get("content", value.get("value"))
    role = OTHER_NAMES.get(role, role) if isinstance(role, str) else role
    if role not in ROLES:
        raise _wrong(where, f"role {str(role)[:60]!r}; known are {', '.join(ROLES)}")
    if isinstance(content, list | tuple):
        content = _joined(content, where)
    if content is None:
        content = ""
    if not isinstance(content, str):
        raise _wrong(where, f"content of the type {type(content).__name__}, not text")
    return {"role": role, "content": content}


def _joined(parts: Iterable[Any], where: str) -> str:
    """Content that is given in parts: text alone can be learnt here."""
    texts = []
    for part in parts:
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            raise _wrong(where, "content with parts that are not text")
        texts.append(part["text"])
    return "".join(texts)


def _json(value: str, where: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise _wrong(where, "text in place of a list of messages") from error


def _wrong(where: str, what: str) -> DataError:
    return DataError(f"{where}: {what}", "messages are a list of {role, content}")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value
