"""The author's own Markdown, kept as it is, but unable to swallow what stands behind it on the card.

Three things could: a code fence left open, a raw HTML block that runs on (a comment, a script), and an HTML
element that is never closed. The scan is careful: where a fence or a tag is not plainly paired, its first
character is written as an entity, and shows as itself. Fences inside list items and quotes end with those, so
only the ones that could stand at the top level are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.card.text import CONTROL, plain

_FENCE = re.compile(r"( *)(`{3,}(?=[^`]*$)|~{3,})(.*)$")
_CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)")
_TAG = re.compile(
    r"""<(?P<end>/?)(?P<name>[A-Za-z][\w-]*)"""
    r"""(?:\s+[\w:-]+(?:=(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=`]+))?)*\s*/?>"""
)
# A comment that is a marker of hubkit's would end a region, wherever it begins a line, in a fence too.
_HARMLESS = re.compile(r"<https?://[^\s<>]+>|<!--(?!\s*hubkit:(?:begin|end|card)\b)[^<>-]*-->")
_MARKER = re.compile(r"^<!-- hubkit:(?=begin|end|card)")
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_RAW = frozenset(
    "script pre style textarea title iframe noscript plaintext xmp noembed noframes svg math".split()
)
_BLOCK_START = re.compile(r"[#>|=+<-]|\*\s|[*_][*_\s]*$|\d+[.)]")


def passage(text: str) -> str:
    """The text with nothing left open at its end."""
    lines = CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    keep = _balanced(lines)
    kept: list[str] = []
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if not fence or len(fence[1]) > 3:
            kept.append(_without_open_tags(lines[at], keep).rstrip())
            at += 1
        elif (end := _end_of_fence(lines, at, fence)) is not None:
            # A blank line ends a raw HTML block, which would hide the fence's first line.
            fenced = [_MARKER.sub(r" \g<0>", line) for line in lines[at : end + 1]]
            kept += ["", *fenced] if kept and kept[-1] else fenced
            at = end + 1
        else:
            kept.append(f"{fence[1]}&#{ord(fence[2][0])};{fence[2][1:]}{fence[3]}".rstrip())
            at += 1
    # A line that begins like a marker of hubkit's is none.
    return "\n".join(f" {line}" if line.startswith("<!-- hubkit:") else line for line in kept).strip("\n")


def in_fence(citation: str) -> str:
    """BibTeX in a code fence, where the author gave none."""
    bare = citation.lstrip().startswith("@") and not re.search(r"^ {0,3}(?:```|~~~)", citation, re.MULTILINE)
    return f"```bibtex\n{citation.strip()}\n```" if bare else citation


def paragraph(text: str) -> str:
    """The author's text as one paragraph: its inline Markdown is kept, and it can start nothing else."""
    line = passage(plain(text))
    return f"&#{ord(line[0])};{line[1:]}" if _BLOCK_START.match(line) else line


def _end_of_fence(lines: list[str], start: int, fence: re.Match[str]) -> int | None:
    """The line that ends a fence, where it ends the same way inside a list item and outside."""
    indent, marks = len(fence[1]), fence[2]
    for at in range(start + 1, len(lines)):
        line = lines[at]
        closing = _FENCE.match(line)
        if closing and closing[2].startswith(marks) and not closing[3].strip():
            same = len(closing[1]) == indent if indent else len(closing[1]) <= 3
            if same:
                return at
            if indent:
                return None
        if line.strip() and not line.expandtabs(4).startswith(" " * indent):
            return None
    return None


def _tags(lines: list[str]) -> Iterator[tuple[str, bool]]:
    for line in lines:
        for found in _TAG.finditer(_CODE.sub("", line)) if "<" in line else ():
            yield found["name"].lower(), bool(found["end"])


def _balanced(lines: list[str]) -> frozenset[str]:
    """The elements that are closed as often as they are opened, and never before."""
    depth: dict[str, int] = {}
    wrong: set[str] = set(_RAW)
    for name, ends in _tags(lines):
        depth[name] = depth.get(name, 0) + (-1 if ends else 1)
        if depth[name] < 0:
            wrong.add(name)
    return _VOID | {name for name, level in depth.items() if level == 0 and name not in wrong}


def _without_open_tags(line: str, keep: frozenset[str]) -> str:
    """The line with each `<` that could open something for good written as an entity."""
    if "<" not in line:
        return line
    spans = [] if "\\`" in line else [found.span() for found in _CODE.finditer(line)]

    def harmless(at: int) -> bool:
        if any(start < at < end for start, end in spans) or _HARMLESS.match(line, at):
            return True
        tag = _TAG.match(line, at)
        if tag:
            return tag["name"].lower() in keep
        return not re.match(r"<[A-Za-z/!?]", line[at : at + 2])

    return "".join("&lt;" if c == "<" and not harmless(at) else c for at, c in enumerate(line))
