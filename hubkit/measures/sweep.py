"""Throughput at other batch sizes, from the smallest on, until one does not fit.

A GPU says so itself. On a CPU the system would end the process instead: there, single runs at growing sizes
tell how memory grows by each sequence, every size measured corrects it, and a size that would need more than
is free is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from hubkit.measures import free_memory, memory
from hubkit.models import limits
from hubkit.record import Rates

MARGIN = 1.1  # of what a batch is foretold to need
STEP = 4  # nothing is foretold for more than so many times a batch that ran

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
    """How the memory of this process grows with the batch size.

    From single runs at sizes four times as large each time: a few sequences tell little of many, as they
    differ by what any run takes, and by what was freed and kept.
    """

    def __init__(self, run: Callable[[int], object], resting: int) -> None:
        self.run = run  # once, at a batch size
        self.points: dict[int, int] = {0: resting}  # batch size: highest resident bytes

    def add(self, size: int, peak: int) -> None:
        """One more batch size with the memory it took; of a size that was seen before, the higher."""
        self.points[size] = max(peak, self.points.get(size, 0))

    def once(self, size: int) -> bool:
        """Run once at a batch size and see what it takes."""
        free_memory.give_back()
        peak = memory.Peak()
        self.run(size)
        self.add(size, peak.read()[0] or 0)
        return True

    @property
    def by_sequence(self) -> float:
        """Bytes that one sequence more takes: over all sizes seen, or between the two largest if more."""
        *_, before, last = sorted(self.points.items())
        return max(0.0, *((last[1] - at[1]) / (last[0] - at[0]) for at in (before, (0, self.points[0]))))

    def fits(self, size: int, say: Say) -> bool:
        """Whether a batch size should fit into what is free now; true where nobody knows."""
        while size > STEP * max(self.points):
            step = STEP * max(self.points)
            if self._lacks(step):
                return self._told(size, say)
            if limits.unless_out_of_memory(partial(self.once, step)) is None:
                say(f"batch {size:,} was not tried: memory ran out at batch {step:,}")
                return False
        return self._told(size, say)

    def _lacks(self, size: int) -> tuple[float, int] | None:
        """The bytes that a batch size needs besides those held, and those that are free, where too few."""
        largest = max(self.points)
        free, now = free_memory.available(), free_memory.resident()
        if size <= largest or free is None or now is None:
            return None
        more = (self.points[largest] - now + self.by_sequence * (size - largest)) * MARGIN
        return (more, free) if more > free else None

    def _told(self, size: int, say: Say) -> bool:
        """Whether it fits; says what is lacking."""
        if lacking := self._lacks(size):
            more, free = (f"{bytes_ / 1e9:,.1f} GB" for bytes_ in lacking)
            say(f"batch {size:,} was not tried: it would take about {more} more memory, and {free} are free")
        return lacking is None


def growth(run: Callable[[int], object], size: int) -> Growth | None:
    """What foretells the memory of larger batches, from a first run at this size.

    None where a GPU holds the model, or where the system does not tell.
    """
    free_memory.give_back()
    resting, peak = free_memory.resident(), memory.Peak()
    if resting is None or free_memory.available() is None or peak.on_device or peak.whole_process:
        return None
    found = Growth(run, resting)
    found.once(size)
    return found
