"""The blocks of a Markdown card: headings, code, comments, tables and prose, line by line and in one pass.

It is no full parser of Markdown, and need not be: it must tell code from prose, as every renderer does, and
find the facts that a card states. Fences may be indented (in lists), quoted, or never closed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hubkit.audit import claims, front, html_tables, inline
from hubkit.audit.parts import Document, Fence, Heading, Link, Region, Row, Span, Table

_OPEN = re.compile(r"^((?:[ \t]|>|[-*+][ \t]|\d{1,3}[.)][ \t]){0,12})(`{3,}|~{3,})[ \t]*([^`]*)$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_HTML_HEADING = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1>", re.IGNORECASE)
_SETEXT = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
_DELIMITER = re.compile(r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_LIST = re.compile(r"^[ \t]*(?:[-*+]|\d{1,3}[.)])(?:[ \t]|$)")
_BEGIN = re.compile(r"<!--\s*hubkit:begin\s+([a-z0-9-]+)\s*-->")
_END = re.compile(r"<!--\s*hubkit:end\s+([a-z0-9-]+)((?:\s+[\w=]+)*)\s*-->")
_PRE = re.compile(r"^\s*<pre\b[^>]*>(?:\s*<code\b[^>]*>)?", re.IGNORECASE)


@dataclass
class _Reading:
    """What was found so far."""

    headings: list[Heading] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)
    comments: list[Span] = field(default_factory=list)
    text: dict[int, str] = field(default_factory=dict)  # line -> prose, without comments


def document(text: str, path: str) -> Document:
    """Read a card."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    metadata = front.read(lines)
    reading = _Reading()
    _blocks(lines, metadata.last or 0, metadata.first or 0, reading)
    _setext(reading)
    bare = Document(text=text, path=path, lines=tuple(lines), headings=tuple(reading.headings))
    tables = _tables(reading.text, bare) + html_tables.read(reading.text, bare)
    links, images, spans = _inline(reading.text)
    return Document(
        text=text,
        path=path,
        lines=tuple(lines),
        front=metadata,
        headings=bare.headings,
        fences=tuple(_with_section(fence, bare) for fence in reading.fences),
        code_spans=tuple(spans),
        tables=tuple(tables),
        claims=tuple(claims.read(reading.text, tables, bare)),
        links=tuple(links),
        images=tuple(images),
        prose=tuple(
            (n, said) for n, line in reading.text.items() if (said := inline.without_tags(line)).strip()
        ),
        comments=tuple(reading.comments),
        regions=tuple(_regions(reading.comments)),
    )


def _blocks(lines: list[str], last: int, first: int, reading: _Reading) -> None:
    """Walk over the lines, those of the front matter (first to last) left out."""
    index = 0
    while index < len(lines):
        number = index + 1
        if first and first <= number <= last:
            index = last
            continue
        line = lines[index]
        if opened := _OPEN.match(line):
            index = _fence(lines, index, opened, reading)
        elif _PRE.match(line):
            index = _pre(lines, index, reading)
        elif _is_indented(lines, index):
            index = _indented(lines, index, reading)
        elif "<!--" in line:
            index = _comment(lines, index, reading)
        else:
            _plain(line, number, reading)
            index += 1


def _plain(line: str, number: int, reading: _Reading) -> None:
    heading = _HEADING.match(line)
    html = _HTML_HEADING.search(line) if heading is None and "<h" in line.lower() else None
    if heading:
        reading.headings.append(Heading(len(heading[1]), inline.plain(heading[2] or ""), number))
    elif html:
        reading.headings.append(Heading(int(html[1]), inline.plain(html[2]), number))
    reading.text[number] = line


def _fence(lines: list[str], index: int, opened: re.Match[str], reading: _Reading) -> int:
    """A fenced block, up to its end or the card's; the index after it."""
    prefix, fence, info = opened[1], opened[2], opened[3].strip()
    quoted = ">" in prefix
    body: list[str] = []
    at = index + 1
    closed = False
    while at < len(lines):
        line = re.sub(r"^[ \t]*(?:>[ \t]?)+", "", lines[at]) if quoted else lines[at]
        bare = line.strip()
        at += 1
        if len(bare) >= len(fence) and set(bare) == {fence[0]}:
            closed = True
            break
        body.append(line)
    width = 0 if quoted else len(prefix.expandtabs(4))
    code = "\n".join(_outdented(line, width) for line in body)
    reading.fences.append(
        Fence(_language(info), code, index + 2, at - 1 if closed else at, info, closed=closed)
    )
    return at


def _outdented(line: str, width: int) -> str:
    """The line without as many blanks as its fence is indented by."""
    blanks = len(line) - len(line.lstrip(" \t"))
    return line[min(width, blanks) :]


def _language(info: str) -> str:
    """`python`, from `python`, `{.python .numberLines}`, `python title="x"`, `Python:main.py`."""
    found = re.match(r"\{?\s*[.#]?([\w+#-]+)", info)
    return found[1].lower() if found else ""


