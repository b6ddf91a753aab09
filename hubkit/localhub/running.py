"""Running the local Hub: in a thread beside the caller, or in the foreground of a command."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from hubkit.errors import HubError
from hubkit.localhub import xet as xet_uploads
from hubkit.localhub.auth import DEFAULT_USER, TOKEN_FILE, Token, default_secret
from hubkit.localhub.call import Hub, log
from hubkit.localhub.handle import RunningHub
from hubkit.localhub.objects import write_json
from hubkit.localhub.options import Options
from hubkit.localhub.origins import by_port, storage_application
from hubkit.localhub.server import application
from hubkit.localhub.store import Busy, Foreign, Store, is_served
from hubkit.localhub.wire import CONNECTIONS_MAX, Protocol

HOST = "127.0.0.1"
ADDRESS_FILE = "address"
PATIENCE = 10.0  # seconds for another process that holds the directory to say where it listens


class Serving:
    """A server, its sockets and its store."""

    def __init__(self, store: Store, listening: socket.socket, options: Options) -> None:
        self.store = store
        self.switchboard = options.switchboard
        self.secret = default_secret(store.root)
        self.sockets = [listening]
        self.endpoint = _origin(listening)
        self.storage: str | None = None
        if options.storage_origin:
            self.sockets.append(_listen(0))
            self.storage = _origin(self.sockets[1])
        xet = options.xet and find_spec("hf_xet") is not None
        every = {**options.tokens, self.secret: Token(DEFAULT_USER)}
        key = secrets.token_bytes(32)
        hub = Hub(store, every, self.endpoint, xet, options.part_size, key, options.mounts)
        hub.storage, hub.quota_bytes = self.storage, options.quota_bytes
        hub.publishers = options.publishers
        xet_uploads.tidy(hub)
        config = uvicorn.Config(
            self._application(hub),
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            loop="asyncio",
            http=Protocol,
            server_header=False,
            timeout_graceful_shutdown=3,
            limit_concurrency=CONNECTIONS_MAX,
        )
        self.server = uvicorn.Server(config)
        self.thread: threading.Thread | None = None
        address = {"endpoint": self.endpoint, "pid": os.getpid()}
        write_json(store.root / ADDRESS_FILE, address, store.objects.scratch)

    def _application(self, hub: Hub) -> ASGIApp:
        app, port = application(hub), None
        if len(self.sockets) > 1:
            port = int(self.sockets[1].getsockname()[1])
            app = by_port(app, storage_application(hub), port)
        if self.switchboard:
            self.switchboard.open()
            app = self.switchboard.around(app, port)
        return app

    def run(self) -> None:
        """Answer until told to stop; in the main thread uvicorn stops at SIGINT and SIGTERM."""
        self.server.run(sockets=self.sockets)

    def run_in_thread(self) -> None:
        """Answer in a thread of its own; connections wait in the socket's queue until it is up."""
        self.thread = threading.Thread(target=self.run, name="hubkit-localhub", daemon=True)
        self.thread.start()

    def disable(self, repo_id: str) -> None:
        """Take a repo out of use, as the Hub's staff does."""
        self.store.repo(repo_id).update(disabled=True)

    def close(self) -> None:
        """Stop, and release everything."""
        self.server.should_exit = True
        if self.switchboard:
            self.switchboard.close()
        if self.thread:
            self.thread.join(timeout=10)
        for listening in self.sockets:
            listening.close()
        (self.store.root / ADDRESS_FILE).unlink(missing_ok=True)
        self.store.close()


def _listen(port: int) -> socket.socket:
    # Named as TCP, or asyncio leaves out TCP_NODELAY and every answer on a kept connection waits 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise HubError(
            f"the local Hub cannot listen on {HOST}:{port}: {reason}", "choose another --port"
        ) from None
    listening.listen(128)
    return listening


def _origin(listening: socket.socket) -> str:
    return f"http://{HOST}:{listening.getsockname()[1]}"


def _open(directory: Path, port: int, options: Options) -> Serving | RunningHub:
    """A server of our own, or the one that already serves the directory."""
    try:
        listening = _listen(port)  # before anything is made in the directory
    except HubError:
        # A dead process leaves its address behind, and who listens there now is no Hub to show a token to.
        if is_served(directory) and (other := _other(directory)):
            return other
        raise
    with contextlib.ExitStack() as stack:
        stack.callback(listening.close)
        store = _take(directory)
        if isinstance(store, RunningHub):
            return store
        stack.callback(store.close)
        (store.root / ADDRESS_FILE).unlink(missing_ok=True)  # a dead process's
        try:
            serving = Serving(store, listening, options)
        except OSError as error:
            raise _unusable(directory, error) from None
        stack.pop_all()
        return serving


def _take(directory: Path) -> Store | RunningHub:
    """The store in a directory, for this process alone, or the Hub that another one serves from it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return Store(directory)
        except Busy:
            other = _other(directory)
            if other:
                return other
            if time.monotonic() > deadline:
                raise HubError(f"another process holds {directory} and does not answer", "stop it") from None
            time.sleep(0.05)
        except Foreign as error:
            raise HubError(str(error), "choose a new directory or an empty one") from None
        except OSError as error:
            raise _unusable(directory, error) from None


def _unusable(directory: Path, error: OSError) -> HubError:
    reason = error.strerror or str(error)
    return HubError(f"the local Hub cannot use {directory}: {reason}", "choose another directory")


def _other(directory: Path) -> RunningHub | None:
    """The Hub that another process serves from the directory, if it answers to our token."""
    try:
        endpoint = str(json.loads((directory / ADDRESS_FILE).read_bytes())["endpoint"])
        secret = (directory / TOKEN_FILE).read_text().strip()
    except (OSError, ValueError, KeyError):
        return None
    request = urllib.request.Request(
        f"{endpoint}/api/whoami-v2", headers={"Authorization": f"Bearer {secret}"}
    )
    # No proxy of the environment stands between this machine and itself.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with contextlib.closing(direct.open(request, timeout=2)) as answer:
            return RunningHub(endpoint, secret) if answer.status == 200 else None
    except (OSError, urllib.error.URLError, ValueError):
        return None


def start(directory: Path, port: int, options: Options) -> RunningHub:
    """Serve a directory from a thread of this process."""
    opened = _open(directory, port, options)
    if isinstance(opened, RunningHub):
        if what := options.special():
            message = f"{directory} is served already, at {opened.endpoint}, and not with {what}"
            raise HubError(message, "stop that Hub first")
        return opened
    opened.run_in_thread()
    return RunningHub(
        opened.endpoint,
        opened.secret,
        stop=opened.close,
        storage=opened.storage,
        disable=opened.disable,
    )


def serve(directory: Path, port: int, on_ready: Callable[[RunningHub], None] | None) -> None:
    """Serve a directory from this thread until SIGINT or SIGTERM."""
    opened = _open(directory, port, Options())
    if isinstance(opened, RunningHub):
        raise HubError(
            f"{directory} is served already, at {opened.endpoint}", "use that one, or stop it first"
        )
    log.addHandler(logging.StreamHandler())
    # uvicorn stops at a signal and then raises it again, for the handler that was there before.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if on_ready:
            on_ready(RunningHub(opened.endpoint, opened.secret))
        opened.run()
    except KeyboardInterrupt:
        pass
    finally:
        opened.close()
        signal.signal(signal.SIGTERM, before)
