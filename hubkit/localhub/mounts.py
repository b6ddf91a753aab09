"""Directories that the local Hub serves under the id of a model, as they lie on the disk; it writes none.

A program that loads a model by its id then gets the files of that directory, without a copy and without a
digest of hundreds of megabytes. A mount stands before a repo of the same id, and has one commit, which `main`
means.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub.call import Call, endpoint, reply
from hubkit.localhub.files import GUARD, media_type
from hubkit.localhub.repo import NotThere

Mounts = Mapping[str, tuple[Path, str]]  # id -> directory and commit


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory under the id of a model, at one commit."""

    id: str
    directory: Path
    commit: str

    def paths(self) -> list[str]:
        """Every file below the directory but hidden ones; a link to a file is one, as in a cache."""
        found = []
        for folder, below, names in os.walk(self.directory):
            below[:] = [name for name in below if not name.startswith(".")]
            places = [Path(folder, name) for name in names if not name.startswith(".")]
            found += [place.relative_to(self.directory).as_posix() for place in places if place.is_file()]
        return sorted(found)

    def check(self, call: Call) -> None:
        """Refuse a revision that this is not."""
        revision = call.param("rev") or DEFAULT_BRANCH
        if revision.removeprefix("refs/heads/") not in (DEFAULT_BRANCH, self.commit):
            raise NotThere("revision", f"Invalid rev id: {revision}")

    def resolve(self, call: Call) -> Response:
        """GET or HEAD /ID/resolve/REV/PATH."""
        self.check(call)
        path = call.param("path")
        if path not in self.paths():
            raise NotThere("entry", "Entry not found", {"X-Repo-Commit": self.commit})
        place = self.directory / path
        headers = {**GUARD, "X-Repo-Commit": self.commit, "ETag": f'"{_mark(path, place)}"'}
        return FileResponse(place, headers=headers, media_type=media_type(path))

    def info(self, call: Call) -> Response:
        """GET /api/models/ID, and at a revision."""
        self.check(call)
        date = datetime.fromtimestamp(self.directory.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return reply(
            {
                "_id": hashlib.sha1(self.id.encode()).hexdigest()[:24],
                "id": self.id,
                "modelId": self.id,
                "sha": self.commit,
                "lastModified": date,
                "createdAt": date,
                "private": False,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": path} for path in self.paths()],
            }
        )

    def tree(self, call: Call) -> Response:
        """GET /api/models/ID/tree/REV/PATH: files only, which is what the loaders look for."""
        self.check(call)
        folder = call.param("path").strip("/")
        inside = [path for path in self.paths() if not folder or path.startswith(f"{folder}/")]
        if folder and not inside:
            raise NotThere("entry", f"{folder} does not exist at this revision")
        deep = call.flag("recursive")
        depth = folder.count("/") + 1 if folder else 0
        return reply([self._entry(path) for path in inside if deep or path.count("/") == depth])

    def paths_info(self, call: Call) -> Response:
        """POST /api/models/ID/paths-info/REV."""
        self.check(call)
        if call.request.headers.get("content-type", "").startswith("application/json"):
            asked = call.json().get("paths", [])
        else:
            asked = parse_qs(call.body.decode("utf-8", "replace")).get("paths", [])
        return reply([self._entry(path) for path in self.paths() if path in asked])

    def _entry(self, path: str) -> dict[str, Any]:
        place = self.directory / path
        return {"type": "file", "oid": _mark(path, place), "size": place.stat().st_size, "path": path}


def _mark(path: str, place: Path) -> str:
    """A name for the bytes of a file, without reading them: it changes when the file is written."""
    status = place.stat()
    return hashlib.sha1(f"{path} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()


def routes(mounts: Mounts) -> Iterator[Route]:
    """The addresses of the mounts; they stand before those of the repos."""
    for model_id, (directory, commit) in mounts.items():
        mount = Mount(model_id, directory, commit)
        api = f"/api/models/{model_id}"
        for method, address, function in (
            ("GET", f"/{model_id}/resolve/{{rev}}/{{path:path}}", mount.resolve),
            ("GET", api, mount.info),
            ("GET", f"{api}/revision/{{rev}}", mount.info),
            ("GET", f"{api}/tree/{{rev}}", mount.tree),
            ("GET", f"{api}/tree/{{rev}}/{{path:path}}", mount.tree),
            ("POST", f"{api}/paths-info/{{rev}}", mount.paths_info),
        ):
            yield Route(address, endpoint(function), methods=[method])
