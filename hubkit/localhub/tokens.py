"""What the Hub tells of the caller: user, organizations, and what the token may do."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from hubkit.localhub.auth import OIDC_USER, Scope, Token
from hubkit.localhub.call import Call, Refusal, reply
from hubkit.localhub.repo import now


def key_of(name: str) -> str:
    """The id of a user, an organization or a repo, as the Hub writes ids."""
    return hashlib.sha1(name.encode()).hexdigest()[:24]


def person(name: str) -> dict[str, Any]:
    """A user as the Hub describes one beside what they wrote."""
    marks = dict.fromkeys(("isPro", "isHf", "isHfAdmin", "isMod", "isEnterprise"), False)
    about = {"_id": key_of(name), "avatarUrl": "/mark.svg"}
    return {"name": name, "fullname": name, "type": "user", **about, **marks}


def _organization(name: str) -> dict[str, Any]:
    about = {"type": "org", "id": key_of(name), "name": name, "fullname": name, "avatarUrl": "/mark.svg"}
    return {**about, "isEnterprise": False, "roleInOrg": "write"}


def _scope(token: Token, scope: Scope) -> dict[str, Any]:
    kind = "model" if "/" in scope.entity else "org" if scope.entity in token.organizations else "user"
    entity = {"_id": key_of(scope.entity), "type": kind, "name": scope.entity}
    return {"entity": entity, "permissions": list(scope.permissions)}


def whoami(call: Call) -> Response:
    """GET /api/whoami-v2."""
    token = call.user()
    if token.user == OIDC_USER:  # it is the token of a job, and no user's
        raise Refusal(401, "Invalid username or password.")
    access: dict[str, Any] = {"displayName": token.name, "role": token.role, "createdAt": now()}
    if token.role == "fineGrained":
        access["fineGrained"] = {
            "canReadGatedRepos": token.reads_gated,
            "global": list(token.everywhere),
            "scoped": [_scope(token, scope) for scope in token.scopes],
        }
    auth: dict[str, Any] = {"type": "access_token", "accessToken": access}
    if token.expires:
        auth["expiresAt"] = datetime.fromtimestamp(token.expires, UTC).isoformat().replace("+00:00", "Z")
    return reply(
        {
            "type": "user",
            "id": key_of(token.user),
            "name": token.user,
            "fullname": token.user,
            "isPro": False,
            "avatarUrl": "/mark.svg",
            "orgs": [_organization(name) for name in token.organizations],
            "auth": auth,
        }
    )
