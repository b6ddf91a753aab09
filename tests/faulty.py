"""A proxy on this machine that stands before a local Hub and makes chosen requests fail.

    with FaultyProxy(hub.endpoint) as proxy:
        proxy.fail("POST", r"/commit/", Fault.DROP)      # the Hub does the work, the answer is lost

Each order counts for the next requests that match it, and is then used up. `seen` lists every request.
"""

from __future__ import annotations

import enum
import http.client
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")


class Fault(enum.Enum):
    """What goes wrong."""

    STATUS = "an answer with another status"
    RESET = "the connection is cut before the Hub sees the request"
    DROP = "the connection is cut after the Hub did the work"
    HANG = "nothing ever comes back, and the Hub never sees the request"
    LATE = "the Hub does the work, and nothing ever comes back"


@dataclass
class Order:
    method: str
    path: str
    fault: Fault
    times: int
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    number: int | None = None  # of the request, whatever it is
    after: int = 0  # requests that match and are let through first

    def meets(self, number: int, method: str, path: str) -> bool:
        if self.number is not None:
            return self.number == number
        return self.method == method and re.search(self.path, path) is not None


class FaultyProxy:
    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.orders: list[Order] = []
        self.seen: list[tuple[str, str]] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail(
        self,
        method: str,
        path: str,
        fault: Fault,
        *,
        times: int = 1,
        status: int = 500,
        headers: dict[str, str] | None = None,
        after: int = 0,
    ) -> None:
        self.orders.append(Order(method, path, fault, times, status, headers or {}, after=after))

    def fail_call(self, number: int, fault: Fault) -> None:
        """Make the request with this number fail (`seen` counts them, from 0)."""
        self.orders.append(Order("", "", fault, 1, number=number))

    def count(self, method: str, path: str) -> int:
        return sum(1 for m, p in self.seen if m == method and re.search(path, p))

    def take(self, method: str, path: str) -> Order | None:
        with self._lock:
            self.seen.append((method, path))
            for order in self.orders:
                if order.times > 0 and order.meets(len(self.seen) - 1, method, path):
                    if order.after:
                        order.after -= 1
                        continue
                    order.times -= 1
                    return order
        return None

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    proxy: FaultyProxy

    def log_message(self, *_: object) -> None:
        pass

    def _cut(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _do(self) -> None:
        body = self._body()
        order = self.proxy.take(self.command, self.path)
        fault = order.fault if order else None
        if order and fault is Fault.STATUS:
            self._answer(order.status, order.headers, b'{"error":"on purpose"}')
        elif fault is Fault.RESET:
            self._cut()
        elif fault is Fault.HANG:
            self.proxy.closing.wait(30)
            self._cut()
        else:
            status, headers, answer = self._forward(body)
            if fault is Fault.LATE:
                self.proxy.closing.wait(30)
            if fault in (Fault.DROP, Fault.LATE):
                self._cut()
            else:
                self._answer(status, headers, answer)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        where = urlsplit(self.proxy.upstream)
        upstream = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in (*HOP, "host")}
        try:
            upstream.request(self.command, self.path, body, {**headers, "Host": where.netloc})
            answer = upstream.getresponse()
            content = answer.read()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP}
        finally:
            upstream.close()
        ours, theirs = self.proxy.endpoint, self.proxy.upstream
        kept = {k: v.replace(theirs, ours) for k, v in kept.items()}
        return answer.status, kept, content.replace(theirs.encode(), ours.encode())

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _do
