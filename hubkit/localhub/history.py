"""What changed between commits: files, lines, and which commit last touched a file."""

from __future__ import annotations

import difflib
import functools

from hubkit.localhub.objects import File
from hubkit.localhub.repo import Commit, Repo, Tree

DIFF_MAX = 400_000
HISTORY_MAX = 300

Changes = dict[str, tuple[File | None, File | None]]


def changes_between(before: Tree, after: Tree) -> Changes:
    """The files that differ between two trees, each as it was and as it is."""
    paths = sorted({*before, *after})
    return {p: (before.get(p), after.get(p)) for p in paths if before.get(p) != after.get(p)}


def last_commits(repo: Repo, oid: str, paths: list[str]) -> dict[str, Commit]:
    """For each file or folder the commit that last changed it, in one walk back through the history."""

    def states(tree: Tree) -> dict[str, list[tuple[str, str]]]:
        wanted: dict[str, list[tuple[str, str]]] = {path: [] for path in paths}
        for path, file in tree.items():
            parts = path.split("/")
            for depth in range(1, len(parts) + 1):
                prefix = "/".join(parts[:depth])
                if prefix in wanted:
                    wanted[prefix].append((path, file.oid))
        return wanted

    now, found = states(repo.tree(oid)), {}
    newer = repo.commit(oid)
    for number, older in enumerate(repo.history(newer.parent)):
        before = states(repo.tree(older.oid))
        for path in paths:
            if path not in found and before[path] != now[path]:
                found[path] = newer
        if len(found) == len(paths) or number > HISTORY_MAX:
            break
        newer = older
    return {path: found.get(path, newer) for path in paths}


@functools.lru_cache(maxsize=4096)
def length(repo: Repo, oid: str) -> int:
    """How many commits lead to this one; remembered, because every page of a repo says it."""
    return sum(1 for _ in repo.history(oid))


def _text_lines(repo: Repo, file: File | None) -> list[str] | None:
    """The lines of a text file, None when it is large or not text."""
    if file is None:
        return []
    if file.sha256 or file.size > DIFF_MAX:
        return None
    data = repo.objects.path(file).read_bytes()
    return None if b"\0" in data else data.decode("utf-8", "replace").splitlines(keepends=True)


def file_diff(repo: Repo, path: str, before: File | None, after: File | None) -> list[str]:
    """One file's unified diff, or one line where there are no lines to show."""
    old, new = _text_lines(repo, before), _text_lines(repo, after)
    if old is None or new is None:
        return [f"Binary files a/{path} and b/{path} differ\n"]
    names = (f"a/{path}" if before else "/dev/null", f"b/{path}" if after else "/dev/null")
    lines = difflib.unified_diff(old, new, *names)
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
