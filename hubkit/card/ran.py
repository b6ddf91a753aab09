"""What the card's own Python printed when it was run, shown while code, adapter and base are the same."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubkit.card import text
from hubkit.card.facts import Facts
from hubkit.card.usage import usage, usage_run
from hubkit.record import BaseModel, UsageRun

_DEVICES = {"cpu": "a CPU", "cuda": "a CUDA GPU", "mps": "an Apple GPU"}
_MARKER = re.compile(r"<!--(?=\s*hubkit:)", re.IGNORECASE)
_MARKS = re.compile(r"`+")


@dataclass(frozen=True)
class Ran:
    """A run as the card shows it."""

    output: str | None  # what was printed, as a code block of Markdown
    conditions: str  # a sentence


def ran(facts: Facts) -> Ran | None:
    """The run of the code that the card shows, where there is one that still holds."""
    run = usage_run(facts)
    code = usage(facts) if run else None
    if run is None or code is None:
        return None
    told = _conditions(run, facts, (*code.packages, "torch"))
    return Ran(fenced(run.output) if run.output else None, told)


def is_stale(facts: Facts) -> bool:
    """Whether the record holds a run of other code, or on another adapter or base."""
    return facts.record.usage is not None and usage_run(facts) is None


def _conditions(run: UsageRun, facts: Facts, libraries: tuple[str, ...]) -> str:
    """When, with what and where the code ran."""
    found, base = run.environment, facts.record.base_model
    versions = [f"{name} {found.libraries[name]}" for name in libraries if name in found.libraries]
    versions.append(f"Python {found.python}")
    told = (
        f"This code was run on {text.phrase(run.date)} with {text.listed([text.phrase(v) for v in versions])}"
    )
    if where := found.accelerator or _DEVICES.get(found.device or ""):
        told += f", on {text.phrase(where)}"
    return f"{told}{_base_weights(run, base)}."


def _base_weights(run: UsageRun, base: BaseModel | None) -> str:
    """Which weights of the base it ran on, where they are not those of the Hub's repo."""
    if run.base_weights_sha256 is None:
        return ""
    if base and base.weights_sha256 == run.base_weights_sha256:
        return ", with the base weights that training and measuring used" if base.note else ""
    return ", with a local copy of the base, which was not compared with the weights that its id names"


def fenced(output: str) -> str:
    """Text as a code block that nothing in it can end, and in which nothing is a marker of hubkit's."""
    longest = max((len(marks) for marks in _MARKS.findall(output)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}text\n{_MARKER.sub('<! --', output)}\n{marks}"
