"""Paths of the author's machine, which tell a reader nothing, and a stranger the author's name."""

from __future__ import annotations

import functools
import getpass
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hubkit import bounded_json

# Keys that transformers and PEFT fill with whatever the model was loaded from.
NAMES_OF_MODELS = {
    "adapter_config.json": "base_model_name_or_path",
    "tokenizer_config.json": "name_or_path",
}
_LOCAL = re.compile(r"[/~\\]|\.{1,2}(?:[/\\]|\Z)|[A-Za-z]:[/\\]|file:")
_NOBODY = rb"(?!(?:user|username|USER|USERNAME|you|your[-_]?(?:user)?name|your[-_]?user|name|me)\b)"
_SLASH = rb"(?:/|\\/)"  # JSON may escape it
_HOME = re.compile(
    rb"(?<![A-Za-z0-9.])\\?/(?:home|Users)" + _SLASH + _NOBODY + rb"[\w.-]{1,64}(?:[/\"'`]|\\[/\"])"
    rb"|\b[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)" + _NOBODY + rb"[\w.-]{1,64}"
)
# One of these is in all that _HOME finds, and they are found faster.
_QUICK = (b"/home", b"/Users", b":\\Users", b":\\\\Users", b":/Users")
_ROOT = re.compile(rb"/root/(?!\.cache/huggingface)[\w.]{1,64}")  # that cache is the one of every container
_FILE = re.compile(rb"file:///?+(?!path/|\.\.\.)[\w./%:-]{1,200}")
_AROUND = 300  # bytes that a path may take
_WITHIN = re.compile(rb"(?<![\w.:/~-])(?:/[\w.+-]{1,64}){1,8}\Z")
# Logins that are nobody's name, or a word of many paths.
_COMMON_LOGINS = frozenset(
    "root user users admin ubuntu debian ec2-user runner jovyan colab test tests dev data home model models"
    " build work workspace app main local nobody node python docker train training hf huggingface".split()
)


@dataclass(frozen=True, slots=True)
class LocalName:
    """A key of a published configuration that names a model by a path."""

    file: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Place:
    """A path of somebody's machine in some bytes: where it starts, and the bytes that tell whose."""

    start: int
    value: bytes


def local_name(file: str, content: bytes) -> LocalName | None:
    """The model that a configuration names by a path and not by its id on the Hub, if it does."""
    key = NAMES_OF_MODELS.get(file)
    if key is None:
        return None
    try:
        config = bounded_json.loads(content)
    except (ValueError, RecursionError):  # of adapter_config.json its own reader says so
        config = _last(key, content)
    value = config.get(key) if isinstance(config, dict) else None
    return LocalName(file, key, value) if isinstance(value, str) and _LOCAL.match(value) else None


def _last(key: str, content: bytes) -> dict[str, str]:
    """A key with its value in what is no JSON, or too much of it."""
    found = re.findall(b'"%s"\\s{0,9}:\\s{0,9}"([^"\\n]{1,500})"' % key.encode(), content)
    return {key: found[-1].decode(errors="replace")} if found else {}


def home_lines(content: bytes) -> list[int]:
    """The lines of a text that hold a path below somebody's home directory."""
    return sorted({content.count(b"\n", 0, match.start()) + 1 for match in _HOME.finditer(content)})


def places(text: bytes, login: str | None = None, home: str | None = None) -> Iterator[Place]:
    """Paths in these bytes that lie in a home directory, or that hold the login of who runs this."""
    if any(begin in text for begin in _QUICK) or b"home\\/" in text or b"Users\\/" in text:
        yield from (Place(match.start(), match[0].rstrip(b"/\\\"'`")) for match in _HOME.finditer(text))
    for match in _ROOT.finditer(text):
        if not re.search(rb"[\w.:/~-]\Z", text[max(0, match.start() - 1) : match.start()]):
            yield Place(match.start(), b"/root/")
    yield from (Place(match.start(), match[0]) for match in _FILE.finditer(text))
    if home and len(Path(home).parts) > 2:
        yield from _whole(text, home.encode(), rb"(?![\w.-])")
    if login and len(login) > 2 and login.lower() not in _COMMON_LOGINS:
        for found in _whole(text, b"/" + login.encode(), rb"(?=[/\"'`\s\\]|\Z)"):
            if before := _WITHIN.search(text, max(0, found.start - _AROUND), found.start):
                yield Place(before.start(), before[0] + found.value)


def _whole(text: bytes, word: bytes, end: bytes) -> Iterator[Place]:
    pattern = re.compile(re.escape(word) + end)
    return (Place(match.start(), match[0]) for match in pattern.finditer(text))


@functools.cache
def me() -> tuple[str | None, str | None]:
    """The login and the home directory of who runs this, where the machine tells."""
    try:
        login: str | None = getpass.getuser()
    except (OSError, KeyError, ImportError):
        login = None
    try:
        home: str | None = str(Path.home())
    except RuntimeError:
        home = None
    return login, home
