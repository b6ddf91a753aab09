"""The author's code fences in a card's body, told from those in hubkit's regions by the markers."""

from __future__ import annotations

import re
from bisect import bisect_left

_FENCE = re.compile(r"^ {0,3}(?P<marks>`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)
_CLOSING = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,})[ \t]*\r?$", re.MULTILINE)


def of_author(body: str, markers: list[re.Match[str]]) -> list[tuple[int, int]]:
    """Where they start and end: a marker within is text. `markers` are all that look like one, in order."""
    return _fenced(body, markers) if markers and _has_fences_outside(body, markers) else []


def _has_fences_outside(body: str, markers: list[re.Match[str]]) -> bool:
    """Whether a code fence may stand outside of the regions; where the markers pair, this is quickly told."""
    at, begun = 0, ""
    for marker in markers:
        if marker["what"] == "end":
            if marker["name"] != begun:
                return True
            at, begun = marker.end(), ""
        elif begun or "```" in (outside := body[at : marker.start()]) or "~~~" in outside:
            return True
        else:
            at, begun = marker.end(), marker["name"] or ""
    return bool(begun) or "```" in body[at:] or "~~~" in body[at:]


def _fenced(body: str, markers: list[re.Match[str]]) -> list[tuple[int, int]]:
    """The author's code fences. A fence that only one of hubkit's own closes was left open, and is none."""
    spans: list[tuple[int, int]] = []
    closings = list(_CLOSING.finditer(body))
    at = 0
    while fence := _FENCE.search(body, at):
        at = fence.end()
        before = [marker for marker in markers if marker.start() < fence.start() and marker["what"]]
        if before and before[-1]["what"] == "begin" and not _inside(spans, before[-1].start()):
            at = max(at, _next_end(markers, before[-1]))  # a fence in a region of hubkit's
            continue
        first = bisect_left(closings, line_end(body, fence), key=lambda found: found.start())
        within = (closings[n] for n in range(first, len(closings)))
        close = next((found for found in within if found["marks"].startswith(fence["marks"])), None)
        if close and not _splits_a_region(markers, fence.start(), close.start()):
            spans.append((fence.start(), close.end()))
            at = close.end()
    return spans


def _inside(spans: list[tuple[int, int]], at: int) -> bool:
    return any(start < at < end for start, end in spans)


def _next_end(markers: list[re.Match[str]], begun: re.Match[str]) -> int:
    return next(
        (marker.end() for marker in markers if marker.start() > begun.start() and marker["what"] == "end"), 0
    )


def _splits_a_region(markers: list[re.Match[str]], start: int, end: int) -> bool:
    """Whether a region begins between two places and its end is the first marker behind them."""
    within = [marker for marker in markers if start < marker.start() < end]
    behind = next((marker for marker in markers if marker.start() > end), None)
    if not within or behind is None or within[-1]["what"] != "begin":
        return False
    return behind["what"] == "end" and behind["name"] == within[-1]["name"]


def line_end(body: str, found: re.Match[str]) -> int:
    """Where the line of a match ends, its line end included."""
    end = body.find("\n", found.end())
    return len(body) if end < 0 else end + 1
