"""Memory that this process may still take before the system ends it: of the machine, of its control group.

Linux only. Swap is not counted: a model that swaps is not measured but endured.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
# of a control group: limit, what is taken, and the line of memory.stat that can be given back at once
GROUPS = {
    "v2": ("memory.max", "memory.current", "inactive_file"),
    "v1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available(root: Path = ROOT) -> int | None:
    """Bytes that can still be taken; None where the system does not tell."""
    try:
        free = _lines(root / "proc/meminfo")["MemAvailable:"] * 1024
    except (OSError, KeyError, ValueError):
        return None
    return min([free, *_rooms(root)])


def resident(root: Path = ROOT) -> int | None:
    """Bytes of this process that lie in memory; None where the system does not tell."""
    try:
        return _lines(root / "proc/self/status")["VmRSS:"] * 1024
    except (OSError, KeyError, ValueError):
        return None


def give_back() -> None:
    """Hand what was freed back to the system (glibc), so that the next peak is of what is done next."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _rooms(root: Path) -> Iterator[int]:
    """What is left of each limit of the control groups that this process is in."""
    for folder, version in _groups(root):
        limit, taken, cache = GROUPS[version]
        with contextlib.suppress(OSError, ValueError, KeyError):
            left = int((folder / limit).read_text()) - int((folder / taken).read_text())  # "max": no limit
            yield left + _lines(folder / "memory.stat").get(cache, 0)


def _groups(root: Path) -> Iterator[tuple[Path, str]]:
    """Folders of the process's memory groups and of those above, and which kind they are."""
    try:
        told = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in told:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, version = (mount / "memory", "v1") if controllers else (mount, "v2")
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts) + 1):
            yield top.joinpath(*parts[:depth]), version


def _lines(file: Path) -> dict[str, int]:
    """The numbers of a file with a name and a number on each line; what is no number is left out."""
    pairs = (line.split() for line in file.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdigit()}
