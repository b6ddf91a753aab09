"""The page with all models: search, filters with their counts, order, one page after the other."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import Response

from hubkit.localhub import page_facts as facts
from hubkit.localhub.call import Call, count
from hubkit.localhub.listing import FACETS, PAGE, SORTS, Entry, Wanted, choose, entries
from hubkit.localhub.page_shell import html
from hubkit.localhub.repo import NotThere

_SHOWN, _MORE = 8, 200  # values of a filter that stand open, and that can be unfolded
_CHOSEN_MAX, _TEXT_MAX = 20, 200


def wanted_of(query: str, owner: str = "") -> Wanted:
    """What an address asks for; what it cannot mean is left out."""
    asked = parse_qs(query, errors="replace") if len(query) < 8000 else {}

    def values(name: str) -> tuple[str, ...]:
        return tuple(value[:_TEXT_MAX].replace("\0", "") for value in asked.get(name, [])[:_CHOSEN_MAX])

    def value(name: str, default: str = "") -> str:
        return next(iter(values(name)), default)

    chosen = {facet: values(facet) if facet == "other" else values(facet)[:1] for facet in FACETS}
    if owner:
        chosen["author"] = (owner,)
    sort = value("sort", "recent")
    return Wanted(
        value("search").strip(),
        {facet: picked for facet, picked in chosen.items() if picked},
        sort if sort in SORTS else "recent",
        max(1, count(value("p", "1")) or 1),
    )


def index(call: Call) -> Response:
    """All models that the visitor may see, of one owner where the address names one."""
    owner = call.param("user")
    visible = entries(repo for repo in call.store.repos() if call.sees(repo))
    owners = {entry.id.split("/")[0] for entry in visible} | ({call.token.user} if call.token else set())
    if owner and owner not in owners:
        raise NotThere("user", f"There is no model of {owner} here that you may see.")
    wanted = wanted_of(call.request.scope["query_string"].decode("latin-1"), owner)
    found, counts = choose(visible, wanted)
    pages = max(1, -(-len(found) // PAGE))
    page = min(wanted.page, pages)
    return html(
        call,
        "index.html.j2",
        title=owner or "Models",
        repos=[model_line(entry) for entry in found[(page - 1) * PAGE : page * PAGE]],
        total=len(found),
        here=len(visible),
        wanted=wanted,
        hidden=[(facet, value) for facet, values in wanted.chosen.items() for value in values],
        facets=[_facet(facet, counts[facet], wanted) for facet in FACETS],
        sorts=[(name, wanted.address(sort=key), key == wanted.sort) for key, name in SORTS.items()],
        page=page,
        pages=pages,
        before=wanted.address(page - 1) if page > 1 else "",
        after=wanted.address(page + 1) if page < pages else "",
    )


def model_line(entry: Entry) -> dict[str, Any]:
    """A model as lists show it."""
    known = entry.facts
    return {
        "id": entry.id,
        "private": entry.private,
        "gated": entry.gated,
        "note": "",
        "task": known.task,
        "method": facts.method_text(known.method),
        "bases": known.bases[:3],
        "parameters": f"{facts.count_text(known.parameters)} parameters" if known.parameters else "",
        "date": facts.date_text(known.date),
    }


def _facet(facet: str, counts: Counter[str], wanted: Wanted) -> dict[str, Any]:
    picked = wanted.chosen.get(facet, ())
    ordered = sorted(counts, key=lambda value: (-counts[value], value.lower()))
    values = [*picked, *(value for value in ordered if value not in picked)]
    options = []
    for value in values[: _SHOWN + _MORE]:
        rest = tuple(other for other in picked if other != value) if value in picked else (*picked, value)
        kept = rest if facet == "other" or value in picked else (value,)
        text = facts.method_text(value) if facet == "method" else value
        href = wanted.address(**{facet: kept})
        options.append({"text": text, "count": counts[value], "on": value in picked, "href": href})
    only = len(values) < 2 and not picked  # one value for all of them: nothing to filter by
    hidden = facet == "visibility" and "private" not in counts and not picked
    return {
        "title": FACETS[facet],
        "options": [] if (only and facet in ("author", "visibility")) or hidden else options[:_SHOWN],
        "more": options[_SHOWN:],
    }
