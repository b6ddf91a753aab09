"""The pages of the local Hub: what a person sees of a repo, from this machine alone and without a script."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub import page_facts as facts
from hubkit.localhub.auth import COOKIE, find_token
from hubkit.localhub.call import Call, as_refusal
from hubkit.localhub.card import as_list, card_of, model_info
from hubkit.localhub.community import changes_between, pull_request_changes
from hubkit.localhub.highlight import highlight
from hubkit.localhub.markdown import render_markdown, repo_address
from hubkit.localhub.repo import NotThere, Repo

PAGES = Path(__file__).parent / "pages"
TEXT_MAX = 400_000
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _html(call: Call, template: str, status: int = 200, **values: Any) -> Response:
    token = call.token
    text = _templates().get_template(template).render(user=token.user if token else None, **values)
    return Response(text.encode(), status, HEADERS, "text/html")


def _page(function: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """A page whose refusals are pages too."""

    @functools.wraps(function)
    def answer(call: Call) -> Response:
        try:
            return function(call)
        except Exception as error:
            refusal = as_refusal(error)
            hidden = refusal.code == "RepoNotFound"
            title = "This repo is not here" if hidden else f"Error {refusal.status}"
            text = (
                "It does not exist, or it is private and you are not signed in."
                if hidden
                else refusal.message
            )
            return _html(
                call,
                "message.html.j2",
                404 if hidden else refusal.status,
                title=title,
                text=text,
                form=hidden,
            )

    return answer


def _repo_page(
    call: Call, template: str, repo: Repo, oid: str, tab: str, revision: str, **values: Any
) -> Response:
    """A page below the header of a repo."""
    tree = repo.tree(oid)
    owner, name = repo.id.split("/")
    talk = repo.discussions()
    tabs = [
        ("card", "Model card", f"/{repo.id}", None),
        ("files", "Files and versions", facts.address(repo.id, "tree", revision), None),
        (
            "history",
            "Commits",
            facts.address(repo.id, "commits", revision),
            sum(1 for _ in repo.history(oid)),
        ),
        ("talk", "Community", f"/{repo.id}/discussions", len(talk) or None),
    ]
    shown = [
        {"icon": icon, "text": text, "href": href, "count": count, "on": icon == tab}
        for icon, text, href, count in tabs
    ]
    header: dict[str, Any] = {
        "repo": repo,
        "owner": owner,
        "name": name,
        "here": f"/{repo.id}",
        "tabs": shown,
    }
    return _html(call, template, **header, chips=facts.chips(card_of(repo, tree), tree), **values)


def _revision(call: Call, repo: Repo) -> tuple[str, str]:
    revision = call.param("rev") or DEFAULT_BRANCH
    return revision, repo.resolve(revision)


def index(call: Call) -> Response:
    """All repos that the visitor may see, of one owner where the address names one."""
    owner, search = call.param("user"), call.query("search")
    listed = []
    for repo in call.store.repos():
        if call.sees(repo) and search.lower() in repo.id.lower() and owner in ("", repo.id.split("/")[0]):
            info = model_info(repo, repo.resolve(DEFAULT_BRANCH))
            parts = [
                info.get("pipeline_tag"),
                info.get("library_name"),
                f"updated {facts.date_text(info['lastModified'])}",
            ]
            line = " · ".join(str(part) for part in parts if part)
            listed.append(
                {"id": repo.id, "private": repo.private, "line": line, "date": info["lastModified"]}
            )
    listed.sort(key=lambda repo: str(repo["date"]), reverse=True)
    return _html(call, "index.html.j2", title=owner or "Models", repos=listed, search=search)


def model_card(call: Call) -> Response:
    """The card, with the facts beside it."""
    repo = call.repo()
    oid = repo.resolve(DEFAULT_BRANCH)
    tree = repo.tree(oid)
    card = card_of(repo, tree)
    adapter, hint = facts.adapter_facts(repo, tree)
    bases, relation = facts.bases(card, {other.id for other in call.store.repos() if call.sees(other)})
    relation = facts.RELATIONS.get(relation or ("adapter" if adapter else "finetune"), relation)
    total = {"files": len(tree), "size": facts.size_text(sum(file.size for file in tree.values()))}
    return _repo_page(
        call,
        "card.html.j2",
        repo,
        oid,
        "card",
        DEFAULT_BRANCH,
        problems=card.problems,
        hint=hint,
        body=Markup(render_markdown(card.body, repo_address(repo.id, DEFAULT_BRANCH)))
        if card.body.strip()
        else "",
        weights=facts.weights(repo, tree),
        adapter=adapter,
        bases=bases,
        relation=f"{relation} of {bases[0]['id']}" if len(bases) == 1 else relation,
        results=facts.results(card),
        datasets=[str(name) for name in as_list(card.metadata.get("datasets"))],
        total=total,
        head=facts.commit_line(repo, repo.commit(oid)),
    )


def _around_files(repo: Repo, revision: str, path: str, kind: str) -> dict[str, Any]:
    """The line above a list of files or above one file: which revision, and where in the repo."""
    names = [*repo.refs("heads"), *repo.refs("tags"), *(f"refs/pr/{num}" for num in repo.refs("pr"))]
    parts = path.split("/") if path else []
    crumbs = [
        {"text": repo.id.split("/")[1], "href": facts.address(repo.id, "tree", revision) if parts else ""}
    ]
    for depth, part in enumerate(parts, 1):
        href = facts.address(repo.id, "tree", revision, "/".join(parts[:depth])) if depth < len(parts) else ""
        crumbs.append({"text": part, "href": href})
    refs = [{"name": name, "href": facts.address(repo.id, kind, name)} for name in names]
    shown = revision[:7] if len(revision) == 40 else revision
    return {"refs": refs, "crumbs": crumbs, "revision": shown}


def tree(call: Call) -> Response:
    """The files of a folder at a revision."""
    repo = call.repo()
    revision, oid = _revision(call, repo)
    path = call.param("path").strip("/")
    rows = facts.file_rows(repo, oid, revision, path)
    if path and not rows:
        raise NotThere("entry", f"There is no folder {path} at this revision")
    around = _around_files(repo, revision, path, "tree")
    head = facts.commit_line(repo, repo.commit(oid))
    return _repo_page(
        call, "files.html.j2", repo, oid, "files", revision, entries=rows, head=head, download="", **around
    )


def blob(call: Call) -> Response:
    """One file: Markdown and text as such, safetensors as a table, the rest as a link."""
    repo = call.repo()
    revision, oid = _revision(call, repo)
    path = call.param("path")
    file = repo.file(oid, path)
    place, name = repo.objects.path(file), path.rsplit("/", 1)[-1]
    shown: dict[str, Any] = {"tensors": [], "markdown": "", "code": "", "size": facts.size_text(file.size)}
    if name.endswith(".safetensors"):
        shown["tensors"] = facts.tensors(place)
    elif file.size <= TEXT_MAX and b"\0" not in (data := place.read_bytes()):
        text = data.decode("utf-8", "replace")
        if name.endswith(".md") and name != "README.md":
            folder = path.rpartition("/")[0]
            shown["markdown"] = Markup(render_markdown(text, repo_address(repo.id, revision, folder)))
        else:
            language = "yaml" if name == "README.md" else name.rpartition(".")[2]
            shown["code"] = Markup(highlight(text, language if name != "README.md" else ""))
    around = _around_files(repo, revision, path, "tree")
    download = facts.address(repo.id, "resolve", revision, path) + "?download=true"
    return _repo_page(
        call, "files.html.j2", repo, oid, "files", revision, download=download, **shown, **around
    )


def commits(call: Call) -> Response:
    """The history of a revision."""
    repo = call.repo()
    revision, oid = _revision(call, repo)
    listed = [facts.commit_line(repo, commit) for commit in repo.history(oid)]
    return _repo_page(call, "commits.html.j2", repo, oid, "history", revision, commits=listed)


def commit(call: Call) -> Response:
    """What a commit changed."""
    repo = call.repo()
    oid = call.oid(repo)
    found = repo.commit(oid)
    before = repo.tree(found.parent) if found.parent else {}
    blocks = facts.diff_blocks(repo, changes_between(before, repo.tree(oid)))
    parent = facts.commit_line(repo, repo.commit(found.parent)) if found.parent else None
    line = facts.commit_line(repo, found)
    return _repo_page(
        call, "commit.html.j2", repo, oid, "history", DEFAULT_BRANCH, commit=line, parent=parent, files=blocks
    )


def discussions(call: Call) -> Response:
    """The pull requests and discussions of a repo."""
    repo = call.repo()
    listed = [_talk_line(repo, item.num) for item in repo.discussions()]
    oid = repo.resolve(DEFAULT_BRANCH)
    return _repo_page(call, "discussions.html.j2", repo, oid, "talk", DEFAULT_BRANCH, discussions=listed)


def _talk_line(repo: Repo, num: int) -> dict[str, Any]:
    item = repo.discussion(num)
    return {
        "num": num,
        "title": item.title,
        "author": item.author,
        "status": item.status,
        "pull": item.is_pull_request,
        "date": facts.date_text(item.date),
        "href": f"/{repo.id}/discussions/{num}",
    }


def discussion(call: Call) -> Response:
    """One pull request or discussion."""
    repo = call.repo()
    number = call.param("num")
    if not number.isdigit():
        raise NotThere("discussion", "There is no such discussion")
    item = repo.discussion(int(number))
    blocks = facts.diff_blocks(repo, pull_request_changes(repo, item)) if item.is_pull_request else []
    return _repo_page(
        call,
        "discussion.html.j2",
        repo,
        repo.resolve(DEFAULT_BRANCH),
        "talk",
        DEFAULT_BRANCH,
        item=_talk_line(repo, item.num),
        base=item.base,
        events=[_event(repo, event) for event in item.events],
        files=blocks,
    )


def _event(repo: Repo, event: dict[str, Any]) -> dict[str, Any]:
    data, shown = (
        event["data"],
        {"author": event["author"]["name"], "date": facts.date_text(event["createdAt"])},
    )
    match event["type"]:
        case "comment":
            body = render_markdown(data["latest"]["raw"], repo_address(repo.id, DEFAULT_BRANCH))
            return {**shown, "body": Markup(body)}
        case "commit":
            href = facts.address(repo.id, "commit", data["oid"])
            return {**shown, "body": "", "text": "committed", "href": href, "link": data["subject"]}
        case "status-change":
            return {**shown, "body": "", "text": f"changed the status to {data['status']}", "href": ""}
        case _:
            return {**shown, "body": "", "text": f"changed the title to “{data.get('to', '')}”", "href": ""}


def login_form(call: Call) -> Response:
    """The form for a token."""
    text = "Private repos show once you give a token of this Hub."
    return _html(call, "message.html.j2", title="Sign in", text=text, form=True)


def login(call: Call) -> Response:
    """Remember a token in a cookie that no script reads and no other site sends."""
    secret = parse_qs(call.body.decode("utf-8", "replace")).get("token", [""])[0].strip()
    if find_token(call.hub.tokens, secret) is None:
        return _html(
            call, "message.html.j2", 401, title="Sign in", text="This Hub knows no such token.", form=True
        )
    answer = RedirectResponse("/", 303)
    answer.set_cookie(COOKIE, secret, httponly=True, samesite="strict")
    return answer


def _asset(name: str, media_type: str) -> Callable[[Call], Response]:
    def answer(_call: Call) -> Response:
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return Response((PAGES / name).read_bytes(), headers=headers, media_type=media_type)

    return answer


_REPO = "/{user}/{name}"

ROUTES: list[tuple[str, str, Callable[[Call], Response]]] = [
    ("GET", "/", _page(index)),
    ("GET", "/style.css", _asset("style.css", "text/css")),
    ("GET", "/mark.svg", _asset("mark.svg", "image/svg+xml")),
    ("GET", "/login", _page(login_form)),
    ("POST", "/login", _page(login)),
    ("GET", "/{user}", _page(index)),
    ("GET", _REPO, _page(model_card)),
    ("GET", _REPO + "/tree/{rev}", _page(tree)),
    ("GET", _REPO + "/tree/{rev}/{path:path}", _page(tree)),
    ("GET", _REPO + "/blob/{rev}/{path:path}", _page(blob)),
    ("GET", _REPO + "/commits", _page(commits)),
    ("GET", _REPO + "/commits/{rev}", _page(commits)),
    ("GET", _REPO + "/commit/{rev}", _page(commit)),
    ("GET", _REPO + "/discussions", _page(discussions)),
    ("GET", _REPO + "/discussions/{num}", _page(discussion)),
]
