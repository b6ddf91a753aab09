"""How fast cards are made: 1,000 adapters with records, read to written, then checked, in one process.

    python benchmarks/cards.py                 1,000 adapters of the golden cards' size
    python benchmarks/cards.py --adapters 100

The adapters are those of the tests' golden cards, each in a directory of its own. Written: each adapter's
files and record read, digests taken, the card rendered, merged and written, and the record that remembers
it. Again: the same once more, which changes nothing. Checked: what `hubkit card --check` does. Wall seconds
of one thread, the best of three rounds, each on directories that were not read before. Ends with exit code
1 when a target is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from hubkit import record
from hubkit.card import facts, regions, writing

REPOSITORY = Path(__file__).resolve().parents[1]
TARGETS = {"written": 1.5, "checked": 2.0}  # seconds for 1,000


def adapters(folder: Path, number: int) -> list[Path]:
    """Directories of the golden cards' adapters, `number` in all."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    from card_cases import CASES

    made = [make(folder / "made" / name) for name, make in CASES.items()]
    made = [directory for directory in made if (directory / record.RECORD_NAME).is_file()]
    copies = []
    for index in range(number):
        source = made[index % len(made)]
        copies.append(Path(shutil.copytree(source, folder / f"{index:05}" / source.name)))
    return copies


def write(directory: Path) -> None:
    """What `hubkit card` does once its options are read."""
    known = record.read(directory)
    made = writing.prepare(facts.gather(directory, record=known), known.written)
    made.write()
    if made.merged.written != known.written:
        record.write(directory, msgspec.structs.replace(known, written=made.merged.written))


def check(directory: Path) -> None:
    """What `hubkit card --check` does."""
    known = record.read(directory)
    assert writing.prepare(facts.gather(directory, record=known), known.written).outcome == "unchanged"


def seconds(work: Callable[[Path], None], directories: list[Path]) -> float:
    """Wall seconds of the work on all of them."""
    start = time.perf_counter()
    for directory in directories:
        work(directory)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapters", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    times: dict[str, list[float]] = {"written": [], "again": [], "checked": []}
    size = 0
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            directories = adapters(Path(folder), options.adapters)
            for name, work in (("written", write), ("again", write), ("checked", check)):
                times[name].append(seconds(work, directories))
            size = sum((directory / regions.CARD_NAME).stat().st_size for directory in directories)
    print(f"{options.adapters:,} cards of {size / options.adapters / 1_000:.1f} kB")
    missed = False
    for name, taken in times.items():
        target = TARGETS.get(name, 0) * options.adapters / 1_000
        print(f"{name:8} {min(taken):6.2f} s" + (f" (target {target:g} s)" if target else ""))
        missed = missed or (target > 0 and min(taken) > target)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
