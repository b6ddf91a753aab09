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
    """uvicorn's HTTP/1.1, with a Wire in the state of every request."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = _Reader(self, HEAD_MAX)
