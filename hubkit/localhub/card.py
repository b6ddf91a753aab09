"""A model card as the Hub reads it: front matter, and the facts that follow from it and the files."""

from __future__ import annotations

import functools
import json
import math
import re
import struct
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hubkit.hub_rules import front_matter_problems, split_card
from hubkit.localhub.objects import File, lfs_pointer
from hubkit.localhub.repo import Repo, Tree

TOO_MANY = "the front matter holds too many values"
CARD_MAX = 10_000_000
HEADER_MAX = 25_000_000  # huggingface_hub/constants.py, SAFETENSORS_MAX_HEADER_LENGTH
VALUES_MAX = 50_000
NODES_MAX = 2 * VALUES_MAX  # with the keys
_DTYPE = re.compile(r"[A-Z0-9_]{1,20}")
PARAMETERS_MAX = 10**18  # more than that, and a shape is a joke


@dataclass(frozen=True, slots=True)
class Card:
    """A parsed README.md: its metadata, its Markdown, and what is wrong with the metadata."""

    metadata: dict[str, Any] = field(default_factory=dict)
    body: str = ""
    problems: tuple[str, ...] = ()
    has_metadata: bool = False


class _TooMany(Exception):
    """The front matter goes on and on."""


class _Loader(yaml.SafeLoader):
    """YAML as the Hub's JavaScript parser reads it: `no` is a word, and a key that comes twice an error."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > NODES_MAX:  # each takes 20 microseconds and half a kilobyte
            raise _TooMany
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(str(key.value) for key, _ in node.value)
        for key, count in keys.items():
            if count > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicated mapping key {key!r}", node.start_mark
                )
        return super().construct_mapping(node, deep)


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != _BOOL]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))


def parse_card(text: str) -> Card:
    """Split a README.md and check its metadata."""
    told, body = split_card(text)
    if told is None:
        return Card(body=text)
    try:
        metadata = yaml.load(told, _Loader)
    except _TooMany:
        return Card({}, body, (TOO_MANY,), True)
    except yaml.YAMLError as error:
        return Card({}, body, (" ".join(f"the front matter is not YAML: {error}".split()),), True)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):  # as of !!bool x
        return Card({}, body, ("the front matter holds a value that cannot be read",), True)
    if metadata is None:
        return Card(body=body)
    if not isinstance(metadata, dict):
        return Card({}, body, ("the front matter must be a mapping of keys to values",), True)
    if _too_large(metadata):
        return Card({}, body, (TOO_MANY,), True)
    return Card(_as_json(metadata), body, tuple(front_matter_problems(metadata)), True)


def _as_json(value: Any, shared: dict[int, Any] | None = None) -> Any:
    """A value of YAML as JSON can tell it: keys are text, text is whole, numbers finite and not endless.

    What an alias repeats is one object, here too.
    """
    shared = {} if shared is None else shared
    if id(value) in shared:
        return shared[id(value)]
    if isinstance(value, dict):
        told: Any = {_key(key): _as_json(part, shared) for key, part in value.items()}
    elif isinstance(value, list | tuple | set):
        told = [_as_json(part, shared) for part in value]
    elif isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 10**100 else None
    elif isinstance(value, float):
        return value if math.isfinite(value) else None
    else:
        return _whole(value) if isinstance(value, str) else value
    shared[id(value)] = told
    return told


def _key(key: Any) -> str:
    """A key as JavaScript has it."""
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return _whole(str(key)) if not isinstance(key, int) or abs(key) < 10**100 else "Infinity"


def _whole(text: str) -> str:
    """A text without halves of characters, which an escape can bring and no file could hold."""
    return text.encode(errors="replace").decode()


def _too_large(value: Any) -> bool:
    """Whether a value has too many parts once its aliases are followed (they may even form a circle)."""
    left, stack = VALUES_MAX, [value]
    while stack and left:
        part = stack.pop()
        left -= 1
        if isinstance(part, dict):
            stack += part.values()
        elif isinstance(part, list):
            stack += part
    return bool(stack)


@functools.lru_cache(maxsize=256)
def _card_at(path: Path) -> Card:
    """The card in a file; the path is made of its digest, so what was read once stays true."""
    return parse_card(path.read_text(encoding="utf-8", errors="replace"))


def card_of(repo: Repo, tree: Tree) -> Card:
    """The card of a commit."""
    file = tree.get("README.md")
    if file is None or file.sha256 or file.size > CARD_MAX:
        return Card()
    return _card_at(repo.objects.path(file))


def read_json(repo: Repo, tree: Tree, path: str) -> dict[str, Any]:
    """A small JSON file of a commit, empty when there is none or it is none."""
    file = tree.get(path)
    if file is None or file.size > CARD_MAX:
        return {}
    try:
        value = json.loads(repo.objects.path(file).read_bytes())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@functools.lru_cache(maxsize=256)
def safetensors_counts(path: Path) -> dict[str, int]:
    """How many parameters a safetensors file holds, by dtype; empty when its header makes no sense."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= HEADER_MAX else {}
        counts: Counter[str] = Counter()
        for name, tensor in header.items():
            if name != "__metadata__":
                size = 1
                for dimension in tensor["shape"]:
                    size = min(size * int(dimension), PARAMETERS_MAX)
                if _DTYPE.fullmatch(tensor["dtype"]) and size >= 0:
                    counts[tensor["dtype"]] += size
    except (
        struct.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ):
        return {}
    return dict(counts)


