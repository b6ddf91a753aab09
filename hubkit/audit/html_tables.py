"""Tables that a card writes in HTML."""

from __future__ import annotations

import re

from hubkit.audit import inline
from hubkit.audit.parts import Document, Row, Table

_ROW = re.compile(r"<tr\b[^>]*>(.*?)(?=</tr>|<tr\b|\Z)", re.IGNORECASE | re.DOTALL)
_CELL = re.compile(r"<t[dh]\b[^>]*>(.*?)(?=</t[dh]>|<t[dh]\b|\Z)", re.IGNORECASE | re.DOTALL)


def read(text: dict[int, str], bare: Document) -> list[Table]:
    """The HTML tables in the prose of a card."""
    tables: list[Table] = []
    waiting: list[tuple[int, str]] = []
    inside = False
    for number, line in text.items():
        if "<table" in line.lower():
            inside = True
        if inside:
            waiting.append((number, line))
        if inside and "</table>" in line.lower():
            inside = False
            tables += _table(waiting, bare)
            waiting = []
    return tables


def _table(block: list[tuple[int, str]], bare: Document) -> list[Table]:
    joined = "\n".join(line for _, line in block)
    rows: list[Row] = []
    for found in _ROW.finditer(joined):
        line = block[joined.count("\n", 0, found.start())][0]
        raw = tuple(" ".join(cell[1].split()) for cell in _CELL.finditer(found[1]))
        if raw:
            rows.append(Row(tuple(inline.plain(cell) for cell in raw), raw, line))
    if not rows:
        return []
    has_head = "<th" in joined.lower() and len(rows) > 1 and len(rows[0].cells) > 1
    width = max(len(row.cells) for row in rows)
    head = rows[0] if has_head else Row(("",) * width, ("",) * width, rows[0].line)
    return [Table(head, tuple(rows[1:] if has_head else rows), bare.section_at(rows[0].line))]
