"""The card's front matter: the metadata that the Hub reads, and its YAML.

The YAML is written by hand and not by a library: few forms are needed, keys keep their order, and a string
that any YAML parser could take for something else (`no`, `1e3`, `2024-01-01`) is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hubkit.card.facts import Facts
from hubkit.card.text import CONTROL, plain
from hubkit.hub_rules import is_repo_id
from hubkit.record import Classification, Perplexity

METRIC_NAMES = {
    "causal": "Perplexity",
    "masked": "Perplexity at masked positions",
    "answers": "Perplexity of the answers",
}


def metadata(facts: Facts) -> dict[str, Any]:
    """The metadata in the order it is written. What is not known has no key."""
    author, dataset = facts.author, facts.trained_on
    measured, classified = facts.record.measures.perplexity, facts.record.measures.classification
    found: dict[str, Any] = {
        "base_model": facts.base_id,
        "base_model_relation": "adapter" if facts.base_id else None,
        "library_name": "peft",
        "pipeline_tag": facts.task.PIPELINE_TAG if facts.task else None,
        "license": author.license,
        "license_name": plain(author.license_name or "") if author.license == "other" else None,
        "license_link": plain(author.license_link or "") if author.license == "other" else None,
        "language": list(author.language),
        "datasets": [dataset.id] if dataset and is_repo_id(dataset.id) else [],
        "metrics": (["perplexity"] if measured else []) + (["accuracy", "f1"] if classified else []),
        "tags": tags(facts),
        "model-index": _model_index(facts, [one for one in (measured, classified) if one]),
    }
    return {key: value for key, value in found.items() if value}


def tags(facts: Facts) -> list[str]:
    """The tags: those the method earns, the base's, the library's, the author's; each once."""
    own = [f"base_model:adapter:{facts.base_id}"] if facts.base_id else []
    own += facts.kind.tags
    if facts.task:
        own.append("transformers")
    return list(dict.fromkeys([*own, *(tag for tag in map(plain, facts.author.tags) if tag)]))


def model_name(facts: Facts) -> str:
    """The name of the model in model-index."""
    return (facts.repo_id or facts.directory_name).rpartition("/")[2]


def _model_index(facts: Facts, taken: Sequence[Perplexity | Classification]) -> list[dict[str, Any]]:
    """The results, one for each measure on a text; nothing where there is none."""
    task = {"type": facts.task.PIPELINE_TAG, "name": facts.task.TITLE} if facts.task else {"type": "other"}
    found = [{"task": task, "dataset": _text(one), "metrics": _metrics(one)} for one in taken]
    return [{"name": model_name(facts), "results": found}] if found else []


def _text(measured: Perplexity | Classification) -> dict[str, str]:
    name = plain(measured.dataset_name) or "evaluation text"
    described = {
        "type": measured.dataset_id if is_repo_id(measured.dataset_id) else slug(name),
        "name": name,
        "config": measured.dataset_config,
        "split": measured.split if measured.split != measured.dataset_name else None,
        "revision": measured.dataset_revision,
    }
    return {key: value for key, value in described.items() if value}


def _metrics(measured: Perplexity | Classification) -> list[dict[str, Any]]:
    """Types as the Hub's list of metrics has them (https://huggingface.co/metrics)."""
    if isinstance(measured, Perplexity):
        named = [("perplexity", METRIC_NAMES[measured.definition], measured.value)]
    else:
        named = [("accuracy", "Accuracy", measured.accuracy), ("f1", "Macro F1", measured.macro_f1)]
    return [{"type": kind, "name": name, "value": round(value, 4)} for kind, name, value in named]


def slug(name: str) -> str:
    """A local dataset's name in the form of an id: `Python's topics` -> `python-s-topics`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "local-text"


# --- YAML --------------------------------------------------------------------------------------------------

# What starts with a letter and holds only these is a plain string to YAML 1.1 and 1.2, unless it is a word
# below. A colon is safe where no space follows, and never at the end.
_PLAIN = re.compile(r"[A-Za-z](?:[\w./+(),-]|[ :](?=[\w./+(]))*", re.ASCII)
_RESERVED = frozenset("y n yes no on off true false null nan inf".split())
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def to_yaml(plain_metadata: dict[str, Any] | list[Any]) -> str:
    """The metadata, or a list, as YAML, with a newline at its end and without the `---` lines."""
    lines: list[str] = []
    _append(lines, plain_metadata, "", "")
    return "\n".join(lines) + "\n"


def _append(lines: list[str], value: Any, first: str, indent: str) -> None:
    """Append the lines of a mapping or a list that is not empty; `first` begins its first line."""
    if isinstance(value, list):
        for part in value:
            if isinstance(part, (dict, list)) and part:
                _append(lines, part, f"{first}- ", f"{indent}  ")
            else:
                lines.append(f"{first}- {scalar(part)}")
            first = indent
        return
    for key, part in value.items():
        if isinstance(part, (dict, list)) and part:
            lines.append(f"{first}{scalar(key)}:")
            # Lists stand at their key's own column, as the Hub's client writes them.
            inner = indent if isinstance(part, list) else f"{indent}  "
            _append(lines, part, inner, inner)
        else:
            lines.append(f"{first}{scalar(key)}: {scalar(part)}")
        first = indent


def scalar(value: Any) -> str:
    """One value as YAML."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _float(value) if isinstance(value, float) else str(value)


@lru_cache(maxsize=1024)
def _string(value: str) -> str:
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _RESERVED
    return value if is_plain else f'"{_escaped(value)}"'


def _float(value: float) -> str:
    """A float that YAML 1.1 reads as one too: it wants a dot in the mantissa and a sign in the exponent."""
    mantissa, e, exponent = repr(value).partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{exponent if exponent[:1] in '+-' else '+' + exponent}" if e else mantissa


def _escaped(text: str) -> str:
    return "".join(
        _ESCAPES.get(c) or (f"\\u{ord(c):04x}" if CONTROL.match(c) or c == "\ufeff" else c) for c in text
    )
