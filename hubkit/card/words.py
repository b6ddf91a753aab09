"""What the author says in the front matter of README.md, for the rest of the card to know it too."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from hubkit.card import regions, yaml_spans
from hubkit.hub_rules import LANGUAGE_PATTERN, front_matter_problems
from hubkit.record import Author, Written

LICENSE_KEYS = ("license", "license_name", "license_link")


def pipeline_tag(card: str | None) -> str | None:
    """The task that the front matter names, where hubkit alone did not write it."""
    if not card or "pipeline_tag" not in card or regions.has_own_front_matter(card):
        return None
    parts = regions.split(card)
    entry = yaml_spans.read(parts.yaml or "", 1 + parts.opening.count("\n")).entries.get("pipeline_tag")
    return entry.value if entry and isinstance(entry.value, str) else None


def with_front_matter(
    author: Author, card: str | None, written: Written | None, told: Collection[str] = ()
) -> Author:
    """The author's words, with license and languages as the front matter has them and hubkit did not write.

    `written` is what hubkit wrote last, `told` are fields that the user says now: these stay.
    """
    parts = regions.split(card) if card else None
    if card is None or parts is None or parts.yaml is None or regions.has_own_front_matter(card):
        return author
    entries = yaml_spans.read(parts.yaml, 1 + parts.opening.count("\n")).entries
    base = written.metadata if written and regions.is_touched(card) else {}
    theirs = {key: entries[key].value for key in (*LICENSE_KEYS, "language") if key in entries}
    changes: dict[str, Any] = {}
    licensed = {key: theirs[key] for key in LICENSE_KEYS if isinstance(theirs.get(key), str)}
    edited = licensed.get("license") is not None and any(licensed[key] != base.get(key) for key in licensed)
    if edited and "license" not in told and not front_matter_problems(licensed):
        changes = {key: licensed.get(key) for key in LICENSE_KEYS}
    if "language" in theirs:
        found = theirs["language"]
        said = found if isinstance(found, list) else [found]
        had, now = base.get("language") or [], author.language
        stay = [code for code in said if code not in had or code in now]
        new = [code for code in now if code not in said and code not in had]
        codes = [code for code in (*stay, *new) if isinstance(code, str) and LANGUAGE_PATTERN.fullmatch(code)]
        changes["language"] = codes
    return msgspec.structs.replace(author, **changes)
