"""What the audit of one card found, and what it could not check."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.audit.findings import Finding

Key = tuple[str, str, str]  # what a finding is known by: rule, card, digest of the line


@dataclass(frozen=True)
class Report:
    """The findings of one card, and the key of each."""

    path: str
    findings: tuple[Finding, ...]
    keys: tuple[Key, ...]
    not_checked: tuple[str, ...] = ()
    known: int = 0  # findings that the baseline knows
