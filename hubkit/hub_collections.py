"""Collections of the Hub: found by slug or title, created, and given a repo. All of it may be done twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.errors import HubError
from hubkit.hub import Hub

if TYPE_CHECKING:
    from huggingface_hub import Collection as Found

# The docstring of huggingface_hub's get_collection shows one: TheBloke/recent-models-64f9a55bb3115b4f513ec026
SLUG = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+-[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection: how the Hub names it, its title, its address, and whether only its owner sees it."""

    slug: str
    title: str
    url: str
    private: bool


def find(hub: Hub, name: str, owner: str) -> Collection | None:
    """A collection by its slug; by its title among those of `owner`. None when there is none to be seen."""
    if SLUG.fullmatch(name):
        return _by_slug(hub, name)
    with hub.calling(owner):
        listed = hub.api.list_collections(owner=owner)
        same = [found for found in listed if found.title.strip() == name.strip()]
    if len(same) > 1:
        slugs = ", ".join(found.slug for found in same[:3])
        raise HubError(f"{owner} has {len(same)} collections titled {name!r}: {slugs}", "give one's slug")
    return _collection(hub, same[0]) if same else None


def owners(hub: Hub) -> set[str]:
    """Whose collections this token may change: its user's and their organizations'."""
    with hub.calling("this user"):
        account = hub.api.whoami()
    return {account["name"], *(organization["name"] for organization in account.get("orgs", []))}


def create(hub: Hub, title: str, owner: str, private: bool) -> Collection:
    """Create a collection of `owner`, or take the one that is there under this title."""
    with hub.calling(f"{owner}'s collection {title!r}"):
        made = hub.api.create_collection(title, namespace=owner, private=private, exists_ok=True)
    return _collection(hub, made)


def add(hub: Hub, collection: Collection, repo_id: str) -> bool:
    """Add a model to a collection; whether it was new there."""
    if _holds(hub, collection, repo_id):
        return False
    with hub.calling(collection.slug):
        hub.api.add_collection_item(collection.slug, repo_id, "model", exists_ok=True)
    return True


def _holds(hub: Hub, collection: Collection, repo_id: str) -> bool:
    with hub.calling(collection.slug):
        items = hub.api.get_collection(collection.slug).items
    return any(item.item_type == "model" and item.item_id == repo_id for item in items)


def _by_slug(hub: Hub, slug: str) -> Collection | None:
    from huggingface_hub.errors import HfHubHTTPError

    with hub.calling(slug):
        try:
            return _collection(hub, hub.api.get_collection(slug))
        except HfHubHTTPError as error:
            if error.response.status_code != 404:
                raise
            return None


def _collection(hub: Hub, found: Found) -> Collection:
    return Collection(found.slug, found.title, f"{hub.endpoint}/collections/{found.slug}", found.private)
