"""A connection as the server sees it: what uvicorn neither tells its application nor bounds."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

KEY = "hubkit.wire"  # of a request's `scope["state"]`
HEAD_MAX = 64 * 1024  # bytes of a request's line and headers
CONNECTIONS_MAX = 500  # at a time; to one more, uvicorn answers 503
HEAD_SECONDS = 20.0  # for a request's line and headers, from the first byte or the connection
BODY_SECONDS = 120.0  # for the next piece of a body


@dataclass(slots=True)
class Wire:
    """The connection of one request, and how many bytes of its body have come, read by somebody or not."""

    transport: asyncio.Transport
    received: int = 0

    def reset(self) -> None:
        """Break the connection by a RST, as a server that crashed or a middlebox does."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def flushed(self) -> None:
        """Wait until all that was written has left this process, or the connection has ended."""
        while self.transport.get_write_buffer_size() and not self.transport.is_closing():
            await asyncio.sleep(0.001)


class _Reader(h11.Connection):
    """h11's connection, which hands each request a Wire and counts the bytes of bodies."""

    def __init__(self, protocol: Protocol, limit: int) -> None:
        super().__init__(h11.SERVER, limit)
        self.protocol = protocol
        self.wire: Wire | None = None

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.wire = Wire(self.protocol.transport)
            self.protocol.app_state = {**self.protocol.app_state, KEY: self.wire}
        elif isinstance(event, h11.Data) and self.wire:
            self.wire.received += len(event.data)
        return event


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, with a Wire in the state of every request and an end to waiting for bytes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = _Reader(self, HEAD_MAX)
        self._waits_for: object = None  # what the client owes: h11.IDLE a head, h11.SEND_BODY a body
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come, and owes a request."""
        super().connection_made(transport)
        self._watch(new_bytes=False)

    def data_received(self, data: bytes) -> None:
        """A piece of what it owes has come."""
        super().data_received(data)
        self._watch(new_bytes=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """It has its answer, and owes nothing for now."""
        super().on_response_complete()
        self._stop_waiting()  # until the next byte, uvicorn's own limit for idle connections counts

    def _stop_waiting(self) -> None:
        self._waits_for = None
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _watch(self, *, new_bytes: bool) -> None:
        """Give the client its time: once for a whole head, again for each piece of a body."""
        state = self.conn.their_state
        if state is self._waits_for and not (new_bytes and state is h11.SEND_BODY):
            return
        self._stop_waiting()
        seconds = {h11.IDLE: HEAD_SECONDS, h11.SEND_BODY: BODY_SECONDS}.get(state)
        if seconds is not None and not self.transport.is_closing():
            self._waits_for = state
            self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._stop_waiting()
        if self.flow.read_paused:
            self._watch(new_bytes=True)  # it is we who do not read
        else:
            self.transport.abort()
