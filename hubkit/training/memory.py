"""How large a batch fits memory, found by steps that grow until the next one would not.

The memory of a step is measured as the growth of the peak of this process (on a GPU: of what is allocated)
over what was taken before it, for 1, 2, ... sequences; from the last two the next is foretold, and it is run
only if it would fit. So nothing is run into the wall, which on a CPU would be the end of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hubkit.errors import TrainingError
from hubkit.measures import free_memory
from hubkit.measures.memory import Peak
from hubkit.models import limits

UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}
SHARE = 80  # % of what is free, where no limit was given
MARGIN = 1.05  # of what was measured; fragments and the collator's batches
STATES = 3  # float32 numbers for each trained one: its gradient and Adam's two means


def room(limit: str | None, trained: int, sharing: int = 1) -> int:
    """Bytes that a step may take besides what is taken now; `sharing` processes share what is free.

    `trained` parameters get a gradient and an optimizer's state. Raises TrainingError.
    """
    taken, free = _now()
    if taken is None or free is None:
        raise TrainingError(
            "this system does not tell how much memory is free", "give training.batch_size as a number"
        )
    if limit is None or limit.endswith("%"):
        most = free // sharing * (int(limit[:-1]) if limit else SHARE) // 100
    else:
        most = bytes_of(limit) - taken
    return most - 4 * STATES * trained


def bytes_of(size: str) -> int:
    """The bytes of "8GiB" (1024s) or "8GB" (1000s)."""
    number, unit = size.rstrip("KMGTiB "), size.lstrip("0123456789. ")
    return int(float(number) * (1024 if "i" in unit else 1000) ** UNITS[unit[0]])


def largest(
    sizes: list[int],
    room: int,
    step: Callable[[int], None],
    growth: Callable[[Callable[[], None]], int] | None = None,
) -> tuple[int, int]:
    """The largest of ascending batch sizes whose step fits the room, and its bytes; 0 where none does.

    With 0 the bytes are those that the first one took or the smallest was seen to need.
    """
    measured = growth or growth_of
    seen: list[tuple[int, int]] = []
    for size in sizes:
        if seen and foretold(seen, size) * MARGIN > room:
            break
        try:
            seen.append((size, measured(lambda: step(size))))  # noqa: B023  run at once
        except (RuntimeError, MemoryError) as error:
            if not limits.is_out_of_memory(error):
                raise
            seen.append((size, room + 1))
        if seen[-1][1] * MARGIN > room:
            return seen[-2] if len(seen) > 1 else (0, seen[-1][1])
    return seen[-1]


def foretold(seen: list[tuple[int, int]], size: int) -> float:
    """The bytes of a step, from those of smaller ones: along the line of the last two, or in proportion."""
    (size_before, before), (last, bytes_of_last) = (seen[-2] if len(seen) > 1 else (0, 0)), seen[-1]
    slope = max(0.0, (bytes_of_last - before) / (last - size_before))
    return bytes_of_last + slope * (size - last)


def growth_of(step: Callable[[], None]) -> int:
    """By how many bytes the peak rises while a step runs."""
    free_memory.give_back()
    before = _now()[0] or 0
    peak = Peak()
    step()
    return max(0, (peak.read()[0] or 0) - before)


def _now() -> tuple[int | None, int | None]:
    """Bytes that are taken by this process, and those that are free."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.memory_allocated()), int(torch.cuda.mem_get_info()[0])
    return free_memory.resident(), free_memory.available()


def divisors(number: int) -> list[int]:
    """Ascending."""
    return [part for part in range(1, number + 1) if number % part == 0]


def steps(model: Any, batch_of: Callable[[int], Any], loss_of: Callable[[Any], Any]) -> Callable[[int], None]:
    """A forward and a backward pass on so many sequences, that leaves no gradient behind."""
    import torch

    def step(size: int) -> None:
        with torch.random.fork_rng():
            loss_of(batch_of(size)).backward()
        model.zero_grad(set_to_none=True)

    return step
