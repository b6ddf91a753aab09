"""Where a card states the versions of libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.audit import statements
from hubkit.audit.subject import Subject

# The name of the distribution, and how cards write it.
LIBRARIES = {
    "transformers": "transformers", "peft": "peft", "torch": "pytorch|torch", "datasets": "datasets",
    "tokenizers": "tokenizers",
    "trl": "trl", "accelerate": "accelerate", "bitsandbytes": "bitsandbytes", "python": "python",
    "unsloth": "unsloth",
    "safetensors": "safetensors", "sentence-transformers": "sentence[- ]transformers", "cuda": "cuda",
}  # fmt: skip


def stated(subject: Subject, library: str) -> Iterator[tuple[int, str]]:
    """`PEFT: 0.18.0`, `- PEFT 0.18.0`, `| peft | 0.18.0 |`: line and value."""
    document, name = subject.document, LIBRARIES[library]
    label = re.compile(rf"(?:.* )?(?:{name})(?: ?(?:version|版本|버전))|(?:{name})", re.IGNORECASE)
    words = re.compile(
        rf"\s*(?:[-*+]\s+)?(?:\*\*|`)?(?:{name})(?:\s+version)?(?:\*\*|`)?\s*:?\s+(?:\*\*)?\s*`?((?:[<>=~≥^]=?\s*)?v?\d[\w.+@*-]*\+?|latest)`?\s*",
        re.IGNORECASE,
    )
    seen: set[int] = set()
    for claim in document.claims:
        if claim.kind != "column" and label.fullmatch(claim.label) and statements.is_ours(document, claim):
            seen.add(claim.line)
            yield claim.line, claim.value
    for line, text in document.prose:
        bare = words.fullmatch(text) if line not in seen else None
        if bare and not statements.about_others(document, line):
            yield line, bare[1]
