"""What the pages show of a model, as data: chips, the column of facts, files, differences."""

from __future__ import annotations

import itertools
import json
import math
import struct
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hubkit.hub_rules import DEFAULT_BRANCH, is_repo_id
from hubkit.localhub.card import HEADER_MAX, Card, as_list, parameters, read_json
from hubkit.localhub.history import Changes, file_diff, last_commits
from hubkit.localhub.listing import METHODS, filter_address, short_texts
from hubkit.localhub.objects import File
from hubkit.localhub.repo import Commit, Repo, Tree

Chip = dict[str, str]
LINES_MAX = 2000

# https://huggingface.co/docs/hub/model-cards#specifying-a-base-model, in the words of the Hub's own page.
RELATIONS = {"adapter": "Adapter", "finetune": "Fine-tune", "merge": "Merge", "quantized": "Quantized"}

# The Hub's page reads these out of adapter_config.json for its own snippet.
TASK_TYPES = ("CAUSAL_LM", "SEQ_2_SEQ_LM", "TOKEN_CLS", "SEQ_CLS")


def size_text(size: int) -> str:
    """A size as a person reads it."""
    amount, units = float(size), ["bytes", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{size} bytes" if units[0] == "bytes" else f"{amount:.3g} {units[0]}"


def count_text(count: int) -> str:
    """A number of parameters as a person reads it."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g}{unit}"
    return str(count)


def value_text(value: Any) -> str:
    """A metric's value without needless digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or not math.isfinite(value):
        return f"{value:,}"
    text = f"{value:,.4f}".rstrip("0").rstrip(".")
    return text if text not in ("0", "-0") or value == 0 else f"{value:.3g}"


def date_text(date: str) -> str:
    """A date as the pages show it."""
    return date[:16].replace("T", " ")


def address(repo_id: str, kind: str, *parts: str) -> str:
    """The address of something of a repo: the first part is one segment, the second a path."""
    segments = [quote(parts[0], safe="")] if parts else []
    segments += [quote(part) for part in parts[1:] if part]
    return "/".join(["", repo_id, kind, *segments])


def chips(card: Card, tree: Tree) -> list[Chip]:
    """The row below the title."""
    meta = card.metadata

    def many(icon: str, values: Any, facet: str = "other", before: str = "", label: str = "") -> list[Chip]:
        """A chip a value; each leads to the list of models that have it."""
        return [
            {"kind": icon, "icon": icon, "label": label, "text": v, "href": filter_address(facet, before + v)}
            for v in short_texts(values)
        ]

    found = many("task", meta.get("pipeline_tag"), "pipeline_tag") + many("library", meta.get("library_name"))
    if any(path.endswith(".safetensors") for path in tree):
        found += many("library", "safetensors")
    found += many("dataset", meta.get("datasets"), before="dataset:") + many("language", meta.get("language"))
    found += many("license", meta.get("license"), before="license:", label="License:")
    bases = many("base", meta.get("base_model"), "base_model")
    known = {chip["text"] for chip in found + bases}
    tags = [tag for tag in short_texts(meta.get("tags")) if tag not in known]
    # What base_model says stands there already.
    own = [tag for tag in tags if not tag.startswith("base_model:")]
    return found + bases + [{**chip, "icon": ""} for chip in many("plain", own)]


def weights(repo: Repo, tree: Tree) -> list[dict[str, str]]:
    """The large numbers of the column: parameters and size on disk."""
    names = [p for p in tree if "/" not in p and p.endswith((".safetensors", ".bin"))]
    adapter = [name for name in names if name.startswith("adapter_model.")]
    counts = parameters(repo, {name: tree[name] for name in adapter or names})
    found = []
    if counts:
        kinds = ", ".join(sorted(counts))
        found.append({"value": count_text(sum(counts.values())), "label": f"parameters · {kinds}"})
    if names:
        size = sum(tree[name].size for name in adapter or names)
        kind = (adapter or names)[0].rpartition(".")[2]
        found.append({"value": size_text(size), "label": f"on disk · {kind}"})
    return found


def method_text(method: str) -> str:
    """A method as people write it; PEFT's own types stay in capitals."""
    return METHODS.get(method, method.upper())


def adapter_facts(repo: Repo, tree: Tree, method: str) -> tuple[list[tuple[str, str]], str]:
    """What adapter_config.json says, and a hint where the Hub's own page would stumble over it."""
    config = read_json(repo, tree, "adapter_config.json")
    if not config:
        return [], ""
    shown = [("Task type", "task_type"), ("Rank", "r"), ("Alpha", "lora_alpha")]
    shown += [("Dropout", "lora_dropout"), ("Targets", "target_modules")]
    facts = [("Method", method_text(method))] if method else []
    for name, key in shown:
        value = config.get(key)
        if value not in (None, "", []):
            facts.append(
                (name, ", ".join(sorted(map(str, value))) if isinstance(value, list) else value_text(value))
            )
    hint = ""
    if config.get("task_type") not in TASK_TYPES:
        hint = (
            f"adapter_config.json has no task_type among {', '.join(TASK_TYPES)}: the Hub's page says so too."
        )
    return facts, hint


def bases(card: Card, visible: set[str]) -> tuple[list[dict[str, str]], str]:
    """The base models, and what this model is to them: each leads to itself, or to its models on this Hub."""
    listed = []
    for name in short_texts(card.metadata.get("base_model")):
        here = name in visible and is_repo_id(name)
        listed.append({"id": name, "href": f"/{name}" if here else filter_address("base_model", name)})
    relation = str(card.metadata.get("base_model_relation") or "")
    return listed, relation


def results(card: Card) -> list[dict[str, str]]:
    """The rows of the evaluation results in model-index."""
    rows = []
    for entry in as_list(card.metadata.get("model-index")):
        for result in as_list(entry.get("results")) if isinstance(entry, dict) else []:
            dataset = result.get("dataset") if isinstance(result, dict) else None
            if not isinstance(dataset, dict):
                continue
            parts = [dataset.get("config"), dataset.get("split")]
            where = " · ".join(
                [str(dataset.get("name") or dataset.get("type")), *(str(p) for p in parts if p)]
            )
            for metric in as_list(result.get("metrics")):
                if isinstance(metric, dict) and "value" in metric:
                    name = str(metric.get("name") or metric.get("type"))
                    rows.append({"name": name, "where": where, "value": value_text(metric["value"])})
    return rows


def pointers(repo: Repo) -> dict[str, list[dict[str, str]]]:
    """The branches and tags that point at each commit."""
    found: dict[str, list[dict[str, str]]] = {}
    for kind, label in (("heads", "branch"), ("tags", "tag")):
        for name, oid in repo.refs(kind).items():
            mark = {"kind": label, "name": name, "href": address(repo.id, "tree", name)}
            found.setdefault(oid, []).append(mark)
    return found


def revision_names(repo: Repo, commits: int) -> list[dict[str, str]]:
    """What may be chosen to compare: branches, tags, pull requests, and the newest commits."""
    names = [*repo.refs("heads"), *repo.refs("tags"), *(f"refs/pr/{num}" for num in repo.refs("pr"))]
    found = [{"value": name, "text": name} for name in names]
    for commit in itertools.islice(repo.history(repo.resolve(DEFAULT_BRANCH)), commits):
        found.append({"value": commit.oid, "text": f"{commit.oid[:7]} {commit.title[:60]}"})
    return found


def commit_line(repo: Repo, commit: Commit) -> dict[str, str]:
    """A commit as lists show it."""
    return {
        "href": address(repo.id, "commit", commit.oid),
        "title": commit.title,
        "message": commit.message,
        "author": commit.author,
        "date": date_text(commit.date),
        "oid": commit.oid,
        "short": commit.oid[:7],
    }


def file_rows(repo: Repo, oid: str, revision: str, folder: str) -> list[dict[str, Any]]:
    """The rows of a folder: folders first, then files."""
    prefix = f"{folder}/" if folder else ""
    files: dict[str, File | None] = {}
    for path, file in repo.tree(oid).items():
        if path.startswith(prefix):
            name, _, deeper = path[len(prefix) :].partition("/")
            files[name] = None if deeper else file
    last = last_commits(repo, oid, [prefix + name for name in files])
    rows = []
    for name, entry in sorted(files.items(), key=lambda item: (item[1] is not None, item[0])):
        path = prefix + name
        rows.append(
            {
                "name": name,
                "folder": entry is None,
                "href": address(repo.id, "blob" if entry else "tree", revision, path),
                "lfs": bool(entry and entry.sha256),
                "size": size_text(entry.size) if entry else "",
                "download": address(repo.id, "resolve", revision, path) + "?download=true" if entry else "",
                "last": commit_line(repo, last[path]),
            }
        )
    return rows


def tensors(path: Path) -> list[dict[str, str]]:
    """The tensors that a safetensors file says it holds."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= HEADER_MAX else {}
        return [
            {"name": name, "shape": " × ".join(map(str, t["shape"])), "dtype": str(t["dtype"])}
            for name, t in header.items()
            if name != "__metadata__"
        ]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        return []


def diff_blocks(repo: Repo, changes: Changes) -> list[dict[str, Any]]:
    """The files of a change with their lines, each marked as added, removed or there to find the place by."""
    blocks = []
    for path, (before, after) in changes.items():
        note = "added" if before is None else "deleted" if after is None else "changed"
        if after and after.sha256:
            note += f" · large file · {size_text(after.size)}"
        lines = []
        for number, text in enumerate(file_diff(repo, path, before, after)[:LINES_MAX]):
            kind = "h" if text.startswith("@@") else {"+": "a", "-": "d"}.get(text[:1], "")
            if number > 1:  # the two names, or the one line on a binary file, come first
                lines.append({"kind": kind, "text": text.rstrip("\n")})
        blocks.append({"path": path, "note": note, "lines": lines})
    return blocks
