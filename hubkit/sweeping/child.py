"""A command of hubkit, alone in the directory of a run: `python -m hubkit.sweeping.child DIR train FILE`.

It holds a lock on the directory, so that two sweeps, or a run and its second try on another machine, are
never in it at once; and it is asked to stop in order when whoever started it is gone.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from pathlib import Path

LOCK = ".lock"
PATIENCE = 120.0  # seconds until whoever holds the directory must have written a checkpoint and left
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def main(arguments: list[str]) -> None:
    """Lock the directory, then run the command as `hubkit` would; it ends the process."""
    directory, *words = arguments
    parent = int(os.environ.pop("HUBKIT_SWEEP_PARENT", "0"))
    _stop_with_parent(parent)
    held = _lock(Path(directory))
    sys.argv = ["hubkit", *words]
    try:
        runpy.run_module("hubkit", run_name="__main__", alter_sys=True)
    finally:
        if held:
            os.close(held)


def _stop_with_parent(parent: int) -> None:
    """Ask the kernel for a SIGTERM when the parent ends: training leaves a checkpoint then."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent and os.getppid() != parent:  # it ended before that was said
        sys.exit(128 + signal.SIGTERM)


def _lock(directory: Path) -> int:
    """A descriptor that holds the directory until this process ends; 0 where locks are not to be had."""
    try:
        import fcntl
    except ImportError:  # Windows
        return 0
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > until:
                sys.exit(f"hubkit: another process works in {directory}. Next: wait for it, or stop it")
            time.sleep(0.2)
        except OSError:  # a file system without locks
            os.close(descriptor)
            return 0


if __name__ == "__main__":
    main(sys.argv[1:])
