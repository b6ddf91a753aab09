"""Windows shared by several processes, and what each has scored summed up again.

The split is the same in every process, and no window is in two shares. Masked windows are drawn before it,
so the hidden tokens do not depend on the number of processes; sums by document are added in float64.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from hubkit import processes
from hubkit.errors import MeasureError
from hubkit.measures.scoring import Score
from hubkit.measures.windows import IGNORE, Window

ATTENTION_BEGINS = 4096  # tokens: about where attention costs as much as the weights do, for small models


def cost(length: int) -> int:
    """What a window of so many tokens costs, in no unit: attention grows with the square of the length."""
    return length * (ATTENTION_BEGINS + length)


def split(lengths: Sequence[int], count: int) -> list[list[int]]:
    """The numbers of the windows that each of `count` processes scores, in order; disjoint, and all of them.

    The costliest first, each to the process with the least to do so far (longest processing time first,
    Graham 1969): no share costs more than the mean and the costliest window together.
    """
    loads = [(0, process) for process in range(count)]
    shares: list[list[int]] = [[] for _ in range(count)]
    for number in sorted(range(len(lengths)), key=lambda one: (-lengths[one], one)):
        load, process = heapq.heappop(loads)
        shares[process].append(number)
        heapq.heappush(loads, (load + cost(lengths[number]), process))
    return [sorted(share) for share in shares]


def mine(windows: Sequence[Window]) -> Sequence[Window]:
    """The windows that this process scores: all of them, where it is the only one."""
    if processes.count() == 1:
        return windows
    shares = split([len(window.inputs) for window in windows], processes.count())
    return [windows[number] for number in shares[processes.index()]]


def score(windows: Sequence[Window], documents: int, score_all: Callable[[Sequence[Window]], Score]) -> Score:
    """Score this process's share of the windows by `score_all`; every process gets the sums over all.

    Raises MeasureError without a token to score in any share.
    """
    share = mine(windows)
    if processes.count() == 1:
        return score_all(share)
    own = score_all(share) if any_target(share) else None
    return total(own, documents)


def any_target(windows: Sequence[Window]) -> bool:
    """Whether there is a token to score."""
    return any(bool((window.targets != IGNORE).any()) for window in windows)


def total(own: Score | None, documents: int) -> Score:
    """The sums of all processes; `own` is None where this one had nothing to score."""
    import numpy

    nll, tokens = numpy.zeros(documents), numpy.zeros(documents, dtype=numpy.int64)
    if own is not None:
        nll, tokens = own.nll_by_document, own.tokens_by_document
    processes.agree()
    nll, tokens = summed(nll), summed(tokens)
    if not int(tokens.sum()):
        raise MeasureError("there is no token to score", "give more evaluation text")
    ways = {way for way in processes.gather((own.kernels, own.merged) if own else None) if way}
    kernels = sorted(
        {kernels or "torch's own" for kernels, _ in ways}
    )  # each process has timed them by itself
    return Score(
        nll,
        tokens,
        kernels=None if kernels == ["torch's own"] else "; ".join(kernels),
        merged=any(merged for _, merged in ways),
    )


def summed(own: Any) -> Any:
    """The sum of an array over all processes, in its own dtype."""
    import torch
    from accelerate.utils import reduce

    device = processes.join().device
    return reduce(torch.from_numpy(own).to(device), reduction="sum").cpu().numpy()
