"""How fast cards are made: 1,000 adapters with records, read to written, then checked, in one process.

    python benchmarks/cards.py                 1,000 adapters of the golden cards' size
    python benchmarks/cards.py --adapters 100

The adapters are those of the tests' golden cards, each in a directory of its own. Written: each adapter's
files and record read, digests taken, the card rendered, merged and written, and the record that remembers
it. Again: the same once more, which changes nothing. Checked: what `hubkit card --check` does. Wall and CPU
seconds, the best of three rounds, each on directories that were not read before; TMPDIR says on which disk.
Ends with exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hubkit import record
from hubkit.card import many, regions

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


def written(directories: list[Path]) -> None:
    """What `hubkit card` does once its options are read, for each."""
    expect("written", many.write_all(directories))


def again(directories: list[Path]) -> None:
    """The same where nothing changed."""
    expect("unchanged", many.write_all(directories))


def checked(directories: list[Path]) -> None:
    """What `hubkit card --check` does, for each."""
    expect("unchanged", many.check_all(directories))


def expect(outcome: str, found: list[many.Done]) -> None:
    """Stop where one of them has another outcome."""
    for done in found:
        if done.outcome != outcome:
            raise SystemExit(f"{done.directory}: {done.error or done.outcome}, and not {outcome}")


def seconds(work: Callable[[list[Path]], None], directories: list[Path]) -> tuple[float, float]:
    """Wall seconds of the work on all of them, and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(directories)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapters", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {"written": [], "again": [], "checked": []}
    size = 0
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            directories = adapters(Path(folder), options.adapters)
            for work in (written, again, checked):
                times[work.__name__].append(seconds(work, directories))
            size = sum((directory / regions.CARD_NAME).stat().st_size for directory in directories)
    print(f"{options.adapters:,} cards of {size / options.adapters / 1_000:.1f} kB")
    missed = False
    for name, taken in times.items():
        target = TARGETS.get(name, 0) * options.adapters / 1_000
        wall, cpu = min(taken)
        print(f"{name:8} {wall:6.2f} s, CPU {cpu:.2f} s" + (f" (target {target:g} s)" if target else ""))
        missed = missed or (target > 0 and wall > target)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
