"""Collections on disk: one file each, by its id, below `collections/` of the store."""

from __future__ import annotations

import json
import re
import secrets
import threading
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hubkit.localhub.objects import write_json
from hubkit.localhub.repo import Exists, NotThere, now

_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(slots=True)
class Item:
    """A repo in a collection, by the key that it keeps when it is renamed."""

    id: str
    key: str
    note: str = ""


@dataclass(slots=True)
class Collection:
    """A list of repos with a title."""

    id: str
    owner: str
    title: str
    description: str = ""
    private: bool = False
    theme: str = "orange"
    position: int = 0
    updated: str = ""
    items: list[Item] = field(default_factory=list)

    @property
    def slug(self) -> str:
        """The name in an address; the words follow the title, the id at the end stays."""
        return f"{self.owner}/{words_of(self.title)}-{self.id}"


def words_of(title: str) -> str:
    """The words of a title as an address has them."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "collection"


def new_id() -> str:
    """An id as the Hub makes them."""
    return secrets.token_hex(12)


class Shelves:
    """The collections of a store."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.folder = root / "collections"
        self.scratch = scratch
        self.lock = threading.RLock()

    def every(self) -> list[Collection]:
        """All collections, the one that changed last first."""
        places = self.folder.glob("*.json") if self.folder.exists() else ()
        return sorted((_read(place) for place in places), key=lambda one: one.updated, reverse=True)

    def get(self, owner: str, slug: str) -> Collection:
        """A collection by its address: the words before the id may be those of an older title."""
        place = self.folder / f"{slug[-24:]}.json"
        if _ID.fullmatch(slug[-24:]) and place.exists():
            found = _read(place)
            if found.owner == owner:
                return found
        raise NotThere("collection", "Collection not found")

    def create(self, new: Collection) -> Collection:
        """Keep a new collection; Exists, with that one's slug, when its owner has one of this title."""
        with self.lock:
            for known in self.every():
                if (known.owner, known.title) == (new.owner, new.title):
                    raise Exists(known.slug)
            self.save(new)
            return new

    def save(self, changed: Collection) -> None:
        """Write a collection."""
        changed.updated = now()
        write_json(self.folder / f"{changed.id}.json", asdict(changed), self.scratch)

    def delete(self, gone: Collection) -> None:
        """Remove a collection."""
        (self.folder / f"{gone.id}.json").unlink(missing_ok=True)


def _read(place: Path) -> Collection:
    facts = json.loads(place.read_bytes())
    return Collection(**{**facts, "items": [Item(**item) for item in facts["items"]]})
