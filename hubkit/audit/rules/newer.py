"""Cards that a newer hubkit wrote."""

from __future__ import annotations

from collections.abc import Iterator

from hubkit import __version__
from hubkit.audit import rewritten
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject


@rule("HK606", "warning", title="A card of a newer hubkit")
def newer(subject: Subject) -> Iterator[Fault]:
    """The card says that a newer hubkit than this one wrote it. What that one would write now cannot be told
    here, so most of the card cannot be checked.

    Bad:

        *Made by hubkit 999.0 from `hubkit.json`.*

    Good:

        *Made by hubkit 0.1.0 from `hubkit.json`.*
    """
    told = rewritten.newer_version(subject)
    if told and rewritten.is_hubkits(subject):
        yield found(
            told[0],
            "The card was made by a newer hubkit than this one, which cannot check all of it.",
            says=f"hubkit {told[1]}",
            instead=f"hubkit {__version__}",
            mend="pip install --upgrade hubkit",
        )
