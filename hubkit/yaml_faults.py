"""What is wrong with a value of the settings, in plain words: what is wanted, what was given, what was meant.

msgspec's own messages name types of Python and patterns, and not the values that a setting may have.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

import msgspec

SHOWN = 60  # characters of a faulty value
_VALUE = re.compile(r"(?:Invalid|Expected) ")  # msgspec's messages about a value; others are ours
_BOUNDS = (("gt", "above"), ("ge", "of at least"), ("lt", "below"), ("le", "of at most"))
_NOUNS = {
    "IntType": "a whole number", "FloatType": "a number", "StrType": "text",
    "NoneType": "null", "StructType": "keys with values", "DictType": "keys with values",
}  # fmt: skip


def told(message: str, kind: type, plain: Any, below: list[str]) -> str:
    """msgspec's message about the value at `below` inside `plain`, which should be a `kind`, in words.

    `...` in `below` stands for some key of a mapping: msgspec does not name it.
    """
    if missing := re.fullmatch(r"Object missing required field `(.*)`", message, re.DOTALL):
        return f"the key {missing[1]!r} is missing"
    wanted = _wanted(msgspec.inspect.type_info(kind), below) if _VALUE.match(message) else None
    if wanted is None:
        return message[:1].lower() + message[1:]
    found, value = _given(plain, below, wanted)
    words = f"expected {_words(wanted)}"
    return f"{words}, got {_shown(value)}{_meant(value, wanted)}" if found else words


def _bare(wanted: Any) -> Any:
    """A type without what only describes it."""
    while isinstance(wanted, msgspec.inspect.Metadata):
        wanted = wanted.type
    return wanted


def _options(wanted: Any) -> list[Any]:
    """The types of which a value may have one; null is left out where others are."""
    bare = _bare(wanted)
    if not isinstance(bare, msgspec.inspect.UnionType):
        return [wanted]
    return [one for one in bare.types if not isinstance(one, msgspec.inspect.NoneType)]


def _wanted(kind: Any, below: list[str]) -> Any:
    """The type of the value at `below`; None where the way there is not known."""
    for key in below:
        found = None
        for option in map(_bare, _options(kind)):
            if isinstance(option, msgspec.inspect.StructType):
                found = found or next((f.type for f in option.fields if f.encode_name == key), None)
            elif isinstance(option, msgspec.inspect.ListType):
                found = found or (option.item_type if key.isdigit() else None)
            elif isinstance(option, msgspec.inspect.DictType):
                found = found or option.value_type
        if found is None:
            return None
        kind = found
    return kind


def _given(plain: Any, below: list[str], wanted: Any) -> tuple[bool, Any]:
    """Whether the value at `below` is found, and the value."""
    for at, key in enumerate(below):
        if isinstance(plain, list) and key.isdigit() and int(key) < len(plain):
            plain = plain[int(key)]
        elif isinstance(plain, dict) and key in plain:
            plain = plain[key]
        elif isinstance(plain, dict) and key == "..." and at == len(below) - 1:
            unfit = [one for one in plain.values() if not _fits(one, _bare(_options(wanted)[0]))]
            return bool(unfit), next(iter(unfit), None)
        else:
            return False, None
    return True, plain


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a value of a mapping is text, or a number that is not too small, as is wanted there."""
    if isinstance(wanted, msgspec.inspect.StrType):
        return isinstance(value, str)
    least = getattr(wanted, "ge", None)
    return type(value) in (int, float) and (least is None or value >= least)


def _words(wanted: Any) -> str:
    """`one of l1, magnitude, rank`; `a whole number of at least 1 or auto`; `true, false or auto`."""
    options = _options(wanted)
    words = list(dict.fromkeys(word for option in options for word in _word(option)))
    if len(words) > 1 and all(isinstance(_bare(one), msgspec.inspect.LiteralType) for one in options):
        return f"one of {', '.join(words)}"
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _word(wanted: Any) -> list[str]:
    """One type in words: the names that are allowed, a number and its bounds, what a pattern stands for."""
    if isinstance(wanted, msgspec.inspect.Metadata):
        said = (wanted.extra_json_schema or {}).get("description")
        return [said] if said else _word(wanted.type)
    if isinstance(wanted, msgspec.inspect.LiteralType):
        return [str(value) for value in wanted.values]
    if isinstance(wanted, msgspec.inspect.BoolType):
        return ["true", "false"]
    if isinstance(wanted, msgspec.inspect.ListType):
        items = _options(wanted.item_type)
        names = isinstance(items[0], msgspec.inspect.LiteralType)
        return [f"a list of {_words(wanted.item_type).removeprefix('one of ')}" if names else "a list"]
    noun = _NOUNS.get(type(wanted).__name__, "another type of value")
    bounds = [f"{word} {b}" for name, word in _BOUNDS if (b := getattr(wanted, name, None)) is not None]
    return [f"{noun} {' and '.join(bounds)}" if bounds else noun]


def _shown(value: Any) -> str:
    """A value as it was given: text in quotes, and numbers and lists as they are written."""
    if isinstance(value, str):
        return repr(value[:SHOWN])
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return str(value)[:SHOWN]


def _meant(value: Any, wanted: Any) -> str:
    """The allowed name that is nearest to what was given."""
    names: list[str] = []
    for option in _options(wanted):
        if isinstance(option, msgspec.inspect.LiteralType):
            names += map(str, option.values)
        elif isinstance(option, msgspec.inspect.Metadata):
            names += (option.extra_json_schema or {}).get("examples", [])
    close = difflib.get_close_matches(str(value).lower(), names, n=1) if isinstance(value, str | int) else []
    return f"; did you mean {close[0]!r}?" if close else ""
