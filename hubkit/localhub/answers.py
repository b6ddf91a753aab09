"""Answers in the Hub's form: JSON, and refusals with the headers that huggingface_hub reads."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from hubkit.localhub.objects import Damaged
from hubkit.localhub.repo import Exists, NotThere, Refused, Stale

log = logging.getLogger("hubkit.localhub")
log.addHandler(logging.NullHandler())  # beside a command that publishes; `hubkit serve` shows it


class Refusal(Exception):
    """An answer other than success; `code` is what huggingface_hub maps to one of its exceptions."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.body = body
        self.headers = headers or {}


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; dates that YAML made of a card's text go out as text again."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return Response(text.encode(errors="replace"), status, headers, "application/json")


def read_json(data: bytes) -> Any:
    """JSON from outside; Refusal where it is none, is nested too deep, or holds half a character."""
    try:
        value = json.loads(data)
        if b"\\u" in data:  # only an escape can smuggle in what no file and no header could hold
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON") from None
    return value


def count(text: str) -> int | None:
    """A number of an address: ASCII digits, and few enough of them."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def refusal_reply(refusal: Refusal) -> Response:
    """The answer to a refused request, in the Hub's form."""
    one_line = re.sub(r"[^ -~]", "?", " ".join(refusal.message.split()))
    oauth = "error_description" in (refusal.body or {})  # which says all of it in the body
    headers = {} if oauth else {"X-Error-Message": one_line[:1000]}
    headers |= refusal.headers
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return reply(refusal.body or {"error": refusal.message}, refusal.status, headers)


def as_refusal(error: Exception) -> Refusal:
    """What an error of the store is over HTTP."""
    match error:
        case Refusal():
            return error
        case NotThere(what=what):
            codes = {"repo": "RepoNotFound", "revision": "RevisionNotFound", "entry": "EntryNotFound"}
            return Refusal(404, str(error), codes.get(what), headers=error.facts)
        case Exists():
            return Refusal(409, str(error))
        case Stale():
            return Refusal(412, str(error))
        case Refused() | Damaged():
            return Refusal(400, str(error))
        case ClientDisconnect():
            return Refusal(400, "The client went away")
        case OSError():  # the disk is full, or something else lies where a file should go
            where = f": {error.filename}" if error.filename else ""
            reason = error.strerror or type(error).__name__
            return Refusal(507, f"The local Hub cannot use its directory ({reason}{where})")
        case _:
            log.exception("the local Hub failed to answer", exc_info=error)
            return Refusal(500, "Internal error of the local Hub; its log says more.")
