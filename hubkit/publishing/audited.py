"""The audit of a card that is about to be pushed: a card that is found false stays here.

A draft is audited as it would be written: in a directory that holds it beside links to the other files.
"""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubkit.audit.findings import Finding
from hubkit.card import text
from hubkit.errors import CardError
from hubkit.publishing.contents import CARD_NAME, Contents
from hubkit.publishing.planned import PlannedFinding


@dataclass(frozen=True, slots=True)
class Audited:
    """What the audit says of a push: all that it finds, why not and the way out, and what is only a note."""

    refusal: CardError | None = None
    notes: tuple[str, ...] = ()
    findings: tuple[PlannedFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """Where edits in a card come from: the repo they were made at, and the contents without them."""

    repo_id: str
    without: Contents


def audit(directory: Path, contents: Contents, merged: Merged | None = None) -> Audited:
    """Audit the card that would be pushed. Raises HubkitError where it cannot be read."""
    shown = directory / CARD_NAME
    found = _findings(directory, contents)
    data = tuple(
        PlannedFinding(code=one.code, severity=one.severity, message=one.message, line=one.line)
        for one in found
    )
    see = f"hubkit audit {shlex.quote(str(directory))}"
    errors = [finding for finding in found if finding.severity == "error"]
    warnings = sum(finding.severity == "warning" for finding in found)
    notes = (f"the audit finds {text.plural(warnings, 'warning')}: {see}",) if warnings else ()
    if not errors:
        return Audited(None, notes, data)
    number = f"the audit finds {text.plural(len(errors), 'error')}"
    if merged and (theirs := _new(errors, _findings(directory, merged.without))):
        refusal = CardError(
            f"the card of {merged.repo_id} was edited on the Hub and is false there:"
            f" {theirs[0].code} {_told(theirs[0])}; {number}",
            "correct it there and run the command again; --force replaces that card by the one here,"
            " and the history keeps it; --no-audit publishes anyway",
        )
        return Audited(refusal, notes, data)
    first = errors[0]
    where = f"{shown}:{first.line}" if first.line else str(shown)
    refusal = CardError(
        f"{where}: {first.code} {_told(first)}; {number}",
        f"{see} shows all; --no-audit publishes anyway",
    )
    return Audited(refusal, notes, data)


def _findings(directory: Path, contents: Contents) -> list[Finding]:
    from hubkit.audit import rules, subject  # late: other commands need no rules

    with _as_pushed(directory, contents) as place:
        return rules.findings(subject.load(place / CARD_NAME, shown=str(directory / CARD_NAME)))


def _told(finding: Finding) -> str:
    return finding.message.rstrip(".") + (f" ({finding.says})" if finding.says else "")


def _new(errors: Sequence[Finding], before: Sequence[Finding]) -> list[Finding]:
    """The errors that were not found before, wherever they stand."""
    known = {(finding.code, finding.message, finding.says) for finding in before}
    return [finding for finding in errors if (finding.code, finding.message, finding.says) not in known]


@contextlib.contextmanager
def _as_pushed(directory: Path, contents: Contents) -> Iterator[Path]:
    """The directory, or one that holds what a push would send where that is not written yet."""
    if not contents.drafts:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="hubkit-audit-") as place:
        made = Path(place) / directory.resolve().name
        for name in contents.names:
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in contents.drafts:
                path.write_bytes(contents.drafts[name])
            else:
                path.symlink_to((directory / name).resolve())
        yield made
