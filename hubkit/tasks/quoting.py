"""Text as a Python string in the card's snippets: in double quotes, as a reader would write it."""

from __future__ import annotations


def quoted(text: str) -> str:
    """A literal of `text`, on one line."""
    literal = repr(text)
    if literal.startswith("'") and '"' not in literal and "\\'" not in literal:
        return f'"{literal[1:-1]}"'
    return literal
