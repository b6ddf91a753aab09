"""JSON from outside, read only where it is small: a few bytes of it can stand for many values in memory.

A value takes up to a hundred bytes, and two bytes of text can be one: `[[],[],[],...`. So the values are
counted by the signs that part them, before anything is built of them.
"""

from __future__ import annotations

import json
from typing import Any

LARGEST = 4_000_000  # bytes of a configuration
MOST = 500_000  # values
MOST_DIGITS = 300  # of a whole number


def check(content: bytes, most: int = MOST) -> None:
    """Raise ValueError for JSON that holds more values than are wanted, whatever else is wrong with it."""
    if len(content) > most and sum(map(content.count, (b",", b"[", b"{"))) > most:
        raise ValueError(f"it holds more than {most:,} values")


def loads(content: bytes, largest: int = LARGEST) -> Any:
    """The value of JSON in UTF-8. Raises ValueError, and RecursionError for what is nested too deep."""
    if len(content) > largest:
        raise ValueError(f"it has {len(content):,} bytes, more than {largest:,}")
    check(content)
    return _DECODER.decode(content.decode("utf-8"))


def _whole(digits: str) -> int:
    """A whole number that a float can hold, too."""
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(digits):,} digits")
    return int(digits)


_DECODER = json.JSONDecoder(parse_int=_whole)
