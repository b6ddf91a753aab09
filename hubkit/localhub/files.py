"""The files of a repo by address: `resolve` as the client downloads them, `raw` as git has them."""

from __future__ import annotations

from mimetypes import guess_type

from starlette.responses import FileResponse, Response

from hubkit.localhub import storage
from hubkit.localhub.call import Call
from hubkit.localhub.objects import File, lfs_pointer
from hubkit.localhub.repo import NotThere

# A file of a repo is somebody's upload: as a page of this origin it may run nothing and load nothing.
GUARD = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


def media_type(path: str) -> str:
    """What a browser is told that a file is."""
    kind = guess_type(path)[0] or ""
    if kind.startswith(("image/", "audio/", "video/")):
        return kind
    if (
        kind.startswith("text/")
        or kind == "application/json"
        or path.endswith((".md", ".yaml", ".yml", ".jinja"))
    ):
        return "text/plain; charset=utf-8"
    return "application/octet-stream"


def _headers(oid: str, file: File, path: str) -> dict[str, str]:
    """What the client reads off a HEAD: the commit, the digest to cache by, the size."""
    headers = {**GUARD, "X-Repo-Commit": oid, "ETag": f'"{file.oid}"'}
    if media_type(path) == "image/svg+xml":
        # In a card it is a picture. By itself it would be a document, and a browser connects to the machine
        # that a frame in it names before the policy forbids the frame.
        headers["Content-Disposition"] = "attachment"
    if file.sha256:
        headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    return headers


def resolve(call: Call) -> Response:
    """GET or HEAD /ID/resolve/REV/PATH."""
    repo = call.repo()
    call.check_content(repo)
    oid, path = call.oid(repo), call.param("path")
    try:
        file = repo.file(oid, path)
    except NotThere as error:
        # The client remembers for this commit that the file is not there.
        raise NotThere(error.what, str(error), {"X-Repo-Commit": oid}) from None
    name = path.rsplit("/", 1)[-1] if call.flag("download") else None
    place, headers = repo.objects.path(file), _headers(oid, file, path)
    if headers["ETag"] in call.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return storage.redirect(call, file, headers) or FileResponse(
        place, headers=headers, media_type=media_type(path), filename=name
    )


def raw(call: Call) -> Response:
    """GET /ID/raw/REV/PATH: an LFS file is its pointer here."""
    repo = call.repo()
    call.check_content(repo)
    oid, path = call.oid(repo), call.param("path")
    file = repo.file(oid, path)
    if file.sha256:
        return Response(lfs_pointer(file.sha256, file.size), headers=GUARD, media_type="text/plain")
    return FileResponse(
        repo.objects.path(file), headers=_headers(oid, file, path), media_type=media_type(path)
    )
