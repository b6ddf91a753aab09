"""The facts that a card states as label and value: in tables, in lists, and on lines of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.audit import inline
from hubkit.audit.parts import Claim, Document, Table

_MARKER = re.compile(r"^([ \t]*)(?:>[ \t]?)*(?:([-*+•]|\d{1,3}[.)])[ \t]+)?")
# A label: bold or not, a colon inside or outside of the bold, or an equals sign.
_LABEL = re.compile(
    r"^(?:\*\*|__|\*)?(?:\[[ x]\] )?([^\n*:=：|]{1,80}?)(?:\*\*|__|\*)?[ \t]*(?::(?!//)|：|=(?!=))"
    r"[ \t]*(?:\*\*|__|\*)?[ \t]*(.*)$"
)
_LABEL_WITH_CODE = re.compile(
    r"^(?:\*\*|__)?(`[^`]{1,60}`[^:=：]{0,40}?)(?:\*\*|__)?[ \t]*(?::|：|=)[ \t]*(?:\*\*|__)?[ \t]*(.*)$"
)
# A further label in the same line: `**Rank:** 8, **Alpha:** 16`.
_MORE = re.compile(r"[,;·][ \t]*(?:\*\*|__)([^*:：|]{1,40})(?:[:：](?:\*\*|__)|(?:\*\*|__)[ \t]*[:：])[ \t]*")
LONGEST_LABEL = 60


def read(text: dict[int, str], tables: list[Table], bare: Document) -> list[Claim]:
    """All claims, in the order of their lines."""
    in_tables = {row.line for table in tables for row in (table.header, *table.rows)}
    found = [claim for table in tables for claim in _of_table(table)]
    found += _of_lines({n: line for n, line in text.items() if n not in in_tables}, bare)
    return sorted(found, key=lambda claim: claim.line)


def _of_table(table: Table) -> Iterator[Claim]:
    """Each cell with the first of its row as label, and with the head of its column."""
    head = table.header.cells
    for row in table.rows:
        first = row.cells[0] if row.cells else ""
        for j, cell in enumerate(row.cells):
            column = head[j] if j < len(head) else ""
            if not cell:
                continue
            if j and first:
                named = column if len(head) > 2 else ""
                yield Claim(first, cell, row.raw[j], row.line, table.section, "row", column=named)
            if column:
                yield Claim(
                    column, cell, row.raw[j], row.line, table.section, "column", row=first if j else ""
                )


def _of_lines(text: dict[int, str], bare: Document) -> Iterator[Claim]:
    numbers = list(text)
    for position, number in enumerate(numbers):
        line = text[number]
        marker = _MARKER.match(line)
        body = line[marker.end() :] if marker else line
        if not body or body.startswith(("#", "|", "![", "http")):
            continue
        found = _LABEL.match(body) or _LABEL_WITH_CODE.match(body)
        if not found:
            continue
        label, raw = inline.plain(found[1]), found[2].strip()
        if raw.startswith(("**", "__")):
            raw = raw[2:].strip()
        if not label or len(label) > LONGEST_LABEL or label.startswith(("http", "<")):
            continue
        if not raw:
            indent = len(marker[1].expandtabs(4)) if marker else 0
            raw = ", ".join(_below(text, numbers[position + 1 :], number, indent, bool(marker and marker[2])))
        more = list(_MORE.finditer(raw))
        ends = [*(one.start() for one in more), len(raw)]
        pairs = [
            (label, raw[: ends[0]]),
            *((m[1], raw[m.end() : e]) for m, e in zip(more, ends[1:], strict=True)),
        ]
        for name, said in pairs:
            said = said.strip(" ,;·")
            if name.strip():
                yield Claim(
                    inline.plain(name), inline.plain(said), said, number, bare.section_at(number), "item"
                )


def _below(text: dict[int, str], numbers: list[int], line: int, indent: int, in_list: bool) -> Iterator[str]:
    """The items of the list that stands below a label without a value."""
    for number in numbers:
        if number - line > 2:  # two empty lines, or a code block between
            return
        said = text[number]
        line = number
        if not said.strip():
            continue
        marker = _MARKER.match(said)
        if not marker or not marker[2]:
            return
        deeper = len(marker[1].expandtabs(4)) > indent
        if in_list and not deeper:
            return
        yield said[marker.end() :].strip()
