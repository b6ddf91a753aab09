"""What a program printed, made fit to be shown: bounded, plain text, without this machine's paths."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hubkit.card.text import CONTROL

LINES, WIDTH, CHARACTERS = 40, 500, 4_000
CUT = "..."
# Colors and the like: CSI and OSC sequences, and what else begins with an escape.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")


def clean(printed: bytes, names: Mapping[str, str]) -> str:
    """The text of what was printed; `names` are what may not be shown, each with what stands in its place."""
    text = printed.decode("utf-8", "replace")
    text = _ESCAPE.sub("", text).replace("\r\n", "\n").expandtabs(4)
    text = "\n".join(line.rsplit("\r", 1)[-1] for line in text.split("\n"))  # a line that was written over
    text = CONTROL.sub("", text)
    for name in sorted(names, key=len, reverse=True):  # a folder's name begins those of what is in it
        text = text.replace(name, names[name])
    return _bounded(text)


def _bounded(text: str) -> str:
    """At most so much of the text, with a sign where something is cut off."""
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    shown = [line if len(line) <= WIDTH else line[:WIDTH] + CUT for line in lines[:LINES]]
    while len("\n".join(shown)) > CHARACTERS:
        shown.pop()
    return "\n".join(shown if len(shown) == len(lines) else [*shown, CUT]).strip("\n")


def last_line(printed: bytes, names: Mapping[str, str]) -> str:
    """The last line that says something: of a traceback, the error."""
    lines = [line.strip() for line in clean_all(printed, names).split("\n")]
    return next((line for line in reversed(lines) if line), "")


def clean_all(printed: bytes, names: Mapping[str, str]) -> str:
    """The same text, not cut."""
    text = CONTROL.sub("", _ESCAPE.sub("", printed.decode("utf-8", "replace")).replace("\r", "\n"))
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, names[name])
    return text
