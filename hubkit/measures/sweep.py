"""Throughput at other batch sizes, from the smallest on, until one does not fit.

A GPU says so itself. On a CPU the system would end the process instead: there, one run at a batch size and
one at twice that size tell how memory grows by each sequence, every size measured corrects it, and a size
that would need more than is free is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from hubkit.measures import free_memory, memory
from hubkit.models import limits
from hubkit.record import Rates

MARGIN = 1.1  # of what a batch is foretold to need

Say = Callable[[str], None]


@dataclass
class Sweep:
    """What was measured, and which batch size did not fit."""

    rates: list[Rates] = field(default_factory=list)
    out_of_memory_at: int | None = None
    foretold: bool = False  # it was not tried

    @property
    def largest(self) -> int | None:
        """The largest batch size that was measured."""
        return max((rates.batch_size for rates in self.rates), default=None)


def sweep(sizes: Sequence[int], measured: Callable[[int], Rates], growth: Growth | None, say: Say) -> Sweep:
    """Measure each batch size, in order, until one does not fit; `growth` foretells it, where given."""
    found = Sweep()
    for size in sorted(set(sizes)):
        if growth and not growth.fits(size, say):
            found.out_of_memory_at, found.foretold = size, True
            break
        say(f"measuring throughput, batch {size:,}")
        rates = limits.unless_out_of_memory(partial(measured, size))
        if rates is None:
            say(f"batch {size:,} does not fit into memory")
            found.out_of_memory_at = size
            break
        found.rates.append(rates)
        if growth and rates.peak_memory_bytes:
            growth.add(size, rates.peak_memory_bytes)
    return found


class Growth:
    """How the memory of this process grows with the batch size; from two sizes on."""

    def __init__(self, points: Sequence[tuple[int, int]]) -> None:
        self.points: list[tuple[int, int]] = []  # batch size, highest resident bytes
        for size, peak in points:
            self.add(size, peak)

    def add(self, size: int, peak: int) -> None:
        """One more batch size with the memory it took; of a size that was seen before, the higher."""
        seen = dict(self.points)
        self.points = sorted({**seen, size: max(peak, seen.get(size, 0))}.items())

    @property
    def by_sequence(self) -> float:
        """Bytes that one sequence more takes: over all sizes seen, or between the two largest if more."""
        last = self.points[-1]
        rises = [(last[1] - at[1]) / (last[0] - at[0]) for at in (self.points[0], self.points[-2])]
        return max(0.0, *rises)

    def fits(self, size: int, say: Say) -> bool:
        """Whether a batch size should fit into what is free now; true where nobody knows."""
        largest, peak = self.points[-1]
        free, now = free_memory.available(), free_memory.resident()
        if size <= largest or free is None or now is None:
            return True
        more = (peak - now + self.by_sequence * (size - largest)) * MARGIN
        if more > free:
            say(
                f"batch {size:,} was not tried: it would take about {more / 1e9:,.1f} GB more memory,"
                f" and {free / 1e9:,.1f} GB are free"
            )
        return more <= free


def growth(run: Callable[[int], object], size: int) -> Growth | None:
    """Run once at a batch size and once at twice that, and see what memory each takes.

    None where a GPU holds the model, or where the system does not tell. The second run is left out where even
    twice what the first took is not free.
    """
    points: list[tuple[int, int]] = []
    for batch in (size, 2 * size):
        free_memory.give_back()
        before, free, peak = free_memory.resident(), free_memory.available(), memory.Peak()
        if before is None or free is None or peak.on_device or peak.whole_process:
            return None
        if points and 2 * (points[0][1] - before) > free:
            points.insert(0, (0, before))
            break
        run(batch)
        points.append((batch, peak.read()[0] or before))
    return Growth(points)
