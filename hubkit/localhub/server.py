"""The local Hub as an ASGI application: which address goes to which endpoint, and what guards them all."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hubkit.localhub import (
    access,
    api,
    collections,
    commits,
    community,
    files,
    insight,
    lfs,
    models,
    mounts,
    oidc,
    page,
    tokens,
    xet,
)
from hubkit.localhub.call import Call, Hub, Refusal, endpoint, refusal_reply, streaming

REPO = "/{user}/{name}"
MODEL = "/api/models" + REPO
DISCUSSION = MODEL + "/discussions/{num}"
COLLECTION = "/api/collections/{namespace}/{slug}"
LFS = REPO + ".git/info/lfs/objects"

# method, address, function; the revision of an address arrives as one part, its slashes escaped.
API: list[tuple[str, str, Callable[[Call], Response]]] = [
    ("GET", "/api/whoami-v2", tokens.whoami),
    ("POST", "/oauth/token", oidc.exchange),
    ("POST", "/api/validate-yaml", api.validate_yaml),
    ("POST", "/api/repos/create", api.create_repo),
    ("DELETE", "/api/repos/delete", api.delete_repo),
    ("POST", "/api/repos/move", api.move_repo),
    ("GET", "/api/models", models.list_models),
    ("GET", "/api/models-tags-by-type", models.tags_by_type),
    ("GET", MODEL, models.info),
    ("GET", MODEL + "/revision/{rev}", models.info),
    ("GET", MODEL + "/compare/{compare}", insight.compare),
    ("GET", MODEL + "/scan", insight.scan),
    ("GET", MODEL + "/lfs-files", insight.lfs_files),
    ("PUT", MODEL + "/settings", api.settings),
    ("GET", MODEL + "/auth-check", api.auth_check),
    ("GET", MODEL + "/auth-check/write", api.auth_check),
    ("GET", MODEL + "/user-access-request/{status}", access.listing),
    ("POST", MODEL + "/user-access-request/grant", access.grant),
    ("POST", MODEL + "/user-access-request/handle", access.handle),
    ("POST", MODEL + "/user-access-request/cancel", access.cancel),
    ("POST", REPO + "/ask-access", access.ask),
    ("GET", REPO + "/user-access-report", access.report),
    ("GET", MODEL + "/refs", api.refs),
    ("GET", MODEL + "/commits/{rev}", api.commits),
    ("GET", MODEL + "/tree/{rev}", api.tree),
    ("GET", MODEL + "/tree/{rev}/{path:path}", api.tree),
    ("POST", MODEL + "/paths-info/{rev}", api.paths_info),
    ("POST", MODEL + "/branch/{branch}", api.create_branch),
    ("DELETE", MODEL + "/branch/{branch}", api.delete_branch),
    ("POST", MODEL + "/tag/{rev}", api.create_tag),
    ("DELETE", MODEL + "/tag/{rev}", api.delete_tag),
    ("POST", MODEL + "/super-squash/{rev}", api.squash),
    ("POST", MODEL + "/preupload/{rev}", commits.preupload),
    ("GET", MODEL + "/xet-{kind}-token/{rev}", xet.token),
    ("GET", "/api/resolve-cache/models" + REPO + "/{rev}/{path:path}", files.resolve),
    ("GET", MODEL + "/discussions", community.listing),
    ("POST", MODEL + "/discussions", community.create),
    ("GET", DISCUSSION, community.details),
    ("POST", DISCUSSION + "/{action}", community.change),
    ("POST", DISCUSSION + "/comment/{comment}/{action}", community.change_comment),
    ("GET", "/api/collections", collections.listing),
    ("POST", "/api/collections", collections.create),
    ("GET", COLLECTION, collections.details),
    ("PATCH", COLLECTION, collections.update),
    ("DELETE", COLLECTION, collections.delete),
    ("POST", COLLECTION + "/items", collections.add_item),
    ("POST", COLLECTION + "/items/batch", collections.update_items),
    ("PATCH", COLLECTION + "/items/{item}", collections.update_item),
    ("DELETE", COLLECTION + "/items/{item}", collections.delete_item),
    ("POST", LFS + "/batch", lfs.batch),
    ("POST", LFS + "/verify", lfs.verify),
    ("POST", "/api/lfs/{oid}/complete", lfs.complete),
]

STREAMS: list[tuple[str, str, Callable[[Call], Awaitable[Response]]]] = [
    ("POST", MODEL + "/commit/{rev}", commits.commit),
    ("PUT", "/api/lfs/{oid}/put", lfs.put),
    ("PUT", "/api/lfs/{oid}/part/{number}", lfs.put_part),
]

# What a browser may also ask for, with the cookie that the page's form sets.
BROWSER: list[tuple[str, str, Callable[[Call], Response]]] = [
    ("GET", REPO + "/resolve/{rev}/{path:path}", files.resolve),
    ("GET", REPO + "/raw/{rev}/{path:path}", files.raw),
    *page.ROUTES,
]


def _unknown(call: Call) -> Response:
    """What the real Hub may answer and this one does not."""
    raise Refusal(404, f"The local Hub does not answer {call.request.method} {call.request.scope['path']}")


def _no_such_repo(call: Call) -> Response:
    """Models without a namespace, datasets and Spaces: none of them is here, and the client asks for them."""
    parts = call.request.scope["path"].split("/")
    if parts[:3] == ["", "api", "models"] and len(parts) > 4 and call.find_repo("/".join(parts[3:5])):
        return _unknown(call)
    raise Refusal(404 if call.token else 401, "Repository not found", "RepoNotFound")


def _routes(mounted: mounts.Mounts) -> Iterator[Route]:
    yield from mounts.routes(mounted)
    for method, address, function in API:
        yield Route(address, endpoint(function), methods=[method])
    for method, address, stream in STREAMS:
        yield Route(address, streaming(stream), methods=[method])
    for kind in ("models", "datasets", "spaces"):
        yield Route(
            f"/api/{kind}/{{rest:path}}", endpoint(_no_such_repo), methods=["GET", "POST", "PUT", "DELETE"]
        )
    yield Route("/api/{rest:path}", endpoint(_unknown), methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    for method, address, function in BROWSER:
        yield Route(address, endpoint(function, from_browser=True), methods=[method])
    for address in ("/{name}/resolve/{rest:path}", "/{kind}/{user}/{name}/resolve/{rest:path}"):
        yield Route(address, endpoint(_no_such_repo), methods=["GET"])


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return refusal_reply(
        Refusal(status, "The local Hub has no such address" if status == 404 else str(error))
    )


class Guard:
    """Checks every request before the application sees it, and gives it the address as it was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if not re.fullmatch(r"(127\.0\.0\.1|localhost)(:\d+)?", host):
            # Another name for this address is how a foreign web page would reach it.
            await refusal_reply(Refusal(403, "The local Hub answers on 127.0.0.1 only"))(scope, receive, send)
            return
        # Routes see the address as it was sent: a slash inside a revision or a path is %2F there.
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1").split("?")[0]
        scope["path"] = re.sub(r"/refs/pr/(\d+)", r"/refs%2Fpr%2F\1", path)
        await self.app(scope, receive, send)


def application(hub: Hub) -> ASGIApp:
    """The application that answers for a Hub."""
    app = Starlette(routes=list(_routes(hub.mounts)), exception_handlers={HTTPException: _refused})
    app.state.hub = hub
    app.router.redirect_slashes = False
    return Guard(app)
