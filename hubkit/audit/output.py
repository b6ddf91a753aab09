"""The findings for a person, for programs (JSON, SARIF 2.1.0) and for GitHub (annotations of a workflow)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from hubkit import __version__
from hubkit.audit import rules
from hubkit.audit.findings import SEVERITIES, Finding
from hubkit.audit.report import Key, Report

Style = Callable[[str, str], str]  # text and color -> text
COLORS = {"error": "red", "warning": "yellow", "note": "blue"}
_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}  # GitHub's names
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def _plain(text: str, color: str) -> str:
    return text


def counted(reports: list[Report]) -> str:
    """`2 errors, 1 warning in 3 cards`, as a person says it."""
    found = [finding for report in reports for finding in report.findings]
    parts = []
    for severity in SEVERITIES:
        count = sum(finding.severity == severity for finding in found)
        if count:
            parts.append(f"{count} {severity}{'s' if count > 1 else ''}")
    cards = f"{len(reports)} card{'s' if len(reports) != 1 else ''}"
    return f"{', '.join(parts) or 'Nothing found'} in {cards}"


def text(reports: list[Report], style: Style = _plain) -> str:
    """The findings for a person: place, rule and sentence, and below it what card and artifact say."""
    lines: list[str] = []
    for report in reports:
        for finding in report.findings:
            place = f"{finding.path}:{finding.line}" if finding.line else finding.path
            severity = style(finding.severity, COLORS[finding.severity])
            lines.append(f"{_one_line(place)}: {severity} {finding.code} {_one_line(finding.message)}")
            for label, said in (
                ("card says", finding.says),
                ("instead", finding.instead),
                ("to mend", finding.mend),
            ):
                if said:
                    lines.append(f"    {label + ':':<11}{_one_line(said)}")
    return "".join(f"{line}\n" for line in lines)


def _one_line(said: str) -> str:
    """Text from a card, without what would break the line or move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in said)


def as_json(reports: list[Report]) -> str:
    """The findings as JSON."""
    found = [finding for report in reports for finding in report.findings]
    plain = {
        "hubkit_version": __version__,
        "cards": [
            {
                "path": report.path,
                "findings": [msgspec.to_builtins(finding) for finding in report.findings],
                "known": report.known,
                "not_checked": list(report.not_checked),
            }
            for report in reports
        ],
        **{f"{severity}s": sum(f.severity == severity for f in found) for severity in SEVERITIES},
    }
    return json.dumps(plain, indent=2) + "\n"


def sarif(reports: list[Report]) -> str:
    """The findings as a SARIF 2.1.0 log, which GitHub's code scanning and editors read."""
    table = list(rules.table().values())
    place_of = {rule.code: index for index, rule in enumerate(table)}
    results = [
        _result(finding, place_of[finding.code], key)
        for report in reports
        for finding, key in zip(report.findings, report.keys, strict=True)
    ]
    driver = {
        "name": "hubkit",
        "semanticVersion": __version__,
        "rules": [
            {
                "id": rule.code,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.explanation or rule.title},
                "help": {"text": rule.explanation or rule.title, "markdown": rule.page},
                "defaultConfiguration": {"level": rule.severity},
            }
            for rule in table
        ],
    }
    log = {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=2) + "\n"


def _result(finding: Finding, index: int, key: Key) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(finding.path)}}
    location["region"] = {"startLine": finding.line or 1}
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": _sentence(finding)},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"hubkitLine/v1": ":".join(key)},
    }


def _uri(path: str) -> str:
    return Path(path).as_uri() if os.path.isabs(path) else quote(path.replace(os.sep, "/"))


def _sentence(finding: Finding) -> str:
    """A finding as one paragraph."""
    parts = [finding.message]
    parts += [f"The card says: {finding.says}."] if finding.says else []
    parts += [f"Instead: {finding.instead}."] if finding.instead else []
    parts += [f"To mend it: {finding.mend}"] if finding.mend else []
    return " ".join(parts)


def github(reports: list[Report]) -> str:
    """The findings as workflow commands: GitHub shows them at the lines of a pull request."""
    lines = []
    for report in reports:
        for finding in report.findings:
            place = {"file": finding.path, "line": str(finding.line or 1), "title": finding.code}
            said = ",".join(f"{name}={_property(value)}" for name, value in place.items())
            lines.append(f"::{_LEVELS[finding.severity]} {said}::{_data(_sentence(finding))}\n")
    return "".join(lines)


def _data(said: str) -> str:
    return said.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(said: str) -> str:
    return _data(said).replace(":", "%3A").replace(",", "%2C")
