"""The LFS batch protocol: basic and multipart uploads, each checked against its promised digest and size.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md; the multipart form is the Hub's own, as
huggingface_hub/lfs.py drives it: `header` holds the part size and one address a part.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import uuid
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hubkit.hub_rules import FILE_MAX
from hubkit.localhub import quota, xet
from hubkit.localhub.call import Call, Hub, Refusal, reply
from hubkit.localhub.objects import CHUNK
from hubkit.localhub.repo import Repo
from hubkit.localhub.signing import SHA256, checked, signed

MEDIA_TYPE = "application/vnd.git-lfs+json"


def batch(call: Call) -> Response:
    """POST /ID.git/info/lfs/objects/batch: where to send each object that is not here yet."""
    # Whoever may open a pull request may send its files; the commit itself asks for more.
    repo = call.repo()
    sender = call.participant(repo).sender
    wanted = call.json()
    if wanted.get("operation") != "upload":
        raise Refusal(422, "The local Hub serves files by resolve; its batch takes uploads only")
    if wanted.get("hash_algo", "sha256") != "sha256":
        raise Refusal(409, "Large files are named by their sha256 here")
    transfers = wanted.get("transfers") or ["basic"]
    if not isinstance(transfers, list) or not {"basic", "multipart"} & {str(name) for name in transfers}:
        raise Refusal(422, "The local Hub transfers by basic or multipart")
    named = [_named_object(item) for item in call.items("objects")]
    quota.check(call, repo, named, 403)
    answers = []
    for oid, size in named:
        answer: dict[str, Any] = {"oid": oid, "size": size, "authenticated": True}
        if not (has_object(repo, oid) or _came_by_xet(call, repo, oid, sender)):
            answer["actions"] = {
                "upload": _upload_action(call.hub, repo, oid, size, transfers),
                "verify": {
                    "href": f"{call.hub.endpoint}/{repo.id}.git/info/lfs/objects/verify",
                    "header": {},
                },
            }
        answers.append(answer)
    return reply({"transfer": "basic", "objects": answers}, headers={"Content-Type": MEDIA_TYPE})


def _named_object(item: Any) -> tuple[str, int]:
    oid, size = (item.get("oid"), item.get("size")) if isinstance(item, dict) else (None, None)
    known = isinstance(oid, str) and SHA256.fullmatch(oid) is not None
    if not known or isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise Refusal(422, "An object needs an oid (sha256) and a size")
    if size > FILE_MAX:
        raise Refusal(422, f"A file may have {FILE_MAX:,} bytes at most")
    return str(oid), size


def has_object(repo: Repo, oid: str) -> bool:
    """Whether a large file is here and belongs to this repo: it was sent for it, or is in its history.

    Bytes that only another repo has must be sent again: huggingface_hub/hf_api.py (create_commit) duplicates
    large files to a repo before it copies them there.
    """
    if repo.objects.lfs_size(oid) is None:
        return False
    if repo.objects.lent_path(repo.facts["key"], oid).exists():
        return True
    return repo.ever_held(oid)


def _came_by_xet(call: Call, repo: Repo, oid: str, sender: str) -> bool:
    """Whether this user sent it by Xet, and no commit has named it yet: it is this repo's from now on."""
    try:
        return take_in(call, repo, oid, sender)
    except Refusal:  # it is not whole, or its client is at it: it comes again
        return False


def take_in(call: Call, repo: Repo, oid: str, sender: str) -> bool:
    """Make a large file that this user sent by Xet an object of this repo; Refusal where it is damaged."""
    if not call.hub.xet or not xet.receive(call.hub, oid, sender):
        return False
    repo.objects.lend(repo.facts["key"], oid)
    return True


def _upload_action(hub: Hub, repo: Repo, oid: str, size: int, transfers: list[str]) -> dict[str, Any]:
    origin, key = hub.storage or hub.endpoint, repo.facts["key"]
    if size <= hub.part_size or "multipart" not in transfers:
        return {"href": signed(hub, origin, "put", oid, size, key), "header": {}}
    parts = math.ceil(size / hub.part_size)
    header = {f"{n:05d}": signed(hub, origin, f"part/{n}", oid, size) for n in range(1, parts + 1)}
    return {
        "href": signed(hub, hub.endpoint, "complete", oid, size, key),
        "header": {"chunk_size": str(hub.part_size), **header},
    }


async def put(call: Call) -> Response:
    """PUT of a whole object."""
    oid, size = checked(call, "put")
    objects = call.store.objects
    with objects.incoming() as new:
        async for chunk in call.request.stream():
            if new.size + len(chunk) > size:
                raise Refusal(400, f"more than the {size} bytes that were announced")
            await run_in_threadpool(new.write, chunk)
        await run_in_threadpool(objects.keep, new, oid, size)
    objects.lend(call.query("repo"), oid)
    return Response()


def _parts_folder(call: Call, oid: str) -> Path:
    return call.store.objects.scratch / f"parts-{oid}"


async def put_part(call: Call) -> Response:
    """PUT of one part; its ETag comes back in the completion."""
    number = call.param("number")
    oid, size = checked(call, f"part/{number}")
    start = (int(number) - 1) * call.hub.part_size
    expected = min(call.hub.part_size, size - start)
    folder = _parts_folder(call, oid)
    folder.mkdir(exist_ok=True)
    digest = hashlib.md5(usedforsecurity=False)
    new = folder / uuid.uuid4().hex
    written = 0
    try:
        with new.open("wb") as file:
            async for chunk in call.request.stream():
                digest.update(chunk)
                written += len(chunk)
                if written > expected:
                    break
                await run_in_threadpool(file.write, chunk)
        if written != expected:
            raise Refusal(400, f"part {number} must have {expected} bytes")
        new.replace(folder / number)
    finally:
        new.unlink(missing_ok=True)
    (folder / f"{number}.etag").write_text(digest.hexdigest())
    return Response(headers={"ETag": f'"{digest.hexdigest()}"'})


def complete(call: Call) -> Response:
    """POST that joins the parts."""
    oid, size = checked(call, "complete")
    folder, objects = _parts_folder(call, oid), call.store.objects
    count = math.ceil(size / call.hub.part_size)
    named = {str(p.get("partNumber")): str(p.get("etag")).strip('"') for p in call.items("parts")}
    for number in range(1, count + 1):
        known = folder / f"{number}.etag"
        if not known.exists() or named.get(str(number)) != known.read_text():
            raise Refusal(400, f"part {number} of {count} is missing or not the one that was sent")
    with objects.incoming() as new:
        for number in range(1, count + 1):
            with (folder / str(number)).open("rb") as part:
                while chunk := part.read(CHUNK):
                    new.write(chunk)
        objects.keep(new, oid, size)
    objects.lend(call.query("repo"), oid)
    shutil.rmtree(folder, ignore_errors=True)
    return reply({})


def verify(call: Call) -> Response:
    """POST /ID.git/info/lfs/objects/verify."""
    repo = call.repo()
    call.participant(repo)
    oid, size = _named_object(call.json())
    if not has_object(repo, oid) or call.store.objects.lfs_size(oid) != size:
        raise Refusal(404, "The object is not here, or not of that size")
    return reply({})
