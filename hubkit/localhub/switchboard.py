"""A switchboard for tests: it writes down every request, and makes chosen ones fail.

    board = Switchboard()
    with start(directory, switchboard=board) as hub:
        board.order(Fault("drop", "POST", r"/commit/"))     # the work is done, the answer is lost
        ...
        assert [seen.status for seen in board.log] == [200, None]

It stands before everything else that the local Hub does, so what it counts is what went over the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from hubkit.localhub.wire import Wire

Kind = Literal["status", "delay", "cut", "reset", "drop", "hang", "late", "cut_upload"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and with which requests: those of a method and a path, or the one of a number.

    status: answered so, the work is not done      delay: waits `seconds`, then works
    reset: broken off before the work              drop: broken off after the work, no answer
    hang: no work, no answer, until the end        late: the work, but no answer, until the end
    cut: the work, `bytes` of the answer's body, then broken off
    cut_upload: broken off after `bytes` of the request's body
    """

    kind: Kind
    method: str | None = None
    path: str = ""  # a regular expression, searched in the path with its query
    number: int | None = None
    after: int = 0  # requests that match and are let through first
    times: int = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "on purpose"
    seconds: float = 0.0
    bytes: int = 0

    def meets(self, seen: Seen) -> bool:
        """Whether a request is one of those."""
        if self.number is not None:
            return self.number == seen.number
        return self.method in (None, seen.method) and re.search(self.path, seen.path) is not None


@dataclass(slots=True)
class Seen:
    """A request that came."""

    number: int
    method: str
    path: str  # with its query
    authorized: bool  # whether an Authorization header came
    storage: bool = False  # whether it came to the storage's own origin
    status: int | None = None  # of the answer; None while nothing has gone out
    done: int | None = None  # the status of the work, also where the answer was lost
    sent: int = 0  # bytes of the answer's body
    fault: str | None = None
    wire: Wire | None = field(default=None, repr=False)

    @property
    def received(self) -> int:
        """Bytes of the request's body that came, whether or not somebody read them."""
        return self.wire.received if self.wire else 0


@dataclass(slots=True)
class _Order:
    fault: Fault
    passes: int
    left: int


