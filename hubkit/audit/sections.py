"""The text of a card's sections, for rules that ask whether conditions stand beside a number."""

from __future__ import annotations

from hubkit.audit.document import Document


def text_at(document: Document, line: int) -> str:
    """Everything between the heading above a line and the next heading, with the headings above it."""
    marks = [heading.line for heading in document.headings]
    first = max((mark for mark in marks if mark <= line), default=1)
    last = min((mark for mark in marks if mark > line), default=len(document.lines) + 1)
    inside = (document.line(number) for number in range(first, last))
    return "\n".join([*document.section_at(line), *inside])
