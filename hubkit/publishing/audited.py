"""The audit of a card that is about to be pushed: a card that is found false stays here.

A draft is audited as it would be written: in a directory that holds it beside links to the other files.
"""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


def audit(directory: Path, contents: Contents) -> Audited:
    """Audit the card that would be pushed. Raises HubkitError where it cannot be read."""
    from hubkit.audit import rules, subject  # late: other commands need no rules

    shown = directory / CARD_NAME
    with _as_pushed(directory, contents) as place:
        found = rules.findings(subject.load(place / CARD_NAME, shown=str(shown)))
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
    first = errors[0]
    where = f"{shown}:{first.line}" if first.line else str(shown)
    said = first.message.rstrip(".") + (f" ({first.says})" if first.says else "")
    refusal = CardError(
        f"{where}: {first.code} {said}; the audit finds {text.plural(len(errors), 'error')}",
        f"{see} shows all; --no-audit publishes anyway",
    )
    return Audited(refusal, notes, data)


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
