"""The HTTP client under huggingface_hub when hubkit calls it: time limits, and requests that are repeated.

The default client of huggingface_hub waits for ever, and repeats only some requests. This one takes its
place, once a process. Every request gets a time limit. Inside `patient(...)` a request is also made again
when the Hub stumbles: after 408, 429 (when `Retry-After` says) and 5xx, and after a reset or a time-out.
Outside of it nothing else changes, so that a download by transformers still falls back to its cache.

The request that makes a commit is never repeated blindly: when its answer is lost, or is none of a Hub's,
`AnswerLost` says so, and hub_commit.py looks at the repo before it goes on. A file that is sent is sent again
from its beginning. What a failure means is said in hub_failures.py.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2
from huggingface_hub.utils._http import hf_request_event_hook, set_client_factory

from hubkit import interrupts
from hubkit.errors import HubError, HubUnreachable
from hubkit.hub_failures import ADDRESS, NO_ANSWER, conflicts, is_final, no_answer, refused, retry_after

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COMMIT_PATH = re.compile(r"/api/models/[^/]+/[^/]+/commit/.+")  # a branch may have slashes, decoded here
# Before its first request huggingface_hub asks huggingface.co, whatever the endpoint is, for a list with
# which it completes its user agent. A push to another Hub must not wait for that; nothing needs the answer.
COURTESY_PATH = "/api/agent-harnesses"
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


class AnswerLost(HubUnreachable):
    """The commit was sent and no answer came back that says what became of it: it may have landed.

    `over`: the Hub itself gave up on it, so what has not landed by now will not land later.
    """

    def __init__(self, message: str, hint: str | None, *, over: bool = False) -> None:
        super().__init__(message, hint)
        self.over = over


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
    sleep: Callable[[float], None] = interrupts.pause
    clock: Callable[[], float] = time.time  # what a date in Retry-After is compared with
    tell: Callable[[str], None] | None = None  # gets a line when a request is made again after a long wait

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

    def request(self, method: str, url: httpx2.URL | str, **options: Any) -> httpx2.Response:
        """Make a request. A file that is its body is read from where it stands, each time anew."""
        file: Any = options.get("data")
        if not hasattr(file, "seek"):
            return super().request(method, url, **options)
        options = {**options, "content": file, "data": None}
        start = file.tell()

        def send() -> httpx2.Response:
            file.seek(start)
            return httpx2.Client.request(self, method, url, **options)

        patience = _patience.get()
        return _ask(send, method, httpx2.URL(url), patience) if patience else send()

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
        send = super().send
        return _ask(lambda: send(request, **options), request.method, request.url, patience)


def _ask(
    send: Callable[[], httpx2.Response], method: str, url: httpx2.URL, patience: Patience
) -> httpx2.Response:
    """The answer to a request, which is made again while the Hub stumbles."""
    commits = is_commit(method, url)
    for attempt in range(1, patience.attempts + 1):
        pause, silence = None, None
        try:
            response = send()
        except NO_ANSWER as error:
            failure: HubError = no_answer(method, url, error)
            silence = error
            if is_final(error):
                raise failure from None
            if commits and not isinstance(error, NEVER_SENT):
                raise AnswerLost(failure.message, failure.hint) from error
        else:
            if not _passing(response):
                if commits and response.is_success and not _names_a_commit(response):
                    raise AnswerLost(f"what answered {method} {url.path} is no Hub", _LOOK)
                return response
            response.close()
            pause = retry_after(response, patience.clock())
            failure = refused(method, url, response, pause)
            if commits and response.status_code not in (409, 429):
                raise AnswerLost(failure.message, failure.hint, over=response.status_code in (500, 503))
            if pause is not None and pause > patience.longest_retry_after:
                raise failure
        if attempt < patience.attempts:
            _tell(patience, url, silence, pause, attempt + 1)
            patience.rest(attempt, pause)
        if interrupts.came():
            break
    raise failure


_LOOK = f"check {ADDRESS} and the network, then run the command again"
LONG_PAUSE = 10.0  # seconds


def once(tell: Callable[[str], None] | None) -> Callable[[str], None] | None:
    """The same, but silent when it is given a line again."""
    if tell is None:
        return None
    told: set[str] = set()

    def new(line: str) -> None:
        if line not in told:
            told.add(line)
            tell(line)

    return new


def _tell(
    patience: Patience, url: httpx2.URL, silence: Exception | None, pause: float | None, attempt: int
) -> None:
    """Say that a request is made again, where somebody has waited long for it, or is going to.

    Of silence only the first time.
    """
    where = f"{url.scheme}://{url.netloc.decode()}"
    if isinstance(silence, httpx2.ConnectTimeout):
        why = f"no connection to {where} within {patience.connect_seconds:g} s; trying again"
    elif isinstance(silence, httpx2.TimeoutException):
        why = f"no answer from {where} within {patience.answer_seconds:g} s; trying again"
    elif pause is not None and pause >= LONG_PAUSE:
        why = f"{where} asks for a pause of {pause:.0f} s; trying again after it"
    else:
        return
    if patience.tell and (attempt == 2 or silence is None):
        patience.tell(f"{why}, {attempt} of {patience.attempts}")


def is_commit(method: str, url: httpx2.URL) -> bool:
    """Whether this request makes a commit."""
    return method == "POST" and COMMIT_PATH.fullmatch(url.path) is not None


def _passing(response: httpx2.Response) -> bool:
    """Whether this refusal may be gone the next time."""
    status = response.status_code
    return status in (408, 429) or (status >= 500 and status not in (501, 505, 507)) or conflicts(response)


def _names_a_commit(response: httpx2.Response) -> bool:
    """Whether this is what a Hub answers when it made a commit."""
    try:
        return isinstance(response.json().get("commitOid"), str)
    except (ValueError, AttributeError):
        return False
