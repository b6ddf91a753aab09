"""The front matter as a whole: that it is there, where the Hub looks for it, and readable."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from hubkit import hub_rules
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject

KNOWN_KEYS = (
    "license", "license_name", "license_link", "language", "base_model", "base_model_relation",
    "library_name", "pipeline_tag", "datasets", "metrics", "tags", "model-index",
)  # fmt: skip
MISSPELT = {
    "licence": "license", "liscense": "license", "licenses": "license", "licence_name": "license_name",
    "licence_link": "license_link", "languages": "language", "lang": "language", "base-model": "base_model",
    "basemodel": "base_model", "baseModel": "base_model", "base_models": "base_model",
    "base-model-relation": "base_model_relation", "library": "library_name", "library-name": "library_name",
    "pipeline-tag": "pipeline_tag", "pipeline_tags": "pipeline_tag", "pipeline": "pipeline_tag",
    "dataset": "datasets", "metric": "metrics", "tag": "tags", "model_index": "model-index",
    "modelindex": "model-index",
}  # fmt: skip


@rule("HK101", "error", title="No front matter")
def missing(subject: Subject) -> Iterator[Fault]:
    """The Hub reads a card's metadata from a block of YAML between two lines of `---` at its very top.
    Without it the model has no license, no base model and no task, and no search finds it.

    Bad:

        # My adapter

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        library_name: peft
        ---

        # My adapter
    """
    if subject.document.front.first is None:
        yield found(
            1,
            "The card has no front matter.",
            mend="begin the file with a block of YAML between two lines of ---",
        )


@rule("HK102", "error", title="Front matter below the top")
def misplaced(subject: Subject) -> Iterator[Fault]:
    """The Hub looks for the front matter at the first byte of the file. An empty line, a heading or a byte
    order mark before it makes it text, and all metadata is lost.

    Bad:

        # My adapter

        ---
        license: apache-2.0
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---

    Good:

        ---
        license: apache-2.0
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---

        # My adapter
    """
    front = subject.document.front
    if front.first is not None and not front.at_first_byte:
        what = "a byte order mark" if front.first == 1 else "text or an empty line"
        yield found(
            front.first,
            f"The front matter is not at the first byte: {what} comes before it, so the Hub reads none.",
            mend="move it to the very top of the file",
        )


@rule("HK103", "error", title="Front matter that is not YAML")
def broken(subject: Subject) -> Iterator[Fault]:
    """A front matter that does not parse is refused by the Hub, or read as text.

    Bad:

        ---
        license: apache-2.0
        tags: [lora, peft
        ---

    Good:

        ---
        license: apache-2.0
        tags: [lora, peft]
        ---
    """
    front = subject.document.front
    if front.error:
        yield found(
            front.error_line, f"The front matter cannot be read: {front.error}.", mend="mend its YAML"
        )


@rule("HK104", "error", title="A key twice")
def twice(subject: Subject) -> Iterator[Fault]:
    """Of a key that stands twice, one value is lost, and readers differ in which.

    Bad:

        ---
        license: mit
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        license: apache-2.0
        ---

    Good:

        ---
        license: apache-2.0
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---
    """
    for path, line in subject.document.front.duplicates:
        yield found(
            line, f"The key {path[-1]!r} stands twice in the front matter.", mend="keep one of the two"
        )


@rule("HK105", "warning", title="A key that the Hub does not know")
def misspelt(subject: Subject) -> Iterator[Fault]:
    """The Hub leaves out keys that it does not know, without a word: `licence` is no license.

    Bad:

        ---
        licence: apache-2.0
        ---

    Good:

        ---
        license: apache-2.0
        ---
    """
    front = subject.document.front
    for key in subject.document.metadata:
        right = MISSPELT.get(key)
        if right and right not in subject.document.metadata:
            value = subject.document.metadata[key]
            unknown = right == "license" and str(value) not in hub_rules.LICENSES  # TRL: `licence: license`
            yield found(
                front.line_of(key),
                f"The Hub does not know the key {key!r}, and leaves it out.",
                says=f"{key}: {value}"[:80] if unknown else key,
                instead=right,
                mend="license: an id of the Hub's list" if unknown else f"write it as {right}",
            )


def is_empty(value: Any) -> bool:
    """Whether a value of the metadata says nothing: null, NaN, an empty text, the word None."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, str):
        return value.strip().lower() in ("", "none", "null", "nan", "n/a")
    return value is None


@rule("HK106", "error", title="A key without a value")
def empty(subject: Subject) -> Iterator[Fault]:
    """A null, a NaN or the word None in the metadata is what is left of a value that a program did not
    have. The Hub refuses it, or shows it.

    Bad:

        ---
        base_model: None
        language:
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        language: en
        ---
    """
    front = subject.document.front
    for key in KNOWN_KEYS:
        if key not in subject.document.metadata or key == "model-index":
            continue
        value = subject.document.metadata[key]
        items = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, item in items:
            if is_empty(item):
                line = front.line_of(key) if index is None else front.line_of(key, index)
                yield found(line, f'"{key}" has no value.', says=repr(item), mend="give one, or drop the key")
    for place in _nones(subject.document.metadata.get("model-index"), "model-index"):
        yield found(
            front.line_of(*place),
            f'"{place[-1]}" has no value.',
            says="None",
            mend="give one, or drop the key",
        )


def _nones(value: Any, *place: str | int) -> Iterator[tuple[str | int, ...]]:
    """Where the word None stands for a value: the Trainer writes `split: None` where it knows of none."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if inner in ("None", "null", "nan"):
            yield *place, key
        elif len(place) < 12:
            yield from _nones(inner, *place, key)


_PLACE = re.compile(r'"(model-index[^"]*)"')


@rule("HK107", "error", title="A model-index that the Hub refuses")
def model_index(subject: Subject) -> Iterator[Fault]:
    """Results in the metadata need a task, a dataset with type and name, and metrics with type and value; a
    null, a NaN or a number where a name belongs is refused.

    Bad:

        ---
        model-index:
        - name: mine
          results:
          - task: {type: text-generation}
            dataset: {name: WikiText}
            metrics:
            - type: perplexity
              value: .nan
        ---

    Good:

        ---
        model-index:
        - name: mine
          results:
          - task: {type: text-generation}
            dataset: {name: WikiText, type: Salesforce/wikitext}
            metrics:
            - type: perplexity
              value: 15.06
        ---
    """
    for problem in hub_rules.front_matter_problems(subject.document.metadata):
        place = _PLACE.match(problem)
        if place:
            parts = [int(p) if p.isdigit() else p for p in re.findall(r"[^.\[\]]+", place[1])]
            line = subject.document.front.line_of(*parts)
            yield found(line, f"The Hub refuses {problem}.", mend="complete the result, or drop it")
