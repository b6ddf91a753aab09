"""A small Hugging Face Hub on this machine: the default without a token, the preview, the Hub of the tests.

    with start(Path("hub")) as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)

It answers huggingface_hub as it comes, with Xet or LFS, keeps everything in one directory, listens on
127.0.0.1 only, and imports its server when it is started and not before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import HubError, MissingExtra
from hubkit.localhub.auth import DEFAULT_USER, Publisher, Scope, Token
from hubkit.localhub.handle import RunningHub
from hubkit.localhub.options import PART_SIZE, Options
from hubkit.localhub.switchboard import Fault, Seen, Switchboard

if TYPE_CHECKING:
    from types import ModuleType

    from hubkit.localhub.store import Store

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_USER",
    "Fault",
    "Publisher",
    "RunningHub",
    "Scope",
    "Seen",
    "Switchboard",
    "Token",
    "check",
    "collect",
    "serve",
    "start",
]

DEFAULT_PORT = 8765


def _running() -> ModuleType:
    try:
        import markdown_it  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingExtra(
            "the local Hub needs starlette, uvicorn and markdown-it-py", "pip install 'hubkit[local]'"
        ) from None
    from hubkit.localhub import running

    return running


def start(
    directory: Path,
    *,
    port: int = 0,
    tokens: Mapping[str, Token] | None = None,
    xet: bool = True,
    part_size: int = PART_SIZE,
    mounts: Mapping[str, tuple[Path, str]] | None = None,
    switchboard: Switchboard | None = None,
    storage_origin: bool = False,
    quota_bytes: int | None = None,
    publishers: Sequence[Publisher] = (),
) -> RunningHub:
    """Serve a directory from a thread; port 0 takes a free one, `tokens` adds users to the default one.

    When a live process serves the directory already, the answer leads there, and its `close` does nothing.
    By LFS, a file larger than `part_size` bytes is uploaded in parts. `mounts` are directories to serve
    as they lie, each under the id of a model and with the commit that it is said to be.
    A `switchboard` writes down every request and makes those fail that it is told to.
    With `storage_origin`, large files come from another port and go there, by signed addresses.
    `quota_bytes` is what the large files of a namespace may come to.
    `publishers` may exchange an identity token of a CI job; that takes pyjwt[crypto].
    """
    if publishers and find_spec("jwt") is None:
        raise MissingExtra("Trusted Publishers need PyJWT", "pip install 'pyjwt[crypto]'")
    options = Options(
        tokens or {}, xet, part_size, mounts or {}, switchboard, storage_origin, quota_bytes, publishers
    )
    hub: RunningHub = _running().start(directory, port, options)
    return hub


def check(directory: Path) -> list[str]:
    """What is wrong in the store of a directory that nobody serves, one line each."""
    from hubkit.localhub import fsck

    with _store(directory) as store:
        return fsck.check(store)


def collect(directory: Path) -> tuple[int, int]:
    """Remove from a whole store that nobody serves what no commit names: how many files, how many bytes."""
    from hubkit.localhub import fsck

    with _store(directory) as store:
        return fsck.collect(store)


@contextlib.contextmanager
def _store(directory: Path) -> Iterator[Store]:
    from hubkit.localhub.store import Busy, Store

    if not (directory / "objects" / "blobs").is_dir():
        raise HubError(f"there is no local Hub in {directory}", "name the directory of one")
    try:
        with contextlib.closing(Store(directory)) as store:
            yield store
    except Busy:
        raise HubError(f"{directory} is served by another process", "stop that one first") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise HubError(
            f"the local Hub cannot use {directory}: {reason}", "choose another directory"
        ) from None


def serve(
    directory: Path, port: int = DEFAULT_PORT, *, on_ready: Callable[[RunningHub], None] | None = None
) -> None:
    """Serve a directory until SIGINT or SIGTERM; `on_ready` is told the address before the first request."""
    _running().serve(directory, port, on_ready)
