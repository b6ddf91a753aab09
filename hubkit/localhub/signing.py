"""Addresses that carry their own permission: a client sends no token to where it uploads and downloads."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from urllib.parse import urlencode

from hubkit.localhub.call import Call, Hub, Refusal

LIFETIME = 24 * 3600
SHA256 = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,15}")


def _signature(hub: Hub, action: str, oid: str, size: int, until: int, repo: str) -> str:
    text = f"{action} {oid} {size} {until} {repo}".encode()
    return hmac.new(hub.upload_key, text, hashlib.sha256).hexdigest()


def signed(hub: Hub, origin: str, action: str, oid: str, size: int, repo: str = "") -> str:
    """The address at which something may be done with an object of a repo, for a day."""
    until = int(time.time()) + LIFETIME
    signature = _signature(hub, action, oid, size, until, repo)
    query = {"size": size, "until": until, "repo": repo, "signature": signature}
    return f"{origin}/api/lfs/{oid}/{action}?{urlencode(query)}"


def checked(call: Call, action: str) -> tuple[str, int]:
    """The object that a signed address means, and its size."""
    oid = call.param("oid")
    size, until = call.query("size"), call.query("until")
    if not (_NUMBER.fullmatch(size) and _NUMBER.fullmatch(until) and SHA256.fullmatch(oid)):
        raise Refusal(403, "The address is not signed")
    signature = _signature(call.hub, action, oid, int(size), int(until), call.query("repo"))
    if (
        not hmac.compare_digest(signature.encode(), call.query("signature").encode())
        or int(until) < time.time()
    ):
        raise Refusal(403, "The address is not signed or its time is over")
    return oid, int(size)
