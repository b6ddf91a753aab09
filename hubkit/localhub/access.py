"""Who may have the files of a gated repo: those whom its owner let in."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hubkit.localhub.call import Call, Refusal, reply
from hubkit.localhub.tokens import key_of


def grant(call: Call) -> Response:
    """POST /api/models/ID/user-access-request/grant."""
    repo, user = call.repo(write=True), call.text("user")
    with repo.lock:
        granted = repo.facts.get("granted", [])
        if user in granted:
            raise Refusal(400, f"{user} already has access")
        repo.update(granted=[*granted, user])
    return reply({})


def handle(call: Call) -> Response:
    """POST /api/models/ID/user-access-request/handle: here, to take an access back."""
    repo, user = call.repo(write=True), call.text("user")
    with repo.lock:
        granted = repo.facts.get("granted", [])
        if user not in granted or call.text("status") == "accepted":
            raise Refusal(404, f"No access request of {user} to be handled so")
        repo.update(granted=[name for name in granted if name != user])
    return reply({})


def listing(call: Call) -> Response:
    """GET /api/models/ID/user-access-request/STATUS: whoever is let in was accepted; nobody waits here."""
    repo = call.repo(write=True)
    accepted = repo.facts.get("granted", []) if call.param("status") == "accepted" else []
    return reply([_request(name, repo.facts["created"]) for name in accepted])


def _request(name: str, date: str) -> dict[str, Any]:
    user = {"_id": key_of(name), "user": name, "fullname": name, "type": "user", "avatarUrl": "/mark.svg"}
    return {
        "requestId": key_of(f"request {name}"),
        "user": user,
        "status": "accepted",
        "timestamp": date,
        "grantedBy": None,
    }
