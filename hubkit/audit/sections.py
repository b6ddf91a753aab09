"""Where a line stands: the text of its section, and the table whose row it is. Each is worked out once."""

from __future__ import annotations

from bisect import bisect_right

from hubkit.audit.document import Document
from hubkit.audit.parts import Table


def first_line(document: Document, line: int) -> int:
    """The line of the heading above a line; 0 where there is none."""
    marks = [heading.line for heading in document.headings]
    at = bisect_right(marks, line)
    return marks[at - 1] if at else 0


def text_at(document: Document, line: int) -> str:
    """Everything between the heading above a line and the next heading, with the headings above it."""
    first = first_line(document, line)
    known: dict[int, str] = document.kept.setdefault("sections", {})
    if first not in known:
        marks = [heading.line for heading in document.headings if heading.line > line]
        inside = document.lines[max(first - 1, 0) : (marks[0] if marks else len(document.lines) + 1) - 1]
        known[first] = "\n".join([*document.section_at(line), *inside])
    return known[first]


def table_at(document: Document, line: int) -> Table | None:
    """The table that a line is a row of."""
    if "rows" not in document.kept:
        document.kept["rows"] = {row.line: table for table in document.tables for row in table.rows}
    known: dict[int, Table] = document.kept["rows"]
    return known.get(line)
