"""Where large files lie: with a storage of its own, another origin that takes signed addresses and no token.

The Hub sends a client there by a 302 whose headers say what the file is, so the client need not ask twice.
"""

from __future__ import annotations

from starlette.responses import FileResponse, Response

from hubkit.localhub.call import Call, Refusal
from hubkit.localhub.objects import File
from hubkit.localhub.signing import checked, signed


def redirect(call: Call, file: File, headers: dict[str, str]) -> Response | None:
    """The way to a large file's bytes, when they lie at another origin."""
    if not call.hub.storage or not file.sha256:
        return None
    told = {
        name: value for name, value in headers.items() if name != "ETag"
    }  # that of the storage is another
    address = signed(call.hub, call.hub.storage, "get", file.sha256, file.size)
    return Response("Found. Redirecting to the storage.", 302, {**told, "Location": address})


def get(call: Call) -> Response:
    """GET or HEAD of an object at the storage, whole or in ranges."""
    oid, size = checked(call, "get")
    place = call.store.objects.lfs_path(oid)
    if call.store.objects.lfs_size(oid) != size:
        raise Refusal(404, "The object is not here")
    return FileResponse(place, headers={"ETag": f'"{oid}"'}, media_type="application/octet-stream")


def refuse_token(call: Call) -> None:
    """Refuse a request with an Authorization header, as S3 does where the address is signed already."""
    if "authorization" in call.request.headers:
        raise Refusal(
            400, "Only one way to authenticate is allowed: the signature of the address or a header"
        )
