"""The cards of many adapters, in one process: made one after the other, written several at once.

    from hubkit.card import many

    for done in many.write_all(directories):
        print(done.directory, done.error or done.outcome)

Making a card is work for the processor, and Python does one such work at a time; writing it is waiting for
the disk. So some are made, then these are written by threads, then the next ones are made.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from hubkit import record
from hubkit.card import facts, figures, writing
from hubkit.card.writing import Outcome, Prepared
from hubkit.errors import HubkitError
from hubkit.record import Record

THREADS = 16
AT_ONCE = 32  # cards that are made before they are written


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one adapter's card: an outcome, or the error that stopped it."""

    directory: Path
    outcome: Outcome | None = None
    error: HubkitError | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A card that is ready to be written, and the record that it was made from."""

    known: Record
    made: Prepared


def write_all(directories: Iterable[Path], threads: int = THREADS) -> list[Done]:
    """Write the card of each, and the record that remembers it; in the order given. No figure is drawn.

    An adapter that cannot have a card stops no other's. Name each directory once.
    """
    found: list[Done] = []
    rest = iter(directories)
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(rest, AT_ONCE)):
            found += pool.map(_written, some, [*map(_ready, some)])
    return found


def check_all(directories: Iterable[Path]) -> list[Done]:
    """Tell for each what `write_all` would do, and write nothing."""
    return [_checked(directory, _ready(directory)) for directory in directories]


def _ready(directory: Path) -> _Ready | HubkitError:
    try:
        known = record.read(directory)
        found = facts.gather(directory, record=known)
        wanted: figures.How = "leave out" if known.written and known.written.no_figures else "keep"
        return _Ready(known, writing.prepare(figures.settled(found, wanted).facts, known.written))
    except HubkitError as error:
        return error


def _written(directory: Path, ready: _Ready | HubkitError) -> Done:
    if isinstance(ready, HubkitError):
        return Done(directory, error=ready)
    known, made = ready.known, ready.made
    try:
        outcome = made.write()
        if made.merged.written != known.written:
            record.write(directory, msgspec.structs.replace(known, written=made.merged.written))
    except HubkitError as error:
        return Done(directory, error=error)
    return Done(directory, outcome)


def _checked(directory: Path, ready: _Ready | HubkitError) -> Done:
    if isinstance(ready, HubkitError):
        return Done(directory, error=ready)
    try:
        ready.made.merged.checked()
    except HubkitError as error:
        return Done(directory, error=error)
    return Done(directory, ready.made.outcome)
