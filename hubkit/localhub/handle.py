"""What a caller holds of a local Hub that runs: where it is, and how to stop it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from hubkit.localhub.auth import DEFAULT_USER


@dataclass(slots=True)
class RunningHub:
    """A local Hub that answers at `endpoint`; `token` is a write token of its default user `user`."""

    endpoint: str
    token: str
    user: str = DEFAULT_USER
    stop: Callable[[], None] | None = None
    storage: str | None = None  # the origin that large files come from, when it is another one
    disable: Callable[[str], None] | None = None  # takes a repo out of use, as the Hub's staff does

    @property
    def owned(self) -> bool:
        """Whether this process serves it, so that `close` stops it."""
        return self.stop is not None

    def close(self) -> None:
        """Stop serving and let the directory go; nothing happens when another process serves it."""
        stop, self.stop = self.stop, None
        if stop:
            stop()

    def __enter__(self) -> RunningHub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
