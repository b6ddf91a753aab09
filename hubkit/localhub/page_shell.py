"""The frame of the pages: templates, headers, refusals as pages, and what is above each view of a repo."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub import page_facts as facts
from hubkit.localhub.call import Call, as_refusal
from hubkit.localhub.card import card_of
from hubkit.localhub.highlight import visible
from hubkit.localhub.history import length
from hubkit.localhub.repo import Repo

PAGES = Path(__file__).parent / "pages"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-DNS-Prefetch-Control": "off",  # a link in a card is looked up when somebody follows it, not before
    "Cache-Control": "no-store",
}


_TITLES = {
    "RepoNotFound": "This repo is not here",
    "GatedRepo": "This model is gated",
    "RevisionNotFound": "There is no such revision",
    "EntryNotFound": "Not in this revision",
}
_TEXTS = {  # of what the API says in the Hub's own words
    "Entry not found": "This revision has no such file.",
    "Invalid rev id": "This repo has no branch, tag, pull request or commit of this name.",
}


def _shown(value: Any) -> Any:
    """What a template writes: names, titles and paths are strangers' text too."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(call: Call, template: str, status: int = 200, **values: Any) -> Response:
    """A page made of a template."""
    token = call.token
    text = _templates().get_template(template).render(user=token.user if token else None, **values)
    return Response(text.encode(errors="replace"), status, HEADERS, "text/html")


def page(function: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """A page whose refusals are pages too."""

    @functools.wraps(function)
    def answer(call: Call) -> Response:
        try:
            return function(call)
        except Exception as error:
            refusal = as_refusal(error)
            hidden, gated = refusal.code == "RepoNotFound", refusal.code == "GatedRepo"
            title = _TITLES.get(
                refusal.code or "",
                "This page is not here" if refusal.status == 404 else f"Error {refusal.status}",
            )
            text = (
                "It does not exist, or it is private and you are not signed in. Sign in here, or by the link"
                " “Sign in” above, with a token of this Hub: the file “token” of its directory has one."
                if hidden
                else _TEXTS.get(refusal.message.partition(":")[0], refusal.message)
            )
            return html(
                call,
                "message.html.j2",
                404 if hidden else refusal.status,
                title=title,
                text=text,
                form=hidden or gated,
            )

    return answer


def repo_page(
    call: Call, template: str, repo: Repo, oid: str, tab: str, revision: str, **values: Any
) -> Response:
    """A page below the header of a repo."""
    tree = repo.tree(oid)
    owner, name = repo.id.split("/")
    talk = repo.discussions()
    tabs = [
        ("card", "Model card", "", f"/{repo.id}", None),
        ("files", "Files", "and versions", facts.address(repo.id, "tree", revision), None),
        ("history", "Commits", "", facts.address(repo.id, "commits", revision), length(repo, oid)),
        ("talk", "Community", "", f"/{repo.id}/discussions", len(talk) or None),
    ]
    shown = [
        {"icon": icon, "text": text, "more": more, "href": href, "count": count, "on": icon == tab}
        for icon, text, more, href, count in tabs
    ]
    header: dict[str, Any] = {
        "repo": repo,
        "owner": owner,
        "name": name,
        "here": f"/{repo.id}",
        "tabs": shown,
    }
    return html(call, template, **header, chips=facts.chips(card_of(repo, tree), tree), **values)


def revision_of(call: Call, repo: Repo) -> tuple[str, str]:
    """The revision of the address, the default branch without one, and its commit.

    A commit may be given by the beginning of its id.
    """
    revision = repo.expand(call.param("rev") or DEFAULT_BRANCH)
    return revision, repo.resolve(revision)
