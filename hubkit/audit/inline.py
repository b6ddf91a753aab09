"""What stands inside a line of Markdown: links, images, code spans, and the plain text that a reader sees."""

from __future__ import annotations

import html
import re

from hubkit.audit.parts import Link, Span

# Each piece is bounded and holds no nested choice: a line of any length is read in linear time.
_IMAGE = re.compile(
    r"!\[([^\]\n]{0,500})\]\(\s{0,3}<?([^\s<>()]{1,2000}(?:\([^\s()]{0,200}\))?[^\s<>()]{0,500})>?[^)\n]{0,300}\)"
)
_LINK = re.compile(
    r"(?<!!)\[((?:[^\[\]\n]|\[[^\[\]\n]{0,300}\](?:\([^()\n]{0,500}\))?){0,500})\]"
    r"\(\s{0,3}<?((?:[^\s<>()]|\([^\s()]{0,200}\)){0,2000})>?(?:\s[^)\n]{0,300})?\)"
)
_DEFINITION = re.compile(r"^ {0,3}\[([^\]\n^]{1,200})\]:[ \t]*<?(\S{1,2000}?)>?(?:[ \t]|$)")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]{1,2000})>")
_BARE = re.compile(r"(?<![\w(<\"'=/\[])https?://[^\s<>()\[\]\"'`|]{1,2000}")
_HREF = re.compile(r"<a\b[^>]{0,1000}?\bhref\s*=\s*[\"']?([^\"'\s>]{1,2000})", re.IGNORECASE)
_SRC = re.compile(r"<img\b[^>]{0,1000}?\bsrc\s*=\s*[\"']?([^\"'\s>]{1,2000})", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*[\"']([^\"'>]{0,500})", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][\w-]{0,30}(?:\s[^<>]{0,1000})?/?>")
_CODE = re.compile(r"(?<!`)(`{1,4})(?!`)(.{1,2000}?)(?<!`)\1(?!`)")
_EMPHASIS = re.compile(
    r"\*\*|__|~~|(?<![\w*\\])\*(?=\S)|(?<=\S)\*(?![\w*])|(?<![\w\\])_(?=\S)|(?<=\S)_(?!\w)"
)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def code_spans(line: str, number: int) -> list[Span]:
    """The pieces of a line between backticks."""
    return [Span(found[2].strip(), number) for found in _CODE.finditer(line)] if "`" in line else []


def links(line: str, number: int) -> tuple[list[Link], list[Link]]:
    """The links and the images of a line, code left out."""
    if not any(mark in line for mark in ("](", "]:", "://", "<", "mailto:")):
        return [], []
    line = _CODE.sub(lambda found: " " * len(found[0]), line)
    images = [Link(found[1], found[2], number) for found in _IMAGE.finditer(line)]
    for found in _SRC.finditer(line):
        alt = _ALT.search(line, found.start())
        images.append(Link(alt[1] if alt else "", found[1], number))
    rest = _IMAGE.sub(lambda found: "x" * len(found[0]), line)
    result = [Link(plain(found[1]), found[2], number) for found in _LINK.finditer(rest)]
    rest = _LINK.sub(lambda found: " " * len(found[0]), rest)
    if defined := _DEFINITION.match(rest):
        result.append(Link(defined[1], defined[2], number))
        rest = ""
    result += [Link("", found[1], number) for found in _HREF.finditer(rest)]
    result += [Link("", found[1], number) for found in _AUTOLINK.finditer(rest)]
    rest = _AUTOLINK.sub(" ", _TAG.sub(" ", rest))
    result += [Link("", found[0].rstrip(".,;:!?*"), number) for found in _BARE.finditer(rest)]
    return result, images


def plain(text: str) -> str:
    """What a reader sees: no emphasis, backticks, tags or targets of links."""
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[2].strip())
        return f"\0{len(kept) - 1}\0"

    text = text.replace("\0", "")
    text = _CODE.sub(keep, text) if "`" in text else text
    if "[" in text:
        text = _IMAGE.sub(lambda found: found[1], text)
        text = _LINK.sub(lambda found: found[1], text)
    text = _TAG.sub("", text) if "<" in text else text
    text = _EMPHASIS.sub("", text)
    text = html.unescape(_ESCAPE.sub(r"\1", text))
    if kept:
        text = re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], text)
    return text.replace("\xa0", " ").strip()


def without_tags(line: str) -> str:
    """The line without HTML tags; code spans keep theirs."""
    if "<" not in line:
        return line
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part.startswith("`") else _TAG.sub("", part) for part in parts)


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table: a pipe counts unless it is escaped."""
    line = line.strip()
    line = line.removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)]
