"""Collections over HTTP: made, listed, changed and filled as huggingface_hub's HfApi does it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hubkit.hub_rules import COLLECTION_DESCRIPTION_MAX, COLLECTION_NOTE_MAX
from hubkit.localhub.call import Call, Refusal, read_json, reply
from hubkit.localhub.card import model_info
from hubkit.localhub.paging import page_of, page_size
from hubkit.localhub.repo import Exists, NotThere, Repo
from hubkit.localhub.shelves import Collection, Item, new_id
from hubkit.localhub.tokens import key_of, person

PAGE = 100
SHORT = 4  # items of each collection in a list: huggingface_hub/hf_api.py (list_collections)
THEMES = ("orange", "blue", "green", "purple", "pink", "indigo")


def visible(call: Call) -> list[Collection]:
    """The collections that the caller may know of."""
    return [one for one in call.store.shelves.every() if _sees(call, one)]


def contents(call: Call, one: Collection) -> list[tuple[Item, Repo]]:
    """What a collection holds and the caller may know of, with the repos under the ids that they have now."""
    by_key = {repo.facts["key"]: repo for repo in call.store.repos() if call.sees(repo)}
    return [(item, by_key[item.key]) for item in one.items if item.key in by_key]


def find(call: Call, *, write: bool = False) -> Collection:
    """The collection of the address, if the caller may see it, and change it if asked so."""
    owner = call.param("namespace")
    one = call.store.shelves.get(owner, call.param("slug"))
    if not _sees(call, one):
        raise NotThere("collection", "Collection not found")
    if write:
        call.permit(owner, call.user(write=True).may_collect(owner))
    return one


def _sees(call: Call, one: Collection) -> bool:
    token = call.token
    return not one.private or (token is not None and token.may_see_collections(one.owner))


def _told(call: Call, one: Collection, most: int | None = None) -> dict[str, Any]:
    items = contents(call, one)[:most]
    about = {"description": one.description} if one.description else {}
    return {
        **about,
        "slug": one.slug,
        "title": one.title,
        "owner": person(one.owner),
        "items": [_told_item(position, item, repo) for position, (item, repo) in enumerate(items)],
        "lastUpdated": one.updated,
        "position": one.position,
        "private": one.private,
        "gating": True,  # so the Hub's specification has it: true, or how access is asked for
        "theme": one.theme,
        "upvotes": 0,
        "isUpvotedByUser": False,
        "shareUrl": f"{call.hub.endpoint}/collections/{one.slug}",
    }


def _told_item(position: int, item: Item, repo: Repo) -> dict[str, Any]:
    info = model_info(repo, repo.resolve("main"))
    same = ("id", "author", "downloads", "gated", "lastModified", "likes", "private", "pipeline_tag")
    note = {"note": {"text": item.note, "html": ""}} if item.note else {}
    return {
        **{key: info[key] for key in same if key in info},
        **note,
        "_id": item.id,
        "position": position,
        "type": "model",
        "repoType": "model",
        "availableInferenceProviders": [],
        "isLikedByUser": False,
        "authorData": person(info["author"]),
    }


def listing(call: Call) -> Response:
    """GET /api/collections."""
    params = call.request.query_params
    owners, items = set(params.getlist("owner")), params.getlist("item")
    words = call.query("q").lower()
    found = [
        one
        for one in visible(call)
        if (not owners or one.owner in owners)
        and words in one.title.lower()
        and (not items or any(f"models/{repo.id}" in items for _, repo in contents(call, one)))
    ]
    told = [_told(call, one, SHORT) for one in found]
    for one in told:
        del one["position"]  # the client counts
    return page_of(call, told, page_size(call, PAGE, PAGE))


def details(call: Call) -> Response:
    """GET /api/collections/OWNER/SLUG."""
    return reply(_told(call, find(call)))


def create(call: Call) -> Response:
    """POST /api/collections."""
    owner, title = call.text("namespace"), call.text("title").strip()
    call.permit(owner, call.user(write=True).may_collect(owner))
    if not title:
        raise Refusal(400, '"title" is required')
    new = Collection(new_id(), owner, title, _text(call, "description", COLLECTION_DESCRIPTION_MAX))
    new.private = call.json().get("private") is True
    if call.json().get("item") is not None:
        _put(call, new)
    try:
        call.store.shelves.create(new)
    except Exists as error:
        message = "This collection already exists"
        raise Refusal(409, message, body={"error": message, "slug": str(error)}) from None
    return reply(_told(call, new))


def update(call: Call) -> Response:
    """PATCH /api/collections/OWNER/SLUG."""
    wanted = call.json()
    with call.store.shelves.lock:
        one = find(call, write=True)
        if "title" in wanted:
            one.title = call.text("title").strip() or one.title
        if "description" in wanted:
            one.description = _text(call, "description", COLLECTION_DESCRIPTION_MAX)
        if "private" in wanted:
            one.private = wanted["private"] is True
        if "theme" in wanted:
            if wanted["theme"] not in THEMES:
                raise Refusal(400, f'"theme" must be one of {", ".join(THEMES)}')
            one.theme = wanted["theme"]
        if "position" in wanted:
            one.position = _position(wanted["position"])
        call.store.shelves.save(one)
    return reply({"success": True, "data": _told(call, one)})


def delete(call: Call) -> Response:
    """DELETE /api/collections/OWNER/SLUG."""
    with call.store.shelves.lock:
        call.store.shelves.delete(find(call, write=True))
    return reply({"success": True})


def add_item(call: Call) -> Response:
    """POST /api/collections/OWNER/SLUG/items."""
    with call.store.shelves.lock:
        one = find(call, write=True)
        _put(call, one)
        call.store.shelves.save(one)
    return reply(_told(call, one))


def _put(call: Call, one: Collection) -> None:
    wanted = call.json().get("item")
    kind, name = (wanted.get("type"), wanted.get("id")) if isinstance(wanted, dict) else (None, None)
    if not isinstance(kind, str) or not isinstance(name, str):
        raise Refusal(400, '"item" must have a "type" and an "id"')
    if kind != "model":
        raise Refusal(404, f"The local Hub holds models only, and so no {kind} {name}")
    renamed = call.store.renamed(name)
    repo = call.find_repo(renamed.id if renamed else name)
    if any(item.key == repo.facts["key"] for item in one.items):
        raise Refusal(409, "This item is already in the collection")
    one.items.append(Item(key_of(f"{one.id} {repo.facts['key']}"), repo.facts["key"], _note(call)))


def _item(call: Call, one: Collection) -> Item:
    return _named(one, call.param("item"))


def _named(one: Collection, item_id: str) -> Item:
    found = next((item for item in one.items if item.id == item_id), None)
    if found is None:
        raise NotThere("item", "Item not found in the collection")
    return found


def _change(one: Collection, item: Item, wanted: dict[str, Any]) -> None:
    note = wanted.get("note", item.note)
    if not isinstance(note, str) or len(note) > COLLECTION_NOTE_MAX:
        raise Refusal(400, f'"note" must be text of at most {COLLECTION_NOTE_MAX} characters')
    item.note = note
    if "position" in wanted:
        place = _position(wanted["position"])
        one.items.remove(item)
        one.items.insert(place, item)


def update_item(call: Call) -> Response:
    """PATCH /api/collections/OWNER/SLUG/items/ITEM."""
    with call.store.shelves.lock:
        one = find(call, write=True)
        _change(one, _item(call, one), call.json())
        call.store.shelves.save(one)
    return reply({"success": True})


def update_items(call: Call) -> Response:
    """POST /api/collections/OWNER/SLUG/items/batch: many changes, all of them or none."""
    wanted = read_json(call.body)
    if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
        raise Refusal(400, "The body must be a list of objects")
    with call.store.shelves.lock:
        one = find(call, write=True)
        for item in wanted:
            data = item.get("data")
            if item.get("action") != "update" or not isinstance(data, dict):
                raise Refusal(400, 'Each change needs "action": "update" and "data"')
            _change(one, _named(one, str(item.get("_id"))), data)
        call.store.shelves.save(one)
    return reply({"success": True})


def delete_item(call: Call) -> Response:
    """DELETE /api/collections/OWNER/SLUG/items/ITEM."""
    with call.store.shelves.lock:
        one = find(call, write=True)
        one.items.remove(_item(call, one))
        call.store.shelves.save(one)
    return reply({"success": True})


def _position(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refusal(400, '"position" must be a number, 0 or more')
    return value


def _note(call: Call) -> str:
    return _text(call, "note", COLLECTION_NOTE_MAX)


def _text(call: Call, key: str, most: int) -> str:
    text = call.text(key, "")
    if len(text) > most:
        raise Refusal(400, f'"{key}" may have {most} characters at most')
    return text
