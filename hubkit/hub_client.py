"""The HTTP client under huggingface_hub when hubkit calls it: time limits, and requests that are repeated.

The default client of huggingface_hub waits for ever, and repeats only some requests. This one takes its
place, once a process. Every request gets a time limit. Inside `patient(...)` a request is also made again
when the Hub stumbles: after 408, 429 (when `Retry-After` says) and 5xx, and after a reset or a time-out.
Outside of it nothing else changes, so that a download by transformers still falls back to its cache.

The request that makes a commit is never repeated blindly: when its answer is lost, `AnswerLost` says so, and
hub_commit.py looks at the repo before it goes on. A request whose body is a file is left to huggingface_hub,
which rewinds the file and repeats it.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from huggingface_hub.utils._http import hf_request_event_hook, set_client_factory

from hubkit.errors import HubError, HubUnreachable

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COMMIT_PATH = re.compile(r"/api/models/[^/]+/[^/]+/commit/.+")  # a branch may have slashes, decoded here
# Before its first request huggingface_hub asks huggingface.co, whatever the endpoint is, for a list with
# which it completes its user agent. A push to another Hub must not wait for that; nothing needs the answer.
COURTESY_PATH = "/api/agent-harnesses"
NO_ANSWER = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError)
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


class AnswerLost(HubUnreachable):
    """The commit was sent and no answer came back: it may have landed."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for an answer, and how often to ask again."""

    connect_seconds: float = 10.0
    answer_seconds: float = 60.0  # of silence; a commit of many files takes the Hub several
    attempts: int = 5
    first_pause: float = 0.5  # doubled after each attempt
    longest_pause: float = 8.0
    slowest_upload: float = (
        100_000.0  # bytes a second; Xet, which keeps no time itself, is cut off below that
    )
    longest_retry_after: float = 300.0  # the Hub's rate limits are counted over five minutes
    sleep: Callable[[float], None] = time.sleep

    def rest(self, attempt: int, retry_after: float | None = None) -> None:
        """Pause after the attempt with this number (from 1)."""
        pause = min(self.longest_pause, self.first_pause * 2 ** (attempt - 1))
        self.sleep(pause if retry_after is None else retry_after)

    @property
    def limits(self) -> dict[str, float]:
        """The time limits as httpx names them."""
        answer = self.answer_seconds
        return {"connect": self.connect_seconds, "read": answer, "write": answer, "pool": answer}


_patience: ContextVar[Patience | None] = ContextVar("_patience", default=None)
_install_lock = threading.Lock()
_installed = False


@contextlib.contextmanager
def patient(patience: Patience) -> Iterator[None]:
    """Within this block, requests of huggingface_hub are asked again as `patience` says."""
    token = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(token)


def install() -> None:
    """Put the client in place of huggingface_hub's own, once; a second call would cut open connections."""
    global _installed
    with _install_lock:
        if not _installed:
            set_client_factory(_make_client)
            _installed = True


def _make_client() -> httpx2.Client:
    direct = {f"all://{host}": None for host in LOOPBACK[:2]}  # a proxy cannot reach our loopback
    hooks = {"request": [_before]}
    # The time limits come with each request: httpx's own default, 5 seconds, is too short for a commit.
    return PatientClient(event_hooks=hooks, follow_redirects=True, mounts=direct, timeout=None)


def _before(request: httpx2.Request) -> None:
    """huggingface_hub's own hook; its offline mode does not concern a Hub on this machine."""
    if request.url.host not in LOOPBACK:
        hf_request_event_hook(request)


class PatientClient(httpx2.Client):
    """A client whose requests all have time limits, and are repeated inside `patient`."""

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, and again if need be."""
        patience = _patience.get()
        limits = (patience or Patience()).limits
        given = {k: v for k, v in request.extensions.get("timeout", {}).items() if v is not None}
        request.extensions = {**request.extensions, "timeout": {**limits, **given}}
        if patience is not None and request.url.path == COURTESY_PATH:
            raise httpx2.ConnectError("not asked", request=request)
        if patience is None or not isinstance(request.stream, httpx2.ByteStream):
            return super().send(request, **options)
        return self._ask(request, patience, options)

    def _ask(self, request: httpx2.Request, patience: Patience, options: dict[str, Any]) -> httpx2.Response:
        for attempt in range(1, patience.attempts + 1):
            retry_after = None
            try:
                response = super().send(request, **options)
            except NO_ANSWER as error:
                failure: HubError = HubUnreachable(_no_answer(request, error), _LATER)
                if is_commit(request) and not isinstance(error, NEVER_SENT):
                    raise AnswerLost(failure.message, failure.hint) from error
            else:
                if not _passing(response.status_code):
                    return response
                response.close()
                retry_after = _retry_after(response)
                failure = _refusal(request, response, retry_after)
                if is_commit(request) and response.status_code != 429:
                    raise AnswerLost(failure.message, failure.hint)
                if retry_after is not None and retry_after > patience.longest_retry_after:
                    raise failure
            if attempt < patience.attempts:
                patience.rest(attempt, retry_after)
        raise failure


_LATER = "check the address and the network, then run the command again"


def is_commit(request: httpx2.Request) -> bool:
    """Whether this request makes a commit."""
    return request.method == "POST" and COMMIT_PATH.fullmatch(request.url.path) is not None


def _passing(status: int) -> bool:
    """Whether a refusal with this status may be gone the next time."""
    return status in (408, 429) or (status >= 500 and status not in (501, 505, 507))


def _no_answer(request: httpx2.Request, error: Exception) -> str:
    if isinstance(error, httpx2.TimeoutException):
        how = "gave no answer within the time limit"
    elif isinstance(error, httpx2.ConnectError):
        how = "cannot be reached"
    else:
        how = "broke the connection"
    return f"{request.url.scheme}://{request.url.netloc.decode()} {how} ({request.method} {request.url.path})"


def _refusal(request: httpx2.Request, response: httpx2.Response, retry_after: float | None) -> HubError:
    where = f"{request.method} {request.url.path}"
    if response.status_code == 429:
        pause = f"in {retry_after:.0f} seconds" if retry_after is not None else "in some minutes"
        return HubError(f"the Hub was asked too often ({where})", f"run the command again {pause}")
    return HubUnreachable(f"the Hub has a fault: it answered {response.status_code} to {where}", _LATER)


def _retry_after(response: httpx2.Response) -> float | None:
    """The seconds that `Retry-After` asks for, given as a number or as a date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None
