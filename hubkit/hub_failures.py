"""What it means when the Hub gives no answer, or one that may be another the next time: each as one line."""

from __future__ import annotations

import contextlib
import socket
import ssl
from email.utils import parsedate_to_datetime

import httpx2
from huggingface_hub.utils._http import parse_ratelimit_headers

from hubkit.errors import HubError, HubUnreachable

NO_ANSWER = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
    httpx2.DecodingError,  # the answer broke off, or is not packed as it says
)
ADDRESS = "the address (--endpoint, HF_ENDPOINT)"
_LATER = f"check {ADDRESS} and the network, then run the command again"
# huggingface_hub itself asks again without a pause, for ever, when the Hub says this to who creates a repo.
_CONFLICT = "another conflicting operation is in progress"


def is_final(error: Exception) -> bool:
    """Whether asking again would give the same: the server is not the one that it should be."""
    return _within(error, ssl.SSLError) is not None and _within(error, ssl.SSLEOFError) is None


def no_answer(method: str, url: httpx2.URL, error: Exception) -> HubUnreachable:
    """Why no answer came."""
    where = f"{url.scheme}://{url.netloc.decode()}"
    untrusted = _within(error, ssl.SSLCertVerificationError)
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return HubUnreachable(
            f"the certificate of {where} is not trusted: {untrusted.verify_message}",
            f"check {ADDRESS} and this machine's clock; SSL_CERT_FILE names certificates to trust",
        )
    if is_final(error):
        return HubUnreachable(f"{where} does not speak TLS", f"check {ADDRESS}: is it http: or https:?")
    if _within(error, socket.gaierror):
        return HubUnreachable(f"{where} cannot be reached: the name {url.host} is not known", _LATER)
    if isinstance(error, httpx2.ProxyError):
        return HubUnreachable(f"the proxy does not lead to {where}", "check HTTPS_PROXY and NO_PROXY")
    if isinstance(error, httpx2.TimeoutException):
        how = "gave no answer within the time limit"
    elif isinstance(error, httpx2.ConnectError):
        how = "cannot be reached"
    elif isinstance(error, httpx2.DecodingError):
        how = "gave an answer that cannot be unpacked"
    else:
        how = "broke the connection"
    return HubUnreachable(f"{where} {how} ({method} {url.path})", _LATER)


def _within(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The exception of this kind that an exception came of."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, kind):
        seen = seen.__cause__ or seen.__context__
    return seen


def conflicts(response: httpx2.Response) -> bool:
    """Whether the Hub is at another work of this user, and would have us wait."""
    return response.status_code == 409 and response.is_closed and _CONFLICT in response.text


def refused(method: str, url: httpx2.URL, response: httpx2.Response, pause: float | None) -> HubError:
    """What a refusal means that did not pass."""
    where = f"{method} {url.path}"
    again = f"run the command again in {pause:.0f} seconds" if pause is not None else None
    if response.status_code == 429:
        return HubError(
            f"the Hub was asked too often ({where})", again or "run the command again in some minutes"
        )
    if response.status_code == 409:
        return HubError(f"the Hub is at another work of this user ({where})", "run the command again")
    return HubUnreachable(
        f"the Hub has a fault: it answered {response.status_code} to {where}", again or _LATER
    )


def retry_after(response: httpx2.Response, now: float) -> float | None:
    """The seconds to wait that the answer asks for: by a number, a date, or what is left of a rate limit."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    with contextlib.suppress(ValueError, TypeError, OverflowError, OSError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    limit = parse_ratelimit_headers(response.headers) if response.status_code == 429 else None
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else None
