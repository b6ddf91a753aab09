"""The pages of the local Hub: what a person sees of a repo, from this machine alone and without a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub import page_collections, page_compare, page_files
from hubkit.localhub import page_facts as facts
from hubkit.localhub.auth import cookie_name, find_token
from hubkit.localhub.call import Call, count
from hubkit.localhub.card import as_list, card_of
from hubkit.localhub.community import conflicts, pull_request_changes
from hubkit.localhub.listing import entries, facts_at, filter_address
from hubkit.localhub.markdown import render_markdown, repo_address
from hubkit.localhub.page_index import index
from hubkit.localhub.page_shell import PAGES, html, page, repo_page
from hubkit.localhub.repo import NotThere, Repo


def model_card(call: Call) -> Response:
    """The card, with the facts beside it."""
    repo = call.repo()
    oid = repo.resolve(DEFAULT_BRANCH)
    tree = repo.tree(oid)
    card = card_of(repo, tree)
    adapter, hint = facts.adapter_facts(repo, tree, facts_at(repo, oid).method)
    visible = entries(other for other in call.store.repos() if call.sees(other))
    bases, relation = facts.bases(card, {other.id for other in visible})
    relation = facts.RELATIONS.get(relation or ("adapter" if adapter else "finetune"), relation)
    total = {"files": len(tree), "size": facts.size_text(sum(file.size for file in tree.values()))}
    return repo_page(
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
        else None,
        weights=facts.weights(repo, tree),
        adapter=adapter,
        bases=bases,
        relation=f"{relation} of {bases[0]['id']}" if len(bases) == 1 else relation,
        results=facts.results(card),
        datasets=[str(name) for name in as_list(card.metadata.get("datasets"))],
        total=total,
        collections=page_collections.holding(call, repo),
        children=sum(repo.id in other.facts.bases for other in visible),
        children_href=filter_address("base_model", repo.id),
        head=facts.commit_line(repo, repo.commit(oid)),
    )


def discussions(call: Call) -> Response:
    """The pull requests and discussions of a repo."""
    repo = call.repo()
    listed = [_talk_line(repo, item.num) for item in repo.discussions()]
    oid = repo.resolve(DEFAULT_BRANCH)
    return repo_page(call, "discussions.html.j2", repo, oid, "talk", DEFAULT_BRANCH, discussions=listed)


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
    number = count(call.param("num"))
    if number is None:
        raise NotThere("discussion", "There is no such discussion")
    item = repo.discussion(number)
    if item.is_pull_request:
        call.check_content(repo)
    blocks = facts.diff_blocks(repo, pull_request_changes(repo, item)) if item.is_pull_request else []
    return repo_page(
        call,
        "discussion.html.j2",
        repo,
        repo.resolve(DEFAULT_BRANCH),
        "talk",
        DEFAULT_BRANCH,
        item=_talk_line(repo, item.num),
        base=item.base,
        clashing=conflicts(repo, item) if item.is_pull_request else [],
        beside=page_compare.compare_address(repo.id, item.fork, f"refs/pr/{item.num}", "card")
        if item.is_pull_request and item.fork
        else "",
        endpoint=call.hub.endpoint,
        events=[_event(repo, event, number) for number, event in enumerate(item.events)],
        files=blocks,
    )


def _event(repo: Repo, event: dict[str, Any], number: int) -> dict[str, Any]:
    data, shown = (
        event["data"],
        {"author": event["author"]["name"], "date": facts.date_text(event["createdAt"])},
    )
    match event["type"]:
        case "comment":
            body = render_markdown(
                data["latest"]["raw"], repo_address(repo.id, DEFAULT_BRANCH), f"c{number}-"
            )
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
    return html(call, "message.html.j2", title="Sign in", text=text, form=True)


def login(call: Call) -> Response:
    """Remember a token in a cookie that no script reads and no other site sends."""
    secret = parse_qs(call.body.decode("utf-8", "replace")).get("token", [""])[0].strip()
    if find_token(call.hub.tokens, secret) is None:
        return html(
            call, "message.html.j2", 401, title="Sign in", text="This Hub knows no such token.", form=True
        )
    answer = RedirectResponse("/", 303)
    answer.set_cookie(cookie_name(call.hub.endpoint), secret, httponly=True, samesite="strict")
    return answer


def _asset(name: str, media_type: str) -> Callable[[Call], Response]:
    def answer(_call: Call) -> Response:
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return Response((PAGES / name).read_bytes(), headers=headers, media_type=media_type)

    return answer


_REPO = "/{user}/{name}"

ROUTES: list[tuple[str, str, Callable[[Call], Response]]] = [
    ("GET", "/", page(index)),
    ("GET", "/models", page(index)),
    ("GET", "/style.css", _asset("style.css", "text/css")),
    ("GET", "/mark.svg", _asset("mark.svg", "image/svg+xml")),
    ("GET", "/collections", page(page_collections.index)),
    ("GET", "/collections/{namespace}/{slug}", page(page_collections.collection)),
    ("GET", "/login", page(login_form)),
    ("POST", "/login", page(login)),
    ("GET", "/{user}", page(index)),
    ("GET", _REPO, page(model_card)),
    ("GET", _REPO + "/tree/{rev}", page(page_files.tree)),
    ("GET", _REPO + "/tree/{rev}/{path:path}", page(page_files.tree)),
    ("GET", _REPO + "/blob/{rev}/{path:path}", page(page_files.blob)),
    ("GET", _REPO + "/commits", page(page_files.commits)),
    ("GET", _REPO + "/commits/{rev}", page(page_files.commits)),
    ("GET", _REPO + "/commit/{rev}", page(page_files.commit)),
    ("GET", _REPO + "/compare", page(page_compare.choose)),
    ("GET", _REPO + "/compare/{range}", page(page_compare.compare)),
    ("GET", _REPO + "/discussions", page(discussions)),
    ("GET", _REPO + "/discussions/{num}", page(discussion)),
]
