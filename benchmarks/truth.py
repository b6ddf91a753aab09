"""A trial of truth: tell one lie at a time on true cards, and count how many an audit finds.

    python benchmarks/truth.py                    50 cards that hubkit made, every lie: about half an hour
    python benchmarks/truth.py --every 10         one lie in ten
    python benchmarks/truth.py --cards DIR        the adapters below a folder, each with its README.md

The adapters are of every PEFT kind, made by stock PEFT on tiny models, with the numbers that hubkit measured.
On the true cards nothing may be found. A lie is one number, name, id, version, licence, tag or metric changed
(`mutations.py`, which knows nothing of the rules), and it is told in three ways:

- sealed: with the digests of hubkit's markers made right again, as one would who wants not to be found out;
- unmarked: without the markers, beside adapter and record;
- bare: without the markers and without the record, beside the adapter alone, as a card typed by hand.

A lie is caught when the audit finds an error or a warning that it does not find without the lie. Every one
that is not caught is listed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mutations import Lie, lies

from hubkit.audit import rules, subject
from hubkit.card import regions
from hubkit.errors import HubkitError
from hubkit.record import RECORD_NAME

_DIGEST = re.compile(r"(<!-- hubkit:end [a-z0-9-]+) sha256=[0-9a-f]{16}")
_CARD = re.compile(r"^<!-- hubkit:card .*-->\n?", re.MULTILINE)
_COMMENT = re.compile(r"^<!-- hubkit:.*-->\n", re.MULTILINE)


@dataclass(frozen=True)
class Told:
    """A lie, where it was told, and what was found."""

    way: str
    card: str
    lie: Lie
    line: int
    context: str
    codes: tuple[str, ...]


def sealed(card: str) -> str:
    """The card with every digest of its markers made right again."""
    return regions.seal(_CARD.sub("", _DIGEST.sub(r"\1", card)))


def unmarked(card: str) -> str:
    """The card without hubkit's markers."""
    return _COMMENT.sub("", card)


WAYS: dict[str, Callable[[str], str]] = {"sealed": sealed, "unmarked": unmarked, "bare": unmarked}


def found(directory: Path) -> Counter[str]:
    """The errors and warnings that the audit finds in a directory's card, as code and message."""
    try:
        told = subject.load(directory / regions.CARD_NAME)
    except HubkitError as error:
        return Counter([error.message])
    return Counter(f"{finding.code} {finding.message}" for finding in rules.findings(told) if finding.fails)


def trial(directory: Path, way: str, every: int) -> Iterator[Told]:
    """Tell the lies about one card, in a copy of its directory."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / directory.name
        shutil.copytree(directory, copy)
        if way == "bare":
            (copy / RECORD_NAME).unlink(missing_ok=True)
        path = copy / regions.CARD_NAME
        true = path.read_text(encoding="utf-8")
        path.write_text(WAYS[way](true), encoding="utf-8")
        before = found(copy)
        for number, lie in enumerate(lies(true)):
            if number % every:
                continue
            path.write_text(WAYS[way](lie.told(true)), encoding="utf-8")
            line = lie.line(true)
            yield Told(
                way,
                directory.name,
                lie,
                line,
                true.splitlines()[line - 1].strip(),
                tuple(found(copy) - before),
            )


def false_alarms(directories: list[Path]) -> list[str]:
    """What the audit finds on the cards as they are."""
    return [f"{directory.name}: {what}" for directory in directories for what in found(directory)]


def table(told: list[Told]) -> list[str]:
    """Caught of told, by kind of lie and by place, for each way."""
    lines = ["| lie | " + " | ".join(WAYS) + " |", "| --- |" + " ---: |" * len(WAYS)]
    for name, key in (
        ("kind", lambda t: t.lie.kind),
        ("place", lambda t: t.lie.place),
        ("all", lambda t: "all"),
    ):
        all_of, caught = Counter(), Counter()
        for one in told:
            all_of[one.way, key(one)] += 1
            caught[one.way, key(one)] += bool(one.codes)
        for value in sorted({value for _, value in all_of}):
            cells = (f"{caught[way, value]:,} of {all_of[way, value]:,}" for way in WAYS)
            label = (
                value
                if name != "place"
                else f"in a {value}"
                if value in ("table", "snippet")
                else f"in the {value}"
            )
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", type=Path, help="folder of adapter directories that have a card")
    parser.add_argument("--every", type=int, default=1, help="tell one lie in so many")
    parser.add_argument("--way", choices=WAYS, action="append", help="tell lies in this way only")
    parser.add_argument("--misses", type=Path, help="write the lies that were not caught here, as JSON lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.cards is None:
            from true_cards import make

            make(Path(folder))
        directories = sorted(
            path.parent for path in (options.cards or Path(folder)).glob(f"*/{regions.CARD_NAME}")
        )
        alarms = false_alarms(directories)
        print(f"{len(directories)} true cards: {len(alarms)} false alarms", *alarms, sep="\n", flush=True)
        told = [
            one for d in directories for way in options.way or WAYS for one in trial(d, way, options.every)
        ]
    print(*table(told), sep="\n")
    misses = [one for one in told if not one.codes]
    lines = [
        json.dumps({"way": m.way, "card": m.card, "line": m.line, "kind": m.lie.kind, "place": m.lie.place,
                    "old": m.lie.old, "new": m.lie.new, "context": m.context}, ensure_ascii=False)
        for m in misses
    ]  # fmt: skip
    print(f"{len(misses)} not caught", flush=True)
    if options.misses:
        options.misses.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        print(*lines, sep="\n")
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
