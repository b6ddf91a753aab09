"""Documents on disk that are read as a list is: for text that memory does not hold.

They lie in files without a name, which the system removes with the process, however it ends. In memory is
one document at a time.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from hubkit.errors import DataError

BUFFER = 1 << 20  # bytes
AT_ONCE = 1 << 14  # ends of documents written at a time


class Spool(Sequence[str]):
    """Documents in the order in which they were added. Not to be added to once it was read."""

    def __init__(self, folder: Path | None = None) -> None:
        self._text = tempfile.TemporaryFile(dir=folder, buffering=BUFFER)  # noqa: SIM115 - lives as long
        self._ends = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        for file in (self._text, self._ends):
            weakref.finalize(self, file.close)
        self._pending = array("q")
        self._size = self._count = 0

    def add(self, document: str) -> None:
        """Write one document at the end. Raises DataError where the disk is full."""
        encoded = document.encode("utf-8", "surrogatepass")
        self._size += len(encoded)
        self._count += 1
        self._pending.append(self._size)
        try:
            self._text.write(encoded)
            if len(self._pending) >= AT_ONCE:
                self._flush()
        except OSError as error:
            raise _no_room(error) from error

    def _flush(self) -> None:
        self._text.flush()
        self._ends.seek(0, os.SEEK_END)
        self._ends.write(self._pending.tobytes())
        self._ends.flush()
        self._pending = array("q")

    def _settle(self) -> None:
        if self._pending:
            try:
                self._flush()
            except OSError as error:
                raise _no_room(error) from error

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        self._settle()
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(self._count))]
        at = index + self._count if index < 0 else index
        if not 0 <= at < self._count:
            raise IndexError(index)
        self._ends.seek(8 * max(at - 1, 0))
        ends = array("q", self._ends.read(16 if at else 8))
        start = ends[0] if at else 0
        self._text.seek(start)
        return self._text.read(ends[-1] - start).decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[at] for at in range(self._count))


def _no_room(error: Any) -> DataError:
    return DataError(
        f"cannot keep the text on disk: {error.strerror}", "free some space, or set dataset.max_documents"
    )
