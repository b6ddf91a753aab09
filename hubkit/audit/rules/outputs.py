"""What a card says its code printed, against the run that the record holds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject
from hubkit.card import regions, snippets, writing
from hubkit.card.usage import usage_run
from hubkit.errors import CardError

_SAID = re.compile(r"This code was run on (?=\d{4}-)")  # as hubkit says it


@rule("HK607", "error", title="An output of other code")
def other_code(subject: Subject) -> Iterator[Fault]:
    """Within hubkit's regions the card says that its code was run, and the record holds no run of this code
    on this adapter: another one printed what stands there.

    Bad:

        <!-- hubkit:begin usage -->

        ```python
        print("as edited by hand")
        ```

        This code was run on 2026-11-20 with Python 3.11.7, on a CPU.

        <!-- hubkit:end usage sha256=0011aabbccddeeff kept -->

    Good:

        <!-- hubkit:begin usage -->

        ```python
        print("as edited by hand")
        ```

        <!-- hubkit:end usage sha256=5f16f4c7f149ac4f kept -->
    """
    line = _says_so(subject.document.text)
    if line is None or subject.record is None or _holds(subject):
        return
    yield found(
        line,
        "The card says that its code was run, and the record holds no run of this code on this adapter.",
        says=subject.document.line(line).strip(),
        instead="another run" if subject.record.usage else "no run",
        mend=f"{subject.command()} --verify-usage runs this code and shows what it prints",
    )


def _says_so(text: str) -> int | None:
    """The line within hubkit's regions that says so."""
    if not _SAID.search(text):
        return None
    parts = regions.split(text)
    above = 1 + parts.head.count("\n")
    try:
        pieces = regions.pieces(parts.body)
    except CardError:
        return None  # another rule says that the markers are broken
    for piece in pieces:
        if piece.name in (snippets.REGION, "output") and (said := _SAID.search(piece.raw)):
            return above + parts.body.count("\n", 0, piece.at + said.start())
    return None


def _holds(subject: Subject) -> bool:
    """Whether the record holds such a run, or it cannot be told."""
    run = subject.record.usage if subject.record else None
    if run is None:
        return False
    blocks = snippets.python_blocks(subject.document.text)
    if run.snippet_sha256 != snippets.sha256(blocks):
        return False
    if subject.facts is None or subject.remote:
        return True
    return usage_run(writing.knowing_code(subject.facts, subject.document.text)) is not None
