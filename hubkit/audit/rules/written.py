"""HK601 to HK606: the card against the weights, and against what hubkit wrote and would write now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hubkit import __version__
from hubkit.audit import rewritten
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject
from hubkit.card import regions
from hubkit.errors import CardError

_OF_WEIGHTS = re.compile(
    r"(?:weights?|adapter_model\.safetensors|adapter file)[^|]{0,40}?`?sha-?256[:=`\s|]+`?([0-9a-f]{8,64})\b",
    re.IGNORECASE,
)


@rule("HK601", "error", title="A card of other weights")
def other_weights(subject: Subject) -> Iterator[Fault]:
    """The card names the digest of the weights that it was written for, and the file beside it is another
    one: the card is older than the weights, or was copied.

    Bad:

        *Weights `sha256:0123456789ab`.*

    Good:

        *Weights `sha256:f1230db538db`.*
    """
    if subject.adapter is None or (subject.remote and subject.adapter.known_sha256 is None):
        return
    for number, line in subject.document.prose:
        for said in _OF_WEIGHTS.findall(line):
            digest = subject.adapter.weights_sha256()
            if not digest.startswith(said.lower()):
                yield found(
                    number,
                    "The card was written for other weights than the file beside it.",
                    says=f"sha256:{said}",
                    instead=f"sha256:{digest[: max(len(said), 12)]}",
                    mend=subject.command(),
                )


@rule("HK602", "error", title="A card that the record has overtaken")
def outdated(subject: Subject) -> Iterator[Fault]:
    """hubkit wrote this region, nobody edited it, and from the record and the files of now it would write
    something else.

    Bad:

        <!-- hubkit:begin throughput -->

        Generating: 99 tokens/s

        <!-- hubkit:end throughput sha256=fbeffa5db44038f1 -->

        <!-- hubkit:begin footer -->

        *Made by hubkit 0.1.0 from `hubkit.json`.*

        <!-- hubkit:end footer -->

    Good:

        Generating: 99 tokens/s, by hand and outside of hubkit's regions
    """
    for one in rewritten.differences(subject):
        if one.how == "outdated":
            yield found(
                one.line,
                "The record and the adapter's files say something else now"
                f"{f' (region {one.region!r})' if one.region else ''}.",
                says=one.says.strip() or "nothing",
                instead=(one.instead or "").strip() or "nothing",
                mend=subject.command(),
            )


@rule("HK603", "error", title="An edit inside what hubkit wrote")
def edited(subject: Subject) -> Iterator[Fault]:
    """A region of hubkit's holds what was measured or read. Its digest tells that somebody edited it, and
    so it may say what nothing measured. Words of your own belong outside of the regions.

    Bad:

        <!-- hubkit:begin size -->

        Adapter file: 3 kB

        <!-- hubkit:end size sha256=0123456789abcdef -->

    Good:

        Adapter file: 75 kB
    """
    for one in rewritten.differences(subject):
        if one.how == "edited":
            yield found(
                one.line,
                f"Somebody edited what hubkit wrote (region {one.region!r}).",
                says=one.says.strip() or "nothing",
                instead=None if one.instead is None else one.instead.strip() or "nothing",
                mend=f"{subject.command()} --diff shows it; --force takes hubkit's text, --keep yours",
            )


@rule("HK604", "error", title="Broken markers")
def markers(subject: Subject) -> Iterator[Fault]:
    """Each region of hubkit's begins and ends with a marker. With one of them gone, nobody can tell what is
    whose.

    Bad:

        <!-- hubkit:begin size -->

        Adapter file: 75 kB

    Good:

        Adapter file: 75 kB
    """
    parts = regions.split(subject.document.text)
    above = subject.document.text.count("\n", 0, len(subject.document.text) - len(parts.body))
    try:
        regions.pieces(parts.body, above + 1)
    except CardError as error:
        line = re.search(r"in line (\d+)", error.message)
        yield found(int(line[1]) if line else None, f"{error.message}.", mend=error.hint)


@rule("HK605", "error", title="Metadata unlike the record's")
def metadata(subject: Subject) -> Iterator[Fault]:
    """On a card of hubkit's the metadata says what record and adapter say. A value of your own belongs into
    the record (`hubkit card --license ...`), so that the card's text agrees with it.

    Bad:

        ---
        license: mit
        ---

        <!-- hubkit:begin footer -->

        *Made by hubkit 0.1.0 from `hubkit.json`.*

        <!-- hubkit:end footer -->

    Good:

        ---
        license: apache-2.0
        ---

        <!-- hubkit:begin footer -->

        *Made by hubkit 0.1.0 from `hubkit.json`.*

        <!-- hubkit:end footer -->
    """
    if not rewritten.is_hubkits(subject) or subject.document.front.data is None:
        return
    now = rewritten.card_now(subject)
    if now is None:
        return
    present, front = subject.document.metadata, subject.document.front
    written = rewritten.written_last(subject)
    for key, value in rewritten.metadata_now(now).items():
        if key not in present or present[key] in (value, [value]):
            continue
        if written and key not in written.metadata:  # it was the author's before hubkit came
            continue
        if key == "model-index":
            places = list(_unlike(value, present[key], (key,)))
        elif isinstance(value, list):
            places = list(_replaced(value, present[key], key))
        else:
            places = [((key,), present[key], value)]
        for path, says, instead in places:
            yield found(
                front.line_of(*path),
                f'"{path[0]}" is not what the record and the adapter say.',
                says=says,
                instead=instead,
                mend=subject.command(),
            )


Place = tuple[tuple[str | int, ...], Any, Any]


def _replaced(wanted: list[Any], present: Any, key: str) -> Iterator[Place]:
    """Items that stand where hubkit wrote others. One that the author added, or took out, is theirs."""
    items = present if isinstance(present, list) else [present]
    if len(items) == len(wanted):
        for index, (says, instead) in enumerate(zip(items, wanted, strict=True)):
            if says not in wanted and instead not in items:
                yield (key, index), says, instead


def _unlike(wanted: Any, present: Any, path: tuple[str | int, ...]) -> Iterator[Place]:
    """The places below a value that differ; what the author added is theirs."""
    if isinstance(wanted, dict) and isinstance(present, dict):
        for key, value in wanted.items():
            if key in present:
                yield from _unlike(value, present[key], (*path, key))
    elif isinstance(wanted, list) and isinstance(present, list):
        rest = list(enumerate(present))
        for value in wanted:
            if any(one == value for _, one in rest):
                continue
            if rest:
                index, nearest = max(rest, key=lambda found: _alike(value, found[1]))
                rest.remove((index, nearest))
                yield from _unlike(value, nearest, (*path, index))
    elif wanted != present:
        yield path, present, wanted


def _alike(one: Any, other: Any) -> int:
    """How many leaves two values share."""
    if isinstance(one, dict) and isinstance(other, dict):
        return sum(_alike(value, other.get(key)) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return sum(_alike(a, b) for a, b in zip(one, other, strict=False))
    return int(one == other)


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
