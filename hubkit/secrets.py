"""Things that must not be published: tokens and private keys in text files, found by their shape.

A finding names the place and the kind, never the secret itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Each shape is the one that its issuer documents; the lengths keep prose and vocabularies out.
_PATTERNS: dict[str, re.Pattern[bytes]] = {
    "Hugging Face token": re.compile(rb"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b"),
    "GitHub token": re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b"),
    "AWS access key": re.compile(rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "OpenAI-style key": re.compile(rb"\bsk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{32,}"),
    "private key": re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
}


@dataclass(frozen=True, slots=True)
class Secret:
    """Where something lies that looks like a secret, and what kind."""

    path: str
    line: int
    kind: str


def scan(path: str, content: bytes) -> list[Secret]:
    """What looks like a secret in the content of a text file, in the order of its lines."""
    found = [
        Secret(path, content.count(b"\n", 0, match.start()) + 1, kind)
        for kind, pattern in _PATTERNS.items()
        for match in pattern.finditer(content)
    ]
    return sorted(found, key=lambda secret: (secret.line, secret.kind))
