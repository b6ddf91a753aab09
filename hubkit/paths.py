"""Paths of the author's machine, which tell a reader nothing, and a stranger the author's name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

# Keys that transformers and PEFT fill with whatever the model was loaded from.
NAMES_OF_MODELS = {
    "adapter_config.json": "base_model_name_or_path",
    "tokenizer_config.json": "name_or_path",
}
_LOCAL = re.compile(r"[/~\\]|\.{1,2}(?:[/\\]|\Z)|[A-Za-z]:[/\\]|file:")
_HOME = re.compile(
    rb"(?<![A-Za-z0-9.])(?:/home/|/Users/)(?!(?:user|username|you|your[-_]?name|name)/)[\w.-]+/"
    rb"|\b[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)(?!(?:user|username|you|your[-_]?name|name)\b)[\w.-]+"
)


@dataclass(frozen=True, slots=True)
class LocalName:
    """A key of a published configuration that names a model by a path."""

    file: str
    key: str
    value: str


def local_name(file: str, content: bytes) -> LocalName | None:
    """The model that a configuration names by a path and not by its id on the Hub, if it does."""
    key = NAMES_OF_MODELS.get(file)
    if key is None:
        return None
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        return None  # the file's own reader says so
    value = config.get(key) if isinstance(config, dict) else None
    return LocalName(file, key, value) if isinstance(value, str) and _LOCAL.match(value) else None


def home_lines(content: bytes) -> list[int]:
    """The lines of a text that hold a path below somebody's home directory."""
    return sorted({content.count(b"\n", 0, match.start()) + 1 for match in _HOME.finditer(content)})
