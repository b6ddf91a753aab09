"""Signals that ask a command to stop: the first one stops it in order, the second one at once.

    with interrupts.handled():          # around a whole command
        ...
        with interrupts.held("..."):    # around what must not be left half-known: a commit in flight
            ...

SIGINT, SIGTERM and SIGHUP raise `Signalled`, a KeyboardInterrupt; inside `held` they wait for its end.
A signal that was being ignored (nohup, a job in the background) stays ignored.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

NUMBERS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Signalled(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _State:
    """What is known of signals in this process."""

    came: int | None = None  # the first signal, until it was raised and after
    holding: list[str] = []  # what to say if a second one ends the process, for each block that holds


def exit_code(stop: KeyboardInterrupt) -> int:
    """The code that a shell gives to a process that was stopped so: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (stop.number if isinstance(stop, Signalled) else signal.SIGINT)


def came() -> bool:
    """Whether a signal came; inside `held` it has raised nothing yet."""
    return _State.came is not None


def pause(seconds: float) -> None:
    """Sleep; a signal that waits for the end of a block ends that at once."""
    until = time.monotonic() + seconds
    while not came() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


@contextmanager
def handled() -> Iterator[None]:
    """While a command runs, let signals stop it as this module says."""
    before: dict[signal.Signals, Any] = {}
    _State.came, _State.holding = None, []
    try:
        for number in NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _on_signal)
    except ValueError:  # not the main thread: signals are somebody else's
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _State.came = None


@contextmanager
def held(in_doubt: str) -> Iterator[None]:
    """Let a signal wait until this block ends; `in_doubt` is said when a second one ends all in it."""
    _State.holding.append(in_doubt)
    try:
        yield
    finally:
        _State.holding.pop()
        if _State.came is not None and not _State.holding:
            raise Signalled(_State.came) from None  # an error of the block matters no more


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _State.came is not None:
        _end(number)
    _State.came = number
    if not _State.holding:
        raise Signalled(number)
    _say("hubkit: stopping when the Hub has answered; once more stops at once")


def _end(number: int) -> NoReturn:
    """End without waiting for anything."""
    if _State.holding:
        _say(f"hubkit: interrupted; {_State.holding[-1]}")
    os._exit(128 + number)


def _say(line: str) -> None:
    os.write(2, f"{line}\n".encode())  # a signal may come in the midst of a print
