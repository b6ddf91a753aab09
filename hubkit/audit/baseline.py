"""The baseline: findings that are known and borne with, so that an old repo can be audited for new ones.

A finding is known by its rule, its card and the text of its line, not by the number of the line: so it stays
known when the card changes elsewhere. Of the text only a digest is kept: it may hold what must not spread.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from hubkit import files
from hubkit.audit.findings import Finding
from hubkit.audit.parts import Document
from hubkit.audit.report import Key, Report
from hubkit.errors import HubkitError

VERSION = 1


def key(finding: Finding, document: Document, root: Path) -> Key:
    """What a finding is known by; `root` is the directory of the baseline file."""
    text = " ".join(document.line(finding.line).split())
    path = finding.path
    if os.path.isabs(path) or Path(path).exists():
        path = Path(os.path.relpath(path, root)).as_posix()
    return finding.code, path, hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def read(path: Path) -> Counter[Key]:
    """The known findings of a file, with how often each was there. Raises HubkitError."""
    hint = f"write it anew: hubkit audit ... --write-baseline {path}"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(plain, dict):
            raise ValueError("it holds no findings")
        if plain["version"] != VERSION:
            raise ValueError(f"version {plain['version']!r}")
        known: Counter[Key] = Counter()
        for entry in plain["findings"]:
            known[(str(entry["code"]), str(entry["path"]), str(entry["line_sha256"]))] += int(
                entry.get("count", 1)
            )
    except OSError as error:
        raise HubkitError(f"cannot read {path}: {error.strerror or error}", hint) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HubkitError(f"{path} is no baseline of an audit: {error}", hint) from error
    return known


def write(path: Path, keys: list[Key]) -> None:
    """Write the findings at hand as known ones."""
    entries = [
        {"code": code, "path": card, "line_sha256": digest} | ({"count": count} if count > 1 else {})
        for (code, card, digest), count in sorted(Counter(keys).items())
    ]
    text = json.dumps({"version": VERSION, "findings": entries}, indent=2) + "\n"
    files.write_atomically(path, text.encode())


def split(report: Report, known: Counter[Key]) -> tuple[Report, Counter[Key]]:
    """The report without what is known, and the known findings that are left to be matched."""
    left = known.copy()
    new: list[tuple[Finding, Key]] = []
    for finding, found in zip(report.findings, report.keys, strict=True):
        if left[found] > 0:
            left[found] -= 1
        else:
            new.append((finding, found))
    rest = replace(
        report,
        findings=tuple(finding for finding, _ in new),
        keys=tuple(found for _, found in new),
        known=len(report.findings) - len(new),
    )
    return rest, left