class Switchboard:
    """Every request in order, and the faults that wait for one."""

    def __init__(self) -> None:
        self.log: list[Seen] = []
        self._orders: list[_Order] = []
        self._lock = threading.Lock()
        self._held: dict[int, tuple[asyncio.AbstractEventLoop, Wire]] = {}
        self._closed = False

    def order(self, *faults: Fault) -> None:
        """Let these faults happen, to the next requests that they mean."""
        with self._lock:
            self._orders += [_Order(fault, fault.after, fault.times) for fault in faults]

    def pending(self) -> list[Fault]:
        """The faults that have not happened yet, or not as often as they were ordered."""
        with self._lock:
            return [order.fault for order in self._orders if order.left]

    def clear(self) -> None:
        """Forget all requests and all orders; numbers start from 0 again."""
        with self._lock:
            self.log, self._orders = [], []

    def count(self, method: str | None = None, path: str = "") -> int:
        """How many requests came of a method, to paths that a regular expression finds."""
        return sum(Fault("status", method, path).meets(seen) for seen in self.log)

    def open(self) -> None:
        """The server starts."""
        self._closed = False

    def close(self) -> None:
        """The server stops: what hangs is broken off, so that nothing waits for it."""
        self._closed = True
        for loop, wire in list(self._held.values()):
            with contextlib.suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(wire.reset)

    def around(self, app: ASGIApp, storage_port: int | None = None) -> ASGIApp:
        """The application behind this switchboard."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            seen, fault = self._take(scope, storage_port)
            await _Exchange(self, seen, fault, receive, send).run(app, scope)

        return watched

    def _take(self, scope: Scope, storage_port: int | None) -> tuple[Seen, Fault | None]:
        from hubkit.localhub.wire import KEY

        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        headers = dict(scope["headers"])
        storage = storage_port is not None and (scope.get("server") or (None, None))[1] == storage_port
        with self._lock:
            seen = Seen(
                len(self.log),
                scope["method"],
                f"{path}?{query}" if query else path,
                b"authorization" in headers,
                storage,
                wire=scope["state"][KEY],
            )
            self.log.append(seen)
            for order in self._orders:
                if not order.left or not order.fault.meets(seen):
                    continue
                if order.passes:
                    order.passes -= 1
                    continue
                order.left -= 1
                seen.fault = order.fault.kind
                return seen, order.fault
            return seen, None

    async def pause(self, seconds: float) -> None:
        """Wait, but not for longer than the server lives."""
        until = time.monotonic() + seconds
        while not self._closed and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.05))

    async def hold(self, wire: Wire, receive: Receive) -> None:
        """Neither work nor answer, until the client has gone or the server stops."""
        self._held[id(wire)] = (asyncio.get_running_loop(), wire)
        try:
            if self._closed:
                wire.reset()
            await _until_gone(receive)
        finally:
            del self._held[id(wire)]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Exchange:
    """One request and its answer, with the fault that happens to it."""

    def __init__(
        self, board: Switchboard, seen: Seen, fault: Fault | None, receive: Receive, send: Send
    ) -> None:
        assert seen.wire
        self.board, self.seen, self.fault, self.wire = board, seen, fault, seen.wire
        self.kind = fault.kind if fault else None
        self.receive, self.send = receive, send
        self.taken = 0  # bytes of the body that the application was given
        self.broken = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Do what the fault leaves of the work."""
        if self.kind == "hang":
            return await self.board.hold(self.wire, self.receive)
        if self.kind == "reset":
            return await self.breaks()
        if self.fault and self.kind == "status":
            return await self.answers(self.fault)
        if self.fault and self.kind == "delay":
            await self.board.pause(self.fault.seconds)
        await app(scope, self.reads, self.sends)
        if self.kind == "late":
            await self.board.hold(self.wire, self.receive)
        elif self.kind == "drop" or self.broken:
            await self.breaks()

    async def breaks(self) -> None:
        """Break the connection off, and wait until the server knows."""
        self.broken = True
        self.wire.reset()
        await _until_gone(self.receive)

    async def answers(self, fault: Fault) -> None:
        """Take the body in, and answer without any work."""
        more = True
        while more:
            message = await self.receive()
            more = message["type"] == "http.request" and message.get("more_body", False)
        text = json.dumps({"error": fault.message}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(text)), **fault.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.goes_out({"type": "http.response.start", "status": fault.status, "headers": raw})
        await self.goes_out({"type": "http.response.body", "body": text})

    async def reads(self) -> Message:
        """The application's next piece of the body."""
        if self.broken:
            return {"type": "http.disconnect"}
        message = await self.receive()
        if self.fault and self.kind == "cut_upload" and message["type"] == "http.request":
            left = self.fault.bytes - self.taken
            body = message.get("body", b"")
            self.taken += len(body)
            if len(body) >= left:
                self.broken = True
                self.wire.reset()
                return {"type": "http.request", "body": body[:left], "more_body": True}
        return message

    async def sends(self, message: Message) -> None:
        """The application's next piece of the answer."""
        if message["type"] == "http.response.start":
            self.seen.done = message["status"]
        if self.broken or self.kind in ("drop", "late"):
            return
        if self.fault and self.kind == "cut" and message["type"] == "http.response.body":
            left = self.fault.bytes - self.seen.sent
            body = message.get("body", b"")
            if len(body) >= left:
                self.broken = True
                await self.goes_out({**message, "body": body[:left], "more_body": True})
                await self.wire.flushed()
                return
        await self.goes_out(message)

    async def goes_out(self, message: dict[str, Any] | Message) -> None:
        """Send a piece of the answer and count it."""
        if message["type"] == "http.response.start":
            self.seen.status = message["status"]
        elif self.seen.method != "HEAD":
            self.seen.sent += len(message.get("body", b""))
        await self.send(message)
