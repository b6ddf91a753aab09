"""One command line run by several processes: `torchrun` starts them on CPUs, `accelerate launch` on GPUs.

    processes.agree()      # wait until all have come this far; what one fails with, all end with
    processes.leave()      # from here on the main process goes on alone

All that they tell each other goes through accelerate. The main process alone speaks and writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from hubkit.errors import HubkitError, MeasureError
from hubkit.extras import require_train

PATIENCE = timedelta(hours=12)  # for a process that works; one that died is noticed at once
FIRST_WORDS = 2.0  # seconds that the main process has to say what all fail with
LAST_WORDS = 10.0  # seconds that the main process has for its line, before the launcher ends all

Trouble = tuple[str, str | None, int]  # message, hint, exit code


class SaidElsewhere(Exception):
    """This process has done its share; the main one says the rest."""


class _State:
    """What is known of the others."""

    group: Any = None  # accelerate's PartialState, once this process has joined
    alone: bool = False  # the others have left, or are about to end
    apart: bool = False  # at work in a way that leaves nobody to listen
    threads: int | None = None  # given to torch as this process's share


def count() -> int:
    """How many processes the launcher started for this command; 1 where there was none."""
    if not os.environ.get("LOCAL_RANK", "").isdigit():  # a container may set the others on its own
        return 1
    size = os.environ.get("WORLD_SIZE", "")
    return max(1, int(size)) if size.isdigit() else 1


def index() -> int:
    """The number of this process, from 0."""
    rank = os.environ.get("RANK", "")
    return int(rank) if count() > 1 and rank.isdigit() else 0


def is_main() -> bool:
    """Whether this process is the one that speaks and writes."""
    return index() == 0


def join() -> Any:
    """accelerate's state of this process, made at the first call: gloo on CPUs, NCCL on GPUs."""
    if _State.group is None:
        require_train()
        import torch
        from accelerate import PartialState

        _State.group = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
        if os.environ.get("OMP_NUM_THREADS", "1") == "1":  # torchrun's way to say that nobody said
            local = os.environ.get("LOCAL_WORLD_SIZE", "")
            _State.threads = max(1, _cores() // (int(local) if local.isdigit() else count()))
            torch.set_num_threads(_State.threads)
    return _State.group


def agree() -> None:
    """Wait until all processes have come this far. Raises what another one failed with."""
    if count() == 1 or _State.alone:
        return
    for number, trouble in enumerate(_exchange(None)):
        if trouble:
            _State.alone = True
            message, hint, code = trouble
            error = HubkitError(f"process {number} of {count()}: {message}", hint)
            error.exit_code = code
            raise error


def gather(told: Any) -> list[Any]:
    """What every process tells, by its number; called by all of them, after `agree`."""
    from accelerate.utils import gather_object

    join()
    return list(gather_object([told]))


def main_tells(tell: Callable[[], Any]) -> Any:
    """What the main process finds, in every process; the others do not look for themselves.

    Called by all of them. What the main process raises is raised in all.
    """
    if count() == 1:
        return tell()
    found = tell() if is_main() else None
    agree()
    return gather(found)[0]


def highest(number: int) -> int:
    """The highest of the numbers that the processes have; called by all of them."""
    if count() == 1 or _State.alone:
        return number
    import torch
    from torch import distributed

    found = torch.tensor(number, device=join().device)
    distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
    return int(found)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """While the processes talk by other ways, as gradients do: one that fails ends without asking."""
    _State.apart = True
    yield  # an error leaves it so: what it ends with is said by itself
    _State.apart = False


def named(message: str) -> str:
    """A message with the number of the process that it is from, where that is not the main one."""
    return message if not _State.apart or is_main() else f"process {index()} of {count()}: {message}"


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error of torch's says that another process has gone, and nothing of its own."""
    said = str(error)
    lost = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
    return count() > 1 and isinstance(error, RuntimeError) and any(words in said for words in lost)


def wait_for_the_end() -> None:
    """Give the process that knows more the time to say it; then the launcher ends this one."""
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(LAST_WORDS)


def fail(message: str, hint: str | None, code: int) -> bool:
    """Tell the others what this process ends with; gives whether it is the one to say it."""
    if count() == 1:
        return True
    if _State.apart:  # the others may wait for its gradients; they end when the launcher sees this one end
        if not is_main():
            time.sleep(FIRST_WORDS)  # where all fail alike, the main one says it
        return True
    try:
        if not _State.alone:
            _exchange((message, hint, code))
            _State.alone = True
    except HubkitError:  # they are gone
        pass
    if is_main():
        return True
    wait_for_the_end()
    return False


def report(line: str) -> None:
    """Hand a process's last line to torch's launcher, which shows it as the reason below its own words."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        with contextlib.suppress(OSError):
            told = {"message": line, "extraInfo": {"py_callstack": line, "timestamp": str(int(time.time()))}}
            Path(path).write_text(json.dumps({"message": told}), encoding="utf-8")  # as torch's own handler


def leave() -> None:
    """End every process but the main one, when all have come this far.

    Raises SaidElsewhere in the others, and in the main one what another failed with.
    """
    if count() == 1 or _State.alone:
        return
    agree()
    _State.alone = True
    join().destroy_process_group()
    if not is_main():
        raise SaidElsewhere
    import torch

    if torch.get_num_threads() == _State.threads:
        torch.set_num_threads(_cores())


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Let the first process of each machine do this before the others: it fills the cache for them."""
    first = count() == 1 or os.environ.get("LOCAL_RANK") == "0"
    if not first:
        agree()
    yield
    if first:
        agree()


def _exchange(trouble: Trouble | None) -> list[Trouble | None]:
    """What every process has to tell, by its number. Raises HubkitError where one has died."""
    try:
        return gather(trouble)
    except RuntimeError as error:
        _State.alone = True
        raise MeasureError(
            "another of the processes has ended without a word",
            "start fewer processes if memory ran out: each holds the whole model",
        ) from error


def _cores() -> int:
    """Cores that this machine lets the processes use."""
    import psutil  # accelerate brings it

    physical = psutil.cpu_count(logical=False) or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return min(physical, allowed)
