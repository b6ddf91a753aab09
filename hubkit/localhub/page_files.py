"""The pages of a repo's files and history."""

from __future__ import annotations

import itertools
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub import page_facts as facts
from hubkit.localhub.call import Call, count
from hubkit.localhub.highlight import highlight
from hubkit.localhub.history import changes_between, length
from hubkit.localhub.markdown import render_markdown, repo_address
from hubkit.localhub.page_compare import compare_address
from hubkit.localhub.page_shell import repo_page, revision_of
from hubkit.localhub.repo import NotThere, Repo

TEXT_MAX = 400_000
PAGE = 50


def _around_files(repo: Repo, revision: str, path: str, kind: str) -> dict[str, Any]:
    """The line above a list of files or above one file: which revision, and where in the repo."""
    parts = path.split("/") if path else []
    crumbs = [
        {"text": repo.id.split("/")[1], "href": facts.address(repo.id, "tree", revision) if parts else ""}
    ]
    for depth, part in enumerate(parts, 1):
        href = facts.address(repo.id, "tree", revision, "/".join(parts[:depth])) if depth < len(parts) else ""
        crumbs.append({"text": part, "href": href})
    return {"crumbs": crumbs, **_chooser(repo, revision, kind)}


def _chooser(repo: Repo, revision: str, kind: str) -> dict[str, Any]:
    """What the chooser of branches, tags and pull requests shows."""
    refs = [
        {"name": one["text"], "href": facts.address(repo.id, kind, one["value"])}
        for one in facts.revision_names(repo, 0)
    ]
    return {"refs": refs, "at": revision[:7] if len(revision) == 40 else revision}


def tree(call: Call) -> Response:
    """The files of a folder at a revision."""
    repo = call.repo()
    revision, oid = revision_of(call, repo)
    path = call.param("path").strip("/")
    rows = facts.file_rows(repo, oid, revision, path)
    if path and not rows:
        raise NotThere("entry", f"There is no folder {path} at this revision")
    around = _around_files(repo, revision, path, "tree")
    head = facts.commit_line(repo, repo.commit(oid))
    return repo_page(
        call, "files.html.j2", repo, oid, "files", revision, entries=rows, head=head, download="", **around
    )


def blob(call: Call) -> Response:
    """One file: Markdown and text as such, safetensors as a table, the rest as a link."""
    repo = call.repo()
    call.check_content(repo)
    revision, oid = revision_of(call, repo)
    path = call.param("path")
    file = repo.file(oid, path)
    place, name = repo.objects.path(file), path.rsplit("/", 1)[-1]
    shown: dict[str, Any] = {
        "tensors": [],
        "markdown": None,
        "code": None,
        "size": facts.size_text(file.size),
    }
    if name.endswith(".safetensors"):
        shown["tensors"] = facts.tensors(place)
    elif file.size <= TEXT_MAX and b"\0" not in (data := place.read_bytes()):
        text = data.decode("utf-8", "replace")
        if name.endswith(".md") and name != "README.md":
            folder = path.rpartition("/")[0]
            shown["markdown"] = Markup(render_markdown(text, repo_address(repo.id, revision, folder)))
        else:
            language = name.rpartition(".")[2]
            shown["code"] = Markup(highlight(text, language))
    around = _around_files(repo, revision, path, "tree")
    download = facts.address(repo.id, "resolve", revision, path) + "?download=true"
    return repo_page(
        call, "files.html.j2", repo, oid, "files", revision, download=download, **shown, **around
    )


def commits(call: Call) -> Response:
    """The history of a revision, a page at a time; two of it can be chosen to compare."""
    repo = call.repo()
    revision, oid = revision_of(call, repo)
    pages = -(-length(repo, oid) // PAGE)
    number = min(max(1, count(call.query("p")) or 1), pages)
    shown = itertools.islice(repo.history(oid), (number - 1) * PAGE, number * PAGE)
    marks = facts.pointers(repo)
    here = facts.address(repo.id, "commits", revision)
    return repo_page(
        call,
        "commits.html.j2",
        repo,
        oid,
        "history",
        revision,
        commits=[{**facts.commit_line(repo, commit), "marks": marks.get(commit.oid, [])} for commit in shown],
        page=number,
        pages=pages,
        before=f"{here}?p={number - 1}" if number > 1 else "",
        after=f"{here}?p={number + 1}" if number < pages else "",
        **_chooser(repo, revision, "commits"),
    )


def commit(call: Call) -> Response:
    """What a commit changed."""
    repo = call.repo()
    call.check_content(repo)
    _, oid = revision_of(call, repo)
    found = repo.commit(oid)
    before = repo.tree(found.parent) if found.parent else {}
    blocks = facts.diff_blocks(repo, changes_between(before, repo.tree(oid)))
    parent = facts.commit_line(repo, repo.commit(found.parent)) if found.parent else None
    line = facts.commit_line(repo, found)
    return repo_page(
        call,
        "commit.html.j2",
        repo,
        oid,
        "history",
        DEFAULT_BRANCH,
        commit={**line, "marks": facts.pointers(repo).get(oid, [])},
        parent=parent,
        files=blocks,
        tree=facts.address(repo.id, "tree", oid),
        beside=compare_address(repo.id, found.parent, oid, "card") if found.parent else "",
    )
