"""The lines of a Markdown text: which are headings, which are code, where its sections begin.

Lines are kept whole, with their line ends: joined, they are the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_CLOSING = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*$")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_HTML = re.compile(r"[ \t]*<h([1-6])\b[^>]*>(.*)", re.IGNORECASE)
_COMMENT = re.compile(r" {0,3}<!--")
_TAG = re.compile(r"<(/?)(details|div|table|section|center|blockquote|ul|ol|figure)\b", re.IGNORECASE)
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NO_PARAGRAPH = re.compile(r" {0,3}(?:[#>|]|[-*+][ \t]|<)| {4}|\t")


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its line end. `level` is a heading's, 0 for any other line."""

    raw: str
    level: int = 0
    title: str = ""
    is_code: bool = False  # in a fenced block, or one of its fences

    @property
    def is_blank(self) -> bool:
        """Whether nothing is to be seen of it."""
        return not self.raw.strip()


class Closings:
    """The lines that can close a fence."""

    def __init__(self, raw: list[str]) -> None:
        self._all = [
            (at, close[1]) for at, line in enumerate(raw) if (close := _CLOSING.match(line.rstrip("\r\n")))
        ]
        self._by_marks: dict[str, list[int]] = {}  # of those that close a fence of these marks

    def after(self, start: int, marks: str) -> int | None:
        """The first line behind `start` that closes a fence of these marks."""
        if marks not in self._by_marks:
            self._by_marks[marks] = [at for at, close in self._all if close.startswith(marks)]
        fitting = self._by_marks[marks]
        place = bisect_right(fitting, start)
        return fitting[place] if place < len(fitting) else None


def lines(text: str) -> list[Line]:
    """The lines of a text. A fence that is never closed is none; what is commented out is no heading."""
    raw = text.splitlines(keepends=True) if "\n" not in text else re.findall(r"[^\n]*\n|[^\n]+\Z", text)
    found: list[Line] = []
    closings = Closings(raw)
    at = 0
    while at < len(raw):
        fence = _FENCE.match(raw[at].rstrip("\r\n"))
        end = closings.after(at, fence[1]) if fence else None
        if end is not None:
            found += [Line(line, is_code=True) for line in raw[at : end + 1]]
            at = end + 1
        elif _COMMENT.match(raw[at]):
            end = next((n for n in range(at, len(raw)) if "-->" in raw[n]), len(raw) - 1)
            found += [Line(line) for line in raw[at : end + 1]]
            at = end + 1
        else:
            found.append(_line(raw, at))
            at += 1
    return found


def inside_html(found: list[Line]) -> set[int]:
    """The lines that an element of HTML holds, from behind its opening tag's line to its closing one's."""
    opened: list[tuple[str, int]] = []
    inside: set[int] = set()
    for at, line in enumerate(found):
        for closes, name in _TAG.findall("" if line.is_code else line.raw):
            if not closes:
                opened.append((name.lower(), at))
                continue
            place = next((n for n in reversed(range(len(opened))) if opened[n][0] == name.lower()), None)
            if place is not None:  # what was opened in between and never closed holds nothing
                inside.update(range(opened[place][1] + 1, at + 1))
                del opened[place:]
    return inside


def _line(raw: list[str], at: int) -> Line:
    text = raw[at].rstrip("\r\n")
    if atx := _ATX.match(text):
        return Line(raw[at], len(atx[1]), (atx[2] or "").strip())
    if html := _HTML.match(text):
        return Line(raw[at], int(html[1]), re.sub(r"<[^>]*>", "", html[2]).strip())
    below = _UNDERLINE.match(raw[at + 1].rstrip("\r\n")) if at + 1 < len(raw) else None
    if below and text.strip() and not _NO_PARAGRAPH.match(text) and not _UNDERLINE.match(text):
        return Line(raw[at], 1 if below[1][0] == "=" else 2, text.strip())
    return Line(raw[at])
