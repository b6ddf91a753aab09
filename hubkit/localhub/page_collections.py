"""The pages of collections: all that the visitor may see, and what one of them holds."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hubkit.localhub import collections
from hubkit.localhub import page_facts as facts
from hubkit.localhub.call import Call
from hubkit.localhub.listing import entries
from hubkit.localhub.page_index import model_line
from hubkit.localhub.page_shell import html
from hubkit.localhub.repo import Repo
from hubkit.localhub.shelves import Collection


def index(call: Call) -> Response:
    """All collections."""
    found = [_line(call, one) for one in collections.visible(call)]
    return html(call, "collections.html.j2", title="Collections", collections=found)


def collection(call: Call) -> Response:
    """One collection, with the models in it."""
    one = collections.find(call)
    held = collections.contents(call, one)
    listed = {entry.id: model_line(entry) for entry in entries(repo for _, repo in held)}
    return html(
        call,
        "collection.html.j2",
        title=one.title,
        collection=_line(call, one),
        repos=[{**listed[repo.id], "note": item.note} for item, repo in held if repo.id in listed],
    )


def holding(call: Call, repo: Repo) -> list[dict[str, Any]]:
    """The collections that a model is in."""
    key = repo.facts["key"]
    found = [one for one in collections.visible(call) if any(item.key == key for item in one.items)]
    return [_line(call, one) for one in found]


def _line(call: Call, one: Collection) -> dict[str, Any]:
    return {
        "title": one.title,
        "href": f"/collections/{one.slug}",
        "owner": one.owner,
        "description": one.description,
        "private": one.private,
        "count": len(collections.contents(call, one)),
        "date": facts.date_text(one.updated),
    }
