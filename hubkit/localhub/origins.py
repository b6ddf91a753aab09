"""The storage's own origin, an application beside the Hub's: the port that a request came to decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hubkit.localhub import lfs, storage
from hubkit.localhub.call import Call, Hub, endpoint, streaming
from hubkit.localhub.server import Guard


def _without_token(function: Callable[[Call], Response]) -> Callable[[Call], Response]:
    def answer(call: Call) -> Response:
        storage.refuse_token(call)
        return function(call)

    return answer


def _stream_without_token(
    function: Callable[[Call], Awaitable[Response]],
) -> Callable[[Call], Awaitable[Response]]:
    async def answer(call: Call) -> Response:
        storage.refuse_token(call)
        return await function(call)

    return answer


def storage_application(hub: Hub) -> ASGIApp:
    """The application that answers at the storage's origin."""
    routes = [
        Route("/api/lfs/{oid}/get", endpoint(_without_token(storage.get)), methods=["GET"]),
        Route("/api/lfs/{oid}/put", streaming(_stream_without_token(lfs.put)), methods=["PUT"]),
        Route(
            "/api/lfs/{oid}/part/{number}", streaming(_stream_without_token(lfs.put_part)), methods=["PUT"]
        ),
    ]
    app = Starlette(routes=routes)
    app.state.hub = hub
    app.router.redirect_slashes = False
    return Guard(app)


def by_port(app: ASGIApp, other: ASGIApp, port: int) -> ASGIApp:
    """One application for two ports."""

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        there = (scope.get("server") or (None, None))[1] == port
        await (other if there else app)(scope, receive, send)

    return chosen
