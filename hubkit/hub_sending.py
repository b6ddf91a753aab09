"""What an upload has sent so far: counted for the report, and drawn as one bar where somebody watches.

By LFS the files are read through `Counted`. By Xet huggingface_hub would draw a bar for each file and three
more; for the time of an upload its reporter is replaced by ours, which is told the bytes all the same when
bars are switched off.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REDRAWN = 0.1  # seconds from one drawing to the next, at least
NARROW = 60  # columns below which the bar itself is left out


def size(count: int) -> str:
    """Bytes, in the unit that fits (powers of ten, as the Hub shows them)."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


class Sending:
    """An upload of so many bytes: how many are done, and how many of them had to be sent."""

    def __init__(self, total: int, drawn: bool) -> None:
        self.total = total
        self.done = 0
        self.sent: int | None = None  # None: nobody said
        self._drawn = drawn
        self._started = time.monotonic()
        self._last = 0.0
        self._width = 0  # of what stands there now

    def reached(self, done: int, sent: int) -> None:
        """So many bytes are done, and so many were sent for that."""
        self.done, self.sent = max(self.done, done), max(self.sent or 0, sent)
        self.total = max(self.total, done)
        if self._drawn and time.monotonic() - self._last >= REDRAWN:
            self._draw()

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """The end: where nothing went wrong all is done, and what was not sent, the Hub had."""
        if kind is None:
            self.done = self.total
        if self._width:
            self._draw()
            _write("\n")
            self._width = 0

    def _draw(self) -> None:
        self._last = time.monotonic()
        share = self.done / self.total if self.total else 1.0
        speed = (self.sent or 0) / max(self._last - self._started, 0.001)
        text = f" {share:4.0%}  {size(self.done)} of {size(self.total)}, {size(int(speed))}/s"
        width = columns()
        if width >= NARROW:
            text = f" [{'#' * round(share * 20):<20}]{text}"
        text = f"Uploading{text}"[: width - 1]
        _write("\r" + text.ljust(self._width))
        self._width = len(text)


def columns() -> int:
    """The width of the terminal that is drawn on, which stdout need not be."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if width := os.get_terminal_size(sys.stderr.fileno()).columns:
            return width
    return shutil.get_terminal_size().columns


def _write(text: str) -> None:
    """Draw; a terminal that has gone away is no reason to stop an upload."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


class Counted(io.BufferedReader):
    """A file that says, when it is read, how many bytes of it were read, and how far."""

    def __init__(self, path: Path, told: Callable[[int, int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._told = told

    def read(self, count: int | None = -1, /) -> bytes:
        """As ever."""
        chunk = super().read(count)
        self._told(len(chunk), self.tell())
        return chunk


class Streams:
    """Adds up what several files that are being read say."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._far: dict[Path, int] = {}
        self._read = 0

    def open(self, path: Path) -> Counted:
        """One of the files, open for reading."""

        def told(read: int, position: int) -> None:
            self._read += read
            self._far[path] = max(position, self._far.get(path, 0))
            self._sending.reached(sum(self._far.values()), self._read)

        return Counted(path, told)


class _Reporter:
    """What hf_xet tells of an upload, in the place of huggingface_hub's own reporter."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending

    def update_progress(self, group: Any, items: Any) -> None:
        """The state of all files together, five times a second."""
        self._sending.reached(group.total_bytes_completed, group.total_transfer_bytes_completed)

    def close(self) -> None:
        """Nothing is left to do."""


@contextlib.contextmanager
def xet_told_to(sending: Sending) -> Iterator[None]:
    """Let an upload by Xet in this block report here. With a client that works otherwise, it is not told."""
    try:
        utils: Any = importlib.import_module("huggingface_hub.utils")
        reporting: Any = importlib.import_module("huggingface_hub.utils._xet_progress_reporting")
        before = reporting.XetUploadProgressReporter, utils.are_progress_bars_disabled
    except (ImportError, AttributeError):
        yield
        return
    reporting.XetUploadProgressReporter = lambda *_, **__: _Reporter(sending)
    utils.are_progress_bars_disabled = lambda *_: False
    try:
        yield
    finally:
        reporting.XetUploadProgressReporter, utils.are_progress_bars_disabled = before
