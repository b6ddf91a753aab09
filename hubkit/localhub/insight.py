"""What the Hub tells of a repo beside its files: the difference between two revisions, scans, large files."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hubkit.localhub.call import Call, Refusal, reply
from hubkit.localhub.history import changes_between, file_diff
from hubkit.localhub.objects import File
from hubkit.localhub.paging import page_of, page_size
from hubkit.localhub.repo import Repo

LFS_PAGE = 1000
_NOTHING = "0" * 40


def compare(call: Call) -> Response:
    """GET /api/models/ID/compare/A..B: the unified diff, or with `raw` the lines of git's `--raw`."""
    repo = call.repo()
    call.check_content(repo)
    revisions = call.param("compare").replace("...", "..").split("..")
    if len(revisions) != 2 or not all(revisions):
        raise Refusal(400, "Compare two revisions, written A..B")
    before, after = (repo.tree(repo.resolve(revision)) for revision in revisions)
    changes = changes_between(before, after).items()
    if call.flag("raw"):
        lines = [_raw_line(path, old, new) for path, (old, new) in changes]
    else:
        lines = [line for path, (old, new) in changes for line in _diff(repo, path, old, new)]
    return Response("".join(lines), media_type="text/plain")


def _raw_line(path: str, old: File | None, new: File | None) -> str:
    status = "A" if old is None else "D" if new is None else "M"
    modes = [f"{'100644' if file else '000000'}" for file in (old, new)]
    ids = [file.oid if file else _NOTHING for file in (old, new)]
    return f":{' '.join(modes)} {' '.join(ids)} {status}\t{path}\n"


def _diff(repo: Repo, path: str, old: File | None, new: File | None) -> list[str]:
    return [f"diff --git a/{path} b/{path}\n", *file_diff(repo, path, old, new)]


def scan(call: Call) -> Response:
    """GET /api/models/ID/scan: nothing was scanned here, and so it says."""
    call.repo()
    return reply({"scansDone": False, "filesWithIssues": []})


def lfs_files(call: Call) -> Response:
    """GET /api/models/ID/lfs-files: every large file that a branch, tag or pull request ever held."""
    repo = call.repo(write=True)
    found: dict[str, dict[str, Any]] = {}
    for kind in ("heads", "tags", "pr"):
        for name, head in repo.refs(kind).items():
            for entry in _in_history(repo, head, f"refs/{kind}/{name}"):
                known = found.setdefault(entry["fileOid"], entry)
                if entry["pushedAt"] < known["pushedAt"]:
                    found[entry["fileOid"]] = entry
    listed = sorted(found.values(), key=lambda entry: (entry["pushedAt"], entry["filename"]), reverse=True)
    return page_of(call, listed, page_size(call, LFS_PAGE, LFS_PAGE))


def _in_history(repo: Repo, head: str, ref: str) -> list[dict[str, Any]]:
    return [
        {
            "fileOid": file.sha256,
            "oid": file.sha256,
            "filename": path,
            "pushedAt": commit.date,
            "ref": ref,
            "size": file.size,
        }
        for commit in repo.history(head)
        for path, file in repo.tree(commit.oid).items()
        if file.sha256
    ]
