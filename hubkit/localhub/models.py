"""Models as the Hub describes one and lists many: filters, order, and which facts of a model are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from starlette.responses import Response

from hubkit.hub_rules import LICENSES, MODEL_PROPERTIES, PIPELINE_TAGS
from hubkit.localhub.call import Call, Refusal, reply
from hubkit.localhub.card import model_info
from hubkit.localhub.objects import Damaged
from hubkit.localhub.paging import page_of, page_size
from hubkit.localhub.repo import NotThere

LIST_PAGE = 1000
LIST_PAGE_FULL = 100

# What a list tells without being asked for more. https://huggingface.co/docs/hub/api (GET /api/models) and
# huggingface_hub/hf_api.py (list_models): `full`, `cardData` and `config` add the rest.
_ALWAYS = ("_id", "id")
_BRIEF = (
    *_ALWAYS,
    *("modelId", "likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt"),
)
_FULL = (*_BRIEF, "author", "sha", "lastModified", "gated", "disabled", "siblings")

_SORTS = {"lastModified", "createdAt", "downloads", "likes", "trendingScore", "trending"}
_RANGE = re.compile(r"(min|max):([0-9]+(?:\.[0-9]+)?)([KMBT]?)")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def _expanded(call: Call) -> list[str]:
    """The properties that `expand` names; the Hub takes it repeated, with brackets or with commas."""
    params = call.request.query_params
    given = [*params.getlist("expand"), *params.getlist("expand[]")]
    named = [name for value in given for name in value.split(",") if name]
    unknown = next((name for name in named if name not in MODEL_PROPERTIES), None)
    if unknown is not None:
        raise Refusal(400, f'"expand" must name properties of a model, not {unknown!r}')
    return named


def _told(model: dict[str, Any], names: tuple[str, ...] | list[str]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key in names}


def info(call: Call) -> Response:
    """GET /api/models/ID, and at a revision."""
    repo, expanded = call.repo(), _expanded(call)
    oid = repo.resolve(call.param("rev") or "main")
    model = model_info(repo, oid, blobs=call.flag("blobs"))
    return reply(_told(model, [*_ALWAYS, *expanded]) if expanded else model)


def list_models(call: Call) -> Response:
    """GET /api/models."""
    expanded, wanted = _expanded(call), _filters(call)
    found = [model for model in _listed(call) if all(fits(model) for fits in wanted)]
    _sort(call, found)
    if expanded:
        names = [*_ALWAYS, *expanded]
    else:
        names = list(_FULL if call.flag("full") else _BRIEF)
        names += ["cardData", "model-index"] if call.flag("cardData") else []
        names += ["config"] if call.flag("config") else []
    most = LIST_PAGE_FULL if expanded or call.flag("full") else LIST_PAGE
    return page_of(call, [_told(model, names) for model in found], page_size(call, most, most))


def _listed(call: Call) -> Iterator[dict[str, Any]]:
    """Every model that the caller may know of."""
    for repo in filter(call.sees, call.store.repos()):
        try:
            yield model_info(repo, repo.resolve("main"))
        except (NotThere, FileNotFoundError, Damaged):
            continue  # it was removed while the list was made, or is damaged; the others are told


def _filters(call: Call) -> list[Callable[[dict[str, Any]], bool]]:
    """What a listed model must fit: each parameter narrows the list."""
    params, checks = call.request.query_params, list[Callable[[dict[str, Any]], bool]]()
    tags = {part for value in params.getlist("filter") for part in value.split(",") if part}
    checks.append(lambda m: tags <= {*m["tags"], m.get("pipeline_tag"), m.get("library_name")})
    checks.append(lambda m: call.query("search").lower() in m["id"].lower())
    for key in ("author", "pipeline_tag"):
        if key in params:
            checks.append(lambda m, key=key: call.query(key) == m.get(key))  # type: ignore[misc]
    if "gated" in params:
        checks.append(lambda m: bool(m["gated"]) == call.flag("gated"))
    if any(key in params for key in ("apps", "inference", "inference_provider")):
        checks.append(lambda m: False)  # nobody serves a model of this Hub
    if "num_parameters" in params:
        low, high = _between(call.query("num_parameters"))
        checks.append(lambda m: low <= m.get("safetensors", {}).get("total", -1) <= high)
    return checks


def _between(text: str) -> tuple[float, float]:
    """The bounds of `min:6B,max:128B`."""
    bounds = {"min": 0.0, "max": float("inf")}
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if not found:
            raise Refusal(400, f'"num_parameters" must be like min:6B,max:128B, not {text!r}')
        bounds[found[1]] = float(found[2]) * _UNITS[found[3]]
    return bounds["min"], bounds["max"]


def _sort(call: Call, models: list[dict[str, Any]]) -> None:
    key = call.query("sort")
    if key and key not in _SORTS:
        raise Refusal(400, f'"sort" must be one of {", ".join(sorted(_SORTS))}, not {key!r}')
    if key in ("lastModified", "createdAt"):
        models.sort(key=lambda model: str(model[key]), reverse=call.query("direction", "-1") != "1")


def tags_by_type(call: Call) -> Response:
    """GET /api/models-tags-by-type: what models may be filtered by."""
    tags = {
        "pipeline_tag": [_tag(name, "pipeline_tag") for name in sorted(PIPELINE_TAGS)],
        "license": [_tag(f"license:{name}", "license") for name in sorted(LICENSES)],
        "library": [],
        "dataset": [],
        "language": [],
        "other": [],
    }
    seen = {tag for model in _listed(call) for tag in model["tags"]}
    for tag in sorted(seen):
        if tag.startswith("dataset:"):
            tags["dataset"].append(_tag(tag, "dataset"))
        elif tag not in PIPELINE_TAGS and not tag.startswith("license:"):
            tags["other"].append(_tag(tag, "other"))
    wanted = call.query("type")
    return reply({wanted: tags.get(wanted, [])} if wanted else tags)


def _tag(name: str, kind: str) -> dict[str, str]:
    return {"id": name, "label": name.removeprefix(f"{kind}:"), "type": kind}
