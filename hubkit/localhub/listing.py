"""The list of models: what is known of each for it, which filters there are, and which models they leave."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub.card import as_list, card_of, parameters, read_json, tags_of
from hubkit.localhub.objects import Damaged
from hubkit.localhub.repo import NotThere, Repo, Tree

PAGE = 50
REMEMBERED = 10_000  # commits whose facts are kept, each a few hundred bytes
_TEXT_MAX, _MANY = 200, 100

# The query's names are those of the Hub's own list where it has one.
FACETS = {
    "author": "Owner",
    "base_model": "Base model",
    "method": "Method",
    "pipeline_tag": "Task",
    "other": "Tag",
    "visibility": "Visibility",
}
METHODS = {"lora": "LoRA", "qlora": "QLoRA", "sparse-lora": "Sparse LoRA", "hira": "HiRA"}
SORTS = {"recent": "Recently updated", "name": "Name"}
_PEFT = {"lora": "LORA", "qlora": "LORA", "sparse-lora": "LORA", "hira": "HIRA"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the list shows and filters by, of one commit."""

    date: str
    task: str
    method: str
    bases: tuple[str, ...]
    labels: tuple[str, ...]  # the card's own tags
    tags: frozenset[str]  # all that the Hub's search knows
    parameters: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the list."""

    id: str
    private: bool
    gated: bool
    facts: Facts

    def values(self, facet: str) -> Iterable[str]:
        """What a filter finds in this model."""
        match facet:
            case "author":
                return (self.id.split("/")[0],)
            case "base_model":
                return self.facts.bases
            case "method":
                return (self.facts.method,) if self.facts.method else ()
            case "pipeline_tag":
                return (self.facts.task,) if self.facts.task else ()
            case "other":
                return self.facts.tags
            case _:
                return ("private" if self.private else "public",)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a visitor asks of the list, and its address."""

    search: str
    chosen: Mapping[str, tuple[str, ...]]
    sort: str
    page: int

    def address(self, page: int = 1, /, **changes: Any) -> str:
        """The address of the list with something changed, from its first page unless told otherwise."""
        query: list[tuple[str, str]] = []
        values = {"search": self.search, **self.chosen, "sort": self.sort, **changes}
        values["sort"] = "" if values["sort"] == "recent" else values["sort"]
        for key, value in values.items():
            query += [(key, one) for one in ((value,) if isinstance(value, str) else value) if one]
        query += [("p", str(page))] if page > 1 else []
        return f"/?{urlencode(query)}" if query else "/"


def filter_address(facet: str, value: str) -> str:
    """The address of the list of models that one filter leaves."""
    return Wanted("", {}, "recent", 1).address(**{facet: value})


def short_texts(value: Any) -> tuple[str, ...]:
    """The words of a list in a card, as many and as long as a list can show."""
    texts = (str(one)[:_TEXT_MAX] for one in as_list(value)[:_MANY] if isinstance(one, str | int | float))
    return tuple(dict.fromkeys(text for text in texts if text.strip()))


def method_of(repo: Repo, tree: Tree, tags: Iterable[str]) -> str:
    """How an adapter was trained: by hubkit's record, else by PEFT's type and the card's tags."""
    peft = str(read_json(repo, tree, "adapter_config.json").get("peft_type") or "")
    record = read_json(repo, tree, "hubkit.json").get("method")
    name = record.get("name") if isinstance(record, dict) else None
    if isinstance(name, str) and _PEFT.get(name) == peft:
        return name
    if peft == "LORA" and "qlora" in tags:
        return "qlora"
    if peft == "LORA" and not {"sparse-lora", "sparse"}.isdisjoint(tags):
        return "sparse-lora"
    return peft.lower().replace("_", "-")[:_TEXT_MAX]


@functools.lru_cache(maxsize=REMEMBERED)
def facts_at(repo: Repo, oid: str) -> Facts:
    """The facts of a commit; a commit never changes, so what was read once stays true."""
    tree = repo.tree(oid)
    meta = card_of(repo, tree).metadata
    bases, labels = short_texts(meta.get("base_model")), short_texts(meta.get("tags"))
    own = {path: file for path, file in tree.items() if path.startswith("adapter_model.")}
    return Facts(
        repo.commit(oid).date,
        next(iter(short_texts(meta.get("pipeline_tag"))), ""),
        method_of(repo, tree, labels),
        bases,
        tuple(label for label in labels if not label.startswith("base_model:")),
        frozenset(short_texts(tags_of(meta, tree))),
        sum(parameters(repo, own or tree).values()),
    )


def entries(repos: Iterable[Repo]) -> list[Entry]:
    """The models of the list."""
    found = []
    for repo in repos:
        try:
            found.append(
                Entry(
                    repo.id,
                    repo.private,
                    bool(repo.facts["gated"]),
                    facts_at(repo, repo.resolve(DEFAULT_BRANCH)),
                )
            )
        except (NotThere, FileNotFoundError, Damaged):  # removed while the list was made, or damaged
            continue
    return found


def choose(all_of_them: Iterable[Entry], wanted: Wanted) -> tuple[list[Entry], dict[str, Counter[str]]]:
    """The models that pass, in order, and how many each value of a filter would leave."""
    words = wanted.search.lower().split()
    passed: list[Entry] = []
    counts: dict[str, Counter[str]] = {facet: Counter() for facet in FACETS}
    for entry in all_of_them:
        if not all(word in entry.id.lower() for word in words):
            continue
        missed = [
            facet for facet, values in wanted.chosen.items() if not set(values) <= set(entry.values(facet))
        ]
        if not missed:
            passed.append(entry)
        for facet in FACETS:
            # Tags add up, so theirs is the number of models that have one more; the rest replace each other.
            if not missed or (missed == [facet] and facet != "other"):
                counts[facet].update(entry.facts.labels if facet == "other" else entry.values(facet))
    counts["other"].update(
        {tag: len(passed) - counts["other"][tag] for tag in wanted.chosen.get("other", ())}
    )
    passed.sort(key=lambda entry: entry.id.lower())
    if wanted.sort == "recent":
        passed.sort(key=lambda entry: entry.facts.date, reverse=True)
    return passed, counts
