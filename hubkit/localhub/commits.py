"""Commits over HTTP: which files go by LFS, and the commit itself, read line by line as it comes."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hubkit.hub_rules import (
    DEFAULT_BRANCH,
    FILE_MAX,
    FILES_PER_FOLDER_MAX,
    REGULAR_FILE_MAX,
    SHORT_OID_PATTERN,
    is_large,
)
from hubkit.localhub import quota
from hubkit.localhub.auth import Token
from hubkit.localhub.call import Call, Refusal, read_json, reply
from hubkit.localhub.card import CARD_MAX, parse_card
from hubkit.localhub.community import note_commit, open_pull_request, writable
from hubkit.localhub.gitfiles import ATTRIBUTES, IGNORE, is_ignored, is_tracked, track
from hubkit.localhub.lfs import has_object, take_in
from hubkit.localhub.objects import File, lfs_file
from hubkit.localhub.repo import NotThere, Repo, Tree, check_path

_SHA256 = re.compile(r"[0-9a-f]{64}")
LINE_MAX = REGULAR_FILE_MAX * 4 // 3 + 65_536
OPERATIONS_MAX = 50_000  # of one commit, as they are held until the last has come; the Hub advises 100 files

Change = Callable[[Tree], None]


def preupload(call: Call) -> Response:
    """POST /api/models/ID/preupload/REV: how each file is to be sent, and what of it is there already."""
    repo = writable(call)
    oid = call.oid(repo)
    tree = repo.tree(oid)
    attributes, ignore = (
        call.text(key, text_of(repo, tree, path))
        for key, path in (("gitAttributes", ATTRIBUTES), ("gitIgnore", IGNORE))
    )
    answers = []
    for item in call.items("files"):
        path, size = check_path(item.get("path")), item.get("size")
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0 <= size <= FILE_MAX:
            raise Refusal(400, f'"size" of {path} must be a number of bytes, {FILE_MAX:,} at most')
        # The client sends empty files as regular ones whatever it is told.
        lfs = size > 0 and (
            is_tracked(attributes, path) or is_large(int(size), _decoded(item.get("sample", "")))
        )
        answer: dict[str, Any] = {
            "path": path,
            "uploadMode": "lfs" if lfs else "regular",
            "shouldIgnore": is_ignored(ignore, path),
        }
        if path in tree:
            answer["oid"] = tree[path].digest
        answers.append(answer)
    return reply({"files": answers, "commitOid": oid})


def text_of(repo: Repo, tree: Tree, path: str) -> str:
    """A small text file of a commit, empty when there is none."""
    file = tree.get(path)
    if file is None or file.sha256 or file.size > CARD_MAX:
        return ""
    return repo.objects.path(file).read_text(encoding="utf-8", errors="replace")


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, AttributeError):
        raise Refusal(400, "The content is not base64") from None


@dataclass(slots=True)
class Plan:
    """A commit as far as it has been read."""

    call: Call
    repo: Repo
    header: dict[str, Any] | None = None
    changes: list[Change] = field(default_factory=list)
    card: bytes | None = None
    large: dict[str, int] = field(default_factory=dict)  # the large files that it adds, and their sizes
    tracked: list[str] = field(default_factory=list)  # their paths

    def read(self, line: bytes) -> None:
        """Take in one line; the header comes first (huggingface_hub/_commit_api.py)."""
        item = read_json(line)
        key, value = (item.get("key"), item.get("value")) if isinstance(item, dict) else (None, None)
        if not isinstance(key, str) or not isinstance(value, dict):
            raise Refusal(400, "A line of the commit is not of the form {key, value}")
        if (key == "header") != (self.header is None):
            raise Refusal(400, "A commit has one header, and it is the first line")
        if key == "header":
            self.header = value
            return
        if len(self.changes) >= OPERATIONS_MAX:
            raise Refusal(413, f"A commit may change {OPERATIONS_MAX:,} files at most")
        given = value.get("path")
        if key == "deletedFolder" and isinstance(given, str):
            given = given.removesuffix("/")
        path = check_path(given)
        if key == "file":
            self._add(path, self._regular(path, value))
        elif key == "lfsFile":
            self._add(path, self._large(path, value))
        elif key == "deletedFile":
            self.changes.append(lambda tree: _delete_file(tree, path))
        elif key == "deletedFolder":
            self.changes.append(lambda tree: _delete_folder(tree, path))
        else:
            raise Refusal(400, f"The local Hub does not know the operation {key!r}")

    def _add(self, path: str, file: File) -> None:
        def change(tree: Tree) -> None:
            for parent in _parents(path):
                if parent in tree:
                    raise Refusal(400, f"{parent} is a file, so {path} cannot be")
            if any(other.startswith(f"{path}/") for other in tree):
                raise Refusal(400, f"{path} is a folder")
            tree[path] = file

        self.changes.append(change)

    def _regular(self, path: str, value: dict[str, Any]) -> File:
        content, encoding = value.get("content"), value.get("encoding", "utf-8")
        if not isinstance(content, str) or encoding not in ("utf-8", "base64"):
            raise Refusal(400, f'{path} needs "content", a string, and "encoding", which is utf-8 or base64')
        data = _decoded(content) if encoding == "base64" else content.encode()
        if len(data) > REGULAR_FILE_MAX:
            raise Refusal(400, f"{path} is larger than {REGULAR_FILE_MAX:,} bytes and must go by LFS")
        if path == "README.md":
            self.card = data
        return self.repo.objects.add_blob(data)

    def _large(self, path: str, value: dict[str, Any]) -> File:
        sha256 = str(value.get("oid"))
        if not _SHA256.fullmatch(sha256) or value.get("algo", "sha256") != "sha256":
            raise Refusal(400, f"{path} needs its sha256")
        here = has_object(self.repo, sha256) or take_in(self.call, self.repo, sha256, self.call.user().sender)
        size = self.repo.objects.lfs_size(sha256)
        if not here or size is None:  # it may be another repo's
            raise Refusal(400, f"{path} points to an LFS object that was never uploaded: {sha256}")
        if value.get("size", size) != size:
            raise Refusal(400, f"{path} has {size} bytes, not {value['size']}")
        self.large[sha256] = size
        self.tracked.append(path)
        return lfs_file(sha256, size)

    def check(self) -> tuple[str, str, str | None]:
        """Title, message and expected parent, when all of it may become a commit."""
        title, text = (self.header or {}).get("summary"), (self.header or {}).get("description")
        if not isinstance(title, str) or not title.strip():
            raise Refusal(400, '"summary" is required')
        if text is not None and not isinstance(text, str):
            raise Refusal(400, '"description" must be a string')
        if self.card is not None and len(self.card) <= CARD_MAX:
            problems = parse_card(self.card.decode("utf-8", "replace")).problems
            if problems:
                raise Refusal(400, "\n".join(problems))  # so the Hub says it, and names no file
        parent = (self.header or {}).get("parentCommit")
        if parent is not None and not (isinstance(parent, str) and SHORT_OID_PATTERN.fullmatch(parent)):
            raise Refusal(400, '"parentCommit" must be a commit id, or its first digits')
        return title, text or "", parent.lower() if parent else None

    def apply(self, before: Tree) -> Tree:
        """The files after the commit."""
        tree = dict(before)
        for change in self.changes:
            change(tree)
        self._track(tree)
        if len(tree) > FILES_PER_FOLDER_MAX:
            folder, files = Counter(path.rpartition("/")[0] for path in tree).most_common(1)[0]
            if files > FILES_PER_FOLDER_MAX:
                most = f"{FILES_PER_FOLDER_MAX:,} files at most"
                raise Refusal(400, f"A folder may hold {most}, and {folder or 'the top'} has {files:,}")
        return tree

    def _track(self, tree: Tree) -> None:
        """Name in .gitattributes each large file that no line of it names yet, in the same commit.

        So says https://github.com/huggingface/huggingface.js (packages/hub/src/types/api/api-commit.ts).
        """
        attributes = text_of(self.repo, tree, ATTRIBUTES)
        large = [path for path in self.tracked if path in tree and tree[path].sha256]
        new = sorted({path for path in large if not is_tracked(attributes, path)})
        if new:
            tree[ATTRIBUTES] = self.repo.objects.add_blob(track(attributes, new).encode())


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _delete_file(tree: Tree, path: str) -> None:
    if path not in tree:
        raise NotThere("entry", f"A file with this name doesn't exist: {path}")
    del tree[path]


def _delete_folder(tree: Tree, path: str) -> None:
    inside = [other for other in tree if other.startswith(f"{path}/")]
    if not inside:
        raise NotThere("entry", f"A folder with this name doesn't exist: {path}")
    for other in inside:
        del tree[other]


async def _lines(call: Call) -> AsyncIterator[bytes]:
    """The lines of the body; never more than one of them is held."""
    rest = bytearray()
    async for chunk in call.request.stream():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            if line.strip():
                yield line
        if len(rest) > LINE_MAX:
            raise Refusal(413, f"A file that is not LFS may have {REGULAR_FILE_MAX:,} bytes at most")
    if rest.strip():
        yield bytes(rest)


async def commit(call: Call) -> Response:
    """POST /api/models/ID/commit/REV."""
    plan = Plan(call, await run_in_threadpool(writable, call))
    async for line in _lines(call):
        await run_in_threadpool(plan.read, line)
    return await run_in_threadpool(_finish, plan, call.user(write=True))


def _finish(plan: Plan, user: Token) -> Response:
    call, repo = plan.call, plan.repo
    branch = call.param("rev").removeprefix("refs/heads/") or DEFAULT_BRANCH
    title, message, parent = plan.check()
    quota.check(call, repo, plan.large.items(), 400)
    answer: dict[str, Any] = {"success": True, "hookOutput": ""}
    if call.flag("create_pr"):
        pull = open_pull_request(
            repo, branch, plan.apply, title=title, message=message, author=user.user, parent=parent
        )
        oid = repo.resolve(f"refs/pr/{pull.num}")
        answer["pullRequestUrl"] = f"{call.hub.endpoint}/{repo.id}/discussions/{pull.num}"
    else:
        oid = repo.add_commit(
            branch, plan.apply, title=title, message=message, author=user.user, parent=parent
        )
        note_commit(repo, branch, title, oid, user.user)
    return reply(answer | {"commitOid": oid, "commitUrl": f"{call.hub.endpoint}/{repo.id}/commit/{oid}"})
