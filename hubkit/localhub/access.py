"""Who may have the files of a gated repo: those whose request its owner, or the repo itself, accepted.

https://huggingface.co/docs/hub/models-gated; the answers are those that huggingface_hub/hf_api.py reads
(list_pending_access_requests, accept_access_request, grant_access and their like).
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hubkit.localhub.call import Call, Refusal, reply
from hubkit.localhub.paging import page_of, page_size
from hubkit.localhub.repo import Repo, now
from hubkit.localhub.tokens import key_of, person

STATUSES = ("pending", "accepted", "rejected")
PAGE = 1000


def ask(call: Call) -> Response:
    """POST /ID/ask-access: the caller asks for the files; `auto` gives them at once."""
    repo, user = call.repo(), call.user().user
    gated = repo.facts["gated"]
    if not gated:
        raise Refusal(400, "This repo is not gated")
    with repo.lock:
        if user in _requests(repo):
            raise Refusal(400, f"{user} has asked for access already")
        _write(repo, user, "accepted" if gated == "auto" else "pending", None)
    return reply({})


def cancel(call: Call) -> Response:
    """POST /api/models/ID/user-access-request/cancel: the caller takes the own request back."""
    repo, user = call.repo(), call.user().user
    with repo.lock:
        requests = _requests(repo)
        if requests.get(user, {}).get("status") != "pending":
            raise Refusal(404, f"No pending access request of {user}")
        _keep(repo, {name: request for name, request in requests.items() if name != user})
    return reply({})


def grant(call: Call) -> Response:
    """POST /api/models/ID/user-access-request/grant: in without having asked."""
    repo = call.repo(write=True)
    with repo.lock:
        user = _named(call, repo)
        if not repo.facts["gated"]:
            raise Refusal(400, "This repo is not gated")
        if _requests(repo).get(user, {}).get("status") == "accepted":
            raise Refusal(400, f"{user} already has access")
        _write(repo, user, "accepted", call.user().user)
    return reply({})


def handle(call: Call) -> Response:
    """POST /api/models/ID/user-access-request/handle: accept, reject, or take back to the pending ones."""
    repo, status = call.repo(write=True), call.text("status")
    if status not in STATUSES:
        raise Refusal(400, f'"status" must be one of {", ".join(STATUSES)}')
    with repo.lock:
        user = _named(call, repo)
        found = _requests(repo).get(user)
        if found is None or found["status"] == status:
            raise Refusal(404, f"No access request of {user} to be handled so")
        _write(repo, user, status, call.user().user)
    return reply({})


def _named(call: Call, repo: Repo) -> str:
    """Whom the body means: by name, by the user's id, or by the request's."""
    wanted = call.json()
    if isinstance(wanted.get("user"), str):
        return str(wanted["user"])
    ids = {wanted.get("userId"), wanted.get("requestId")} - {None}
    for user in _requests(repo):
        if {key_of(user), _request_id(repo, user)} & {str(one) for one in ids}:
            return user
    raise Refusal(404 if ids else 400, '"user", "userId" or "requestId" must name whom this is about')


def listing(call: Call) -> Response:
    """GET /api/models/ID/user-access-request/STATUS."""
    repo, status = call.repo(write=True), call.param("status")
    if status not in STATUSES:
        raise Refusal(404, f"There are no {status!r} access requests")
    told = [_told(repo, user, found) for user, found in _requests(repo).items() if found["status"] == status]
    return page_of(call, told, page_size(call, PAGE, PAGE))


def report(call: Call) -> Response:
    """GET /ID/user-access-report: every request as a line of CSV; a name holds no comma and no quote."""
    repo = call.repo(write=True)
    lines = ["user,status,time", *(f"{u},{r['status']},{r['date']}" for u, r in _requests(repo).items())]
    return Response("".join(f"{line}\n" for line in lines), media_type="text/csv")


def _requests(repo: Repo) -> dict[str, dict[str, Any]]:
    return dict(repo.facts.get("requests", {}))


def _keep(repo: Repo, requests: dict[str, dict[str, Any]]) -> None:
    """Write the requests, and beside them who may have the files."""
    repo.update(requests=requests, granted=[u for u, r in requests.items() if r["status"] == "accepted"])


def _write(repo: Repo, user: str, status: str, by: str | None) -> None:
    _keep(repo, _requests(repo) | {user: {"status": status, "date": now(), "by": by}})


def _request_id(repo: Repo, user: str) -> str:
    return key_of(f"{repo.facts['key']} {user}")


def _told(repo: Repo, user: str, found: dict[str, Any]) -> dict[str, Any]:
    request = {"requestId": _request_id(repo, user), "status": found["status"], "timestamp": found["date"]}
    by = {"grantedBy": _profile(found["by"])} if found["by"] else {}
    return {**request, **by, "user": _profile(user)}


def _profile(name: str) -> dict[str, Any]:
    return {**person(name), "user": name}