def _pre(lines: list[str], index: int, reading: _Reading) -> int:
    """A block of HTML's <pre>."""
    body: list[str] = []
    at = index
    while at < len(lines):
        line = lines[at]
        at += 1
        body.append(line)
        if "</pre>" in line.lower():
            break
    code = re.sub(r"</?(?:pre|code)\b[^>]*>", "", "\n".join(body), flags=re.IGNORECASE)
    reading.fences.append(Fence("", code.strip("\n"), index + 1, at, closed=True))
    return at


def _is_indented(lines: list[str], index: int) -> bool:
    """Whether a block of code by indentation begins here: four blanks after an empty line, and in no list."""
    line = lines[index]
    if not (line.startswith(("    ", "\t")) and line.strip()):
        return False
    if index and lines[index - 1].strip():
        return False
    for above in range(index - 1, -1, -1):
        if lines[above].strip():
            return not (_LIST.match(lines[above]) or lines[above].startswith((" ", "\t", "|")))
    return True


def _indented(lines: list[str], index: int, reading: _Reading) -> int:
    at = index
    while at < len(lines) and (not lines[at].strip() or lines[at].startswith(("    ", "\t"))):
        at += 1
    while not lines[at - 1].strip():
        at -= 1
    code = "\n".join(_outdented(line.expandtabs(4), 4) for line in lines[index:at])
    reading.fences.append(Fence("", code, index + 1, at, indented=True))
    return at


def _comment(lines: list[str], index: int, reading: _Reading) -> int:
    """A line with a comment, which may go on over many; what stands beside it is prose."""
    line, kept, at = lines[index], "", index
    while "<!--" in line:
        before, _, after = line.partition("<!--")
        if before.count("`") % 2:  # in a code span
            kept += before + "<!--"
            line = after
            continue
        kept += before
        start, body = at, after
        while "-->" not in body and at + 1 < len(lines):
            at += 1
            body += "\n" + lines[at]
        said, _, line = body.partition("-->")
        reading.comments.append(Span(said.strip(), start + 1))
    kept += line
    if kept.strip():
        _plain(kept, at + 1, reading)
    return at + 1


def _setext(reading: _Reading) -> None:
    """Headings that are underlined."""
    for number, line in list(reading.text.items()):
        under = _SETEXT.match(line)
        above = reading.text.get(number - 1, "")
        if not under or not above.strip() or "|" in above:
            continue
        if _HEADING.match(above) or _LIST.match(above) or above.startswith((">", "    ")):
            continue
        if above.lstrip().startswith("<"):
            continue
        level = 1 if under[1].startswith("=") else 2
        reading.headings.append(Heading(level, inline.plain(above), number - 1))
    reading.headings.sort(key=lambda heading: heading.line)


def _tables(text: dict[int, str], bare: Document) -> list[Table]:
    """The tables of Markdown: a head, a line of dashes, and rows."""
    tables: list[Table] = []
    last = 0
    for number, line in text.items():
        head = text.get(number - 1, "")
        if number <= last or "|" not in head or "-" not in line or not _DELIMITER.match(line):
            continue
        width = len(inline.cells(head))
        if width != len(inline.cells(line)):
            continue
        rows: list[Row] = []
        at = number + 1
        while "|" in text.get(at, ""):
            rows.append(_row(text[at], at))
            at += 1
        tables.append(Table(_row(head, number - 1), tuple(rows), bare.section_at(number)))
        last = at
    return tables


def _row(line: str, number: int) -> Row:
    raw = inline.cells(line)
    return Row(tuple(inline.plain(cell) for cell in raw), tuple(raw), number)


def _inline(text: dict[int, str]) -> tuple[list[Link], list[Link], list[Span]]:
    links: list[Link] = []
    images: list[Link] = []
    spans: list[Span] = []
    for number, line in text.items():
        found, pictures = inline.links(line, number)
        links += found
        images += pictures
        spans += inline.code_spans(line, number)
    return links, images, spans


def _with_section(fence: Fence, bare: Document) -> Fence:
    section = bare.section_at(fence.line)
    return Fence(
        fence.language, fence.code, fence.line, fence.last, fence.info, fence.indented, fence.closed, section
    )


def _regions(comments: list[Span]) -> list[Region]:
    """hubkit's regions, by their markers."""
    regions: list[Region] = []
    open_at: dict[str, int] = {}
    for comment in comments:
        marker = f"<!-- {comment.text} -->"
        if begin := _BEGIN.fullmatch(marker):
            open_at[begin[1]] = comment.line
        elif end := _END.fullmatch(marker):
            said = end[2].split()
            sha256 = next((part.partition("=")[2] for part in said if part.startswith("sha256=")), None)
            line = open_at.pop(end[1], comment.line)
            regions.append(Region(end[1], line, comment.line, sha256, "kept" in said))
    regions += [Region(name, line, None, None) for name, line in open_at.items()]
    return sorted(regions, key=lambda region: region.line)
