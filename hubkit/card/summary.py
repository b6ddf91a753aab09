"""The card's "at a glance" table as plain lines for a terminal, and what else was measured."""

from __future__ import annotations

import re

from hubkit.card import quality, speeds
from hubkit.card.facts import Facts
from hubkit.card.tables import at_a_glance, known


def lines(facts: Facts) -> list[str]:
    """One line a row, labels in a column, without Markdown."""
    measured = known([*quality.in_short(facts), *speeds.in_short(facts)])
    rows = [(row[0], _plain(row[1])) for row in (*at_a_glance(facts), *measured)]
    width = max((len(label) for label, _ in rows), default=0)
    return [f"  {label.ljust(width)}  {value}" for label, value in rows]


def _plain(markdown: str) -> str:
    """Links become their text; emphasis, code marks and escapes go."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"[*`]", "", text)
    return re.sub(r"\\([^\w\s])", r"\1", text.replace("<br>", "; "))