def parameters(repo: Repo, tree: Tree) -> dict[str, int]:
    """The parameters in the weights of a commit, by dtype."""
    counts: Counter[str] = Counter()
    for path, file in tree.items():
        if path.endswith(".safetensors") and "/" not in path:
            counts.update(safetensors_counts(repo.objects.path(file)))
    return dict(counts)


def as_list(value: Any) -> list[Any]:
    """A value that may be one or many, as many."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def tags_of(metadata: dict[str, Any], tree: Tree) -> list[str]:
    """The tags that the Hub shows and searches by: the card's own and those that its other keys mean."""
    relation = metadata.get("base_model_relation") or (
        "adapter" if "adapter_config.json" in tree else "finetune"
    )
    tags = [str(metadata["library_name"])] if metadata.get("library_name") else []
    if any(path.endswith(".safetensors") for path in tree):
        tags.append("safetensors")
    tags += [str(tag) for tag in as_list(metadata.get("tags"))]
    tags += [str(code) for code in as_list(metadata.get("language"))]
    tags += [f"dataset:{name}" for name in as_list(metadata.get("datasets"))]
    for model in as_list(metadata.get("base_model")):
        tags += [f"base_model:{model}", f"base_model:{relation}:{model}"]
    tags += [f"license:{name}" for name in as_list(metadata.get("license"))]
    return list(dict.fromkeys(tags))


def file_entry(path: str, file: File) -> dict[str, Any]:
    """A file as `tree` and `paths-info` list it."""
    entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if file.sha256:
        pointer = len(lfs_pointer(file.sha256, file.size))
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": pointer}
    return entry


def _sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path}
    if blobs:
        entry |= {"blobId": file.oid, "size": file.size}
        if file.sha256:
            pointer = len(lfs_pointer(file.sha256, file.size))
            entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": pointer}
    return entry


class Remembered:
    """Values that cost some work, the latest of them, together of no more than `most` bytes as estimated."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.weight = 0
        self._held: OrderedDict[Any, tuple[dict[str, Any], int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any) -> dict[str, Any] | None:
        """What is remembered under a key; not to be changed."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def put(self, key: Any, value: dict[str, Any], weight: int) -> None:
        """Remember a value, and forget the oldest that do not fit beside it; none is worth a tenth."""
        if weight > self.most // 10:
            return
        with self._lock:
            self.weight += weight - self._held.pop(key, ({}, 0))[1]
            self._held[key] = value, weight
            while self.weight > self.most:
                self.weight -= self._held.popitem(last=False)[1][1]


_KNOWN = Remembered(100_000_000)


def _at(repo: Repo, oid: str) -> dict[str, Any]:
    """What is told of a model by the files of a commit alone; it never changes, so it is read once."""
    key = (repo.objects.blobs, oid)
    known = _KNOWN.get(key)
    if known is None:
        tree = repo.tree(oid)
        known = _read_at(repo, oid, tree)
        read = [tree[path].size for path in ("README.md", "adapter_config.json") if path in tree]
        _KNOWN.put(key, known, 50 * sum(read) + 500 * len(tree) + 2000)  # objects are larger than their text
    return known


def _read_at(repo: Repo, oid: str, tree: Tree) -> dict[str, Any]:
    metadata = card_of(repo, tree).metadata
    adapter = read_json(repo, tree, "adapter_config.json")
    counts = parameters(repo, tree)
    info: dict[str, Any] = {
        "sha": oid,
        "lastModified": repo.commit(oid).date,
        "tags": tags_of(metadata, tree),
        "siblings": [_sibling(path, file, False) for path, file in tree.items()],
        "usedStorage": sum(file.size for file in tree.values()),
    }
    for key in ("pipeline_tag", "library_name", "model-index"):
        if metadata.get(key):
            info[key] = metadata[key]
    if metadata:
        info["cardData"] = metadata
    if adapter:
        facts = {key: adapter[key] for key in ("base_model_name_or_path", "task_type") if adapter.get(key)}
        info["config"] = {"peft": facts}
    if counts:
        info["safetensors"] = {"parameters": counts, "total": sum(counts.values())}
    return info


def model_info(repo: Repo, oid: str, *, blobs: bool = False) -> dict[str, Any]:
    """Everything the Hub tells of a model at a commit."""
    info = {
        "_id": repo.facts["key"],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.split("/")[0],
        "createdAt": repo.facts["created"],
        "private": repo.private,
        "gated": repo.facts["gated"],
        "disabled": bool(repo.facts.get("disabled")),
        "downloads": 0,
        "likes": 0,
        **_at(repo, oid),
    }
    if blobs:
        info["siblings"] = [_sibling(path, file, True) for path, file in repo.tree(oid).items()]
    return info
