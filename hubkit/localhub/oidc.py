"""Trusted Publishers: an identity token of a CI job becomes a short-lived token for one repo.

https://huggingface.co/docs/hub/trusted-publishers, and RFC 8693. The issuer's keys are fetched from its own
address, signature, audience, lifetime and claims are checked, and a refusal never says which check failed.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
import urllib.request
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from hubkit.hub_rules import is_repo_id
from hubkit.localhub.auth import OIDC_USER, Publisher, Scope, Token
from hubkit.localhub.call import Call, Refusal, log, reply
from hubkit.localhub.repo import NotThere

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
LIFETIME = 3600
ALGORITHMS = ("RS256", "ES256")
KEYS_MAX = 100_000


def exchange(call: Call) -> Response:
    """POST /oauth/token."""
    asked = _asked(call)
    if asked.get("grant_type") != GRANT or asked.get("subject_token_type") != ID_TOKEN:
        raise _refused("invalid_request", "Only the exchange of an id token is known here")
    resource, identity = asked.get("resource"), asked.get("subject_token")
    if not isinstance(identity, str) or not isinstance(resource, str) or not is_repo_id(resource):
        raise _refused("invalid_request", '"subject_token" and "resource" are required')
    try:
        publisher, claims = _trusted(call, resource, identity)
    except Exception as error:
        log.info("an exchange for %s was refused: %s: %s", resource, type(error).__name__, error)
        raise _refused("invalid_grant", "No trusted publisher of this resource matches the token") from None
    return reply(_mint(call, publisher, str(claims.get("sub"))), headers={"Cache-Control": "no-store"})


def _asked(call: Call) -> dict[str, Any]:
    if call.request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(call.body.decode("utf-8", "replace")))
    return call.json()


def _refused(code: str, why: str) -> Refusal:
    return Refusal(400, why, body={"error": code, "error_description": why})


def _trusted(call: Call, resource: str, identity: str) -> tuple[Publisher, dict[str, Any]]:
    """The publisher that a token is of; an exception of any kind when it is of none."""
    import jwt  # only where publishers were named

    if "/" in resource:
        call.store.repo(resource)
    issuer = jwt.decode(identity, options={"verify_signature": False}).get("iss")
    for publisher in call.hub.publishers:
        if (publisher.resource, publisher.issuer) == (resource, issuer):
            claims = _verified(identity, publisher.issuer, call.hub.endpoint)
            if all(claims.get(name) == value for name, value in publisher.claims.items()):
                return publisher, claims
    raise NotThere("publisher", f"no publisher of {resource} by {issuer} with these claims")


def _verified(identity: str, issuer: str, audience: str) -> dict[str, Any]:
    import jwt

    key_id = jwt.get_unverified_header(identity).get("kid")
    keys = jwt.PyJWKSet.from_dict(_fetch(_fetch(f"{issuer}/.well-known/openid-configuration")["jwks_uri"]))
    needed = {"require": ["iss", "sub", "aud", "exp", "iat"]}
    claims: dict[str, Any] = jwt.decode(
        identity, keys[key_id], list(ALGORITHMS), audience=audience, issuer=issuer, options=needed
    )
    return claims


def _fetch(address: str) -> dict[str, Any]:
    # No proxy of the environment stands between this machine and itself; a real Hub's issuers are elsewhere.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.closing(direct.open(address, timeout=5)) as answer:
        return dict(json.loads(answer.read(KEYS_MAX)))


def _mint(call: Call, publisher: Publisher, subject: str) -> dict[str, Any]:
    """A token for the resource, kept until its time is over."""
    now, resource = time.time(), publisher.resource
    for secret in [known for known, token in list(call.hub.minted.items()) if token.expired]:
        call.hub.minted.pop(secret, None)  # another exchange may be at it
    kind, user, scopes = "hf_oauth_", resource, tuple[Scope, ...]()
    if "/" in resource:
        kind, user = "hf_jwt_", OIDC_USER
        scopes = (Scope(resource, ("repo.content.read", "repo.write")),)
    secret = kind + secrets.token_urlsafe(32)
    name = f"{publisher.issuer} {subject}"
    call.hub.minted[secret] = Token(user, "fineGrained", (), scopes, expires=now + LIFETIME, name=name)
    return {
        "access_token": secret,
        "token_type": "bearer",
        "expires_in": LIFETIME,
        "issued_token_type": ACCESS_TOKEN,
    }
