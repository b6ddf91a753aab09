"""What an audit finds: what is wrong, where, what the artifact says instead, and how to mend it."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule yields: a finding that does not know its rule yet."""

    line: int | None  # 1-based in the card; None: the file as a whole
    message: str  # one sentence: what is wrong
    says: str | None = None  # what the card says
    instead: str | None = None  # what the artifact says
    mend: str | None = None  # a command, or the line to write
    severity: Severity | None = None  # where it is not the rule's own


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong with a card."""

    code: str  # "HK201"
    severity: Severity
    message: str
    path: str
    line: int | None = None
    says: str | None = None
    instead: str | None = None
    mend: str | None = None

    @property
    def fails(self) -> bool:
        """Whether it makes the audit fail: a note does not."""
        return self.severity != "note"
