"""Render a card: a pure function of facts and template. No clock, no network, no environment.

The author's texts and all names are data: they are never evaluated as a template. A user's own template runs
in Jinja's sandbox, is handed plain values only, and stops on the first name that does not exist.
"""

from __future__ import annotations

import traceback
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import msgspec

import hubkit
from hubkit.card import (
    classified,
    configuration,
    evaluation,
    figures,
    fragments,
    front_matter,
    passage,
    prose,
    pruned,
    quality,
    regions,
    results,
    side_by_side,
    speeds,
    tables,
    text,
)
from hubkit.card.citations import BIBTEX
from hubkit.card.facts import Facts
from hubkit.card.ran import ran
from hubkit.card.usage import usage
from hubkit.errors import CardError
from hubkit.hub_rules import front_matter_problems
from hubkit.record import Author

TEMPLATE_NAME = "model_card.md.j2"
FILTERS = {
    "phrase": text.phrase,
    "passage": passage.passage,
    "code": text.code,
    "codes": text.codes,
    "count": text.count,
    "number": text.number,
    "percent": text.percent,
    "perplexity": text.perplexity,
    "rate": text.rate,
    "size": text.size,
    "exact_size": text.exact_size,
    "duration": text.duration,
    "digest": text.digest,
    "listed": text.listed,
    "table": text.table,
}


class _Absent(Exception):
    """A template wrote a value that is not known."""


def default_template() -> Path:
    """The packaged template; in a checkout, the one at the repository's top level."""
    package = Path(hubkit.__file__).parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / TEMPLATE_NAME).is_file():
            return folder / TEMPLATE_NAME
    raise CardError(f"hubkit's own template {TEMPLATE_NAME} is missing", "install hubkit again")


def render(facts: Facts, template: Path | None = None, metadata: dict[str, Any] | None = None) -> str:
    """The whole card as hubkit alone would write it, sealed (see `regions`).

    `metadata` stands in for what the facts make the front matter say. Raises CardError, naming the template's
    line.
    """
    if metadata is None:
        metadata = front_matter.metadata(facts)
    if problems := front_matter_problems(metadata):
        raise CardError("the Hub would refuse this card: " + "; ".join(problems), "mend the card's settings")
    path, source = (template, _read(template)) if template else _own()
    loaded, values = _load(path, source, own=template is None), context(facts, metadata)
    try:
        card = loaded.render(values)
    except Exception as error:  # a template can fail in any way that Python can
        raise _located(error, path) from error
    is_own = template is None or source == _own()[1]
    return regions.seal(_tidy(card), None if is_own else source)


def context(facts: Facts, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a template may use: rows of tables, sentences, snippets, and the record as plain data."""
    author = facts.author
    history_rows, history_head = results.history(facts)
    pruned_rows, pruned_head = pruned.by_module(facts)
    return {
        "front_matter": front_matter.to_yaml(metadata or front_matter.metadata(facts)),
        "title": prose.title(facts),
        "lead": prose.lead(facts),
        "repo_id": facts.repo_id,
        "base_id": facts.base_id,
        "method": facts.kind.title,
        "method_summary": facts.kind.summary,
        "task": facts.task.TITLE if facts.task else None,
        "at_a_glance": tables.at_a_glance(facts),
        "usage": usage(facts),
        "ran": ran(facts),
        "head_is_new": facts.brings_head and (facts.base_lacks_head or facts.labels is not None),
        "details": tables.details(facts),
        "configuration": configuration.main(facts),
        "configuration_more": configuration.more(facts),
        "training": results.training(facts),
        "training_more": results.training_more(facts),
        "evaluation_loss_note": prose.evaluation_loss_note(facts),
        "history": history_rows,
        "history_head": history_head,
        **_evaluation(facts),
        "base_weights": prose.base_weights(facts),
        "parameters": tables.parameters(facts),
        "found_training": results.found_training(facts),
        "pruned": pruned_rows,
        "pruned_head": pruned_head,
        "four_bit": facts.four_bit,
        "counted_on": facts.parameters.counted_on,
        "sizes": tables.sizes(facts),
        **_speed(facts),
        "comparison": side_by_side.section(facts),
        "figures": figures.shown(facts),
        "limitations": prose.limitations(facts),
        "environments": results.environments(facts),
        "citations": [BIBTEX[key] for key in facts.kind.papers],
        "license": prose.license_text(facts),
        "authors": [text.phrase(name) for name in author.authors if text.plain(name)],
        **_words(author),
        "footer": prose.footer(facts),
        "record": msgspec.to_builtins(facts.record),
        "adapter_config": dict(facts.adapter.config),
    }


# The author's texts that are sections of their own, by the part of the card they stand in.
_SECTIONS = {
    "uses": (
        ("intended_use", "Intended use"),
        ("downstream_use", "Downstream use"),
        ("out_of_scope", "Out-of-scope use"),
    ),
    "warnings": (("risks", "Risks and bias"), ("recommendations", "Recommendations")),
    "endnotes": (
        ("help", "Getting help"),
        ("funding", "Funding"),
        ("acknowledgements", "Acknowledgements"),
        ("glossary", "Glossary"),
        ("more_information", "More information"),
    ),
}


def _words(author: Author) -> dict[str, Any]:
    """The author's texts: `author` has all by name, the others those with a section of their own."""
    said = {name: passage.passage(value) for name in fragments.TEXTS if (value := getattr(author, name))}
    if author.citation:
        said["citation"] = passage.passage(passage.in_fence(author.citation))
    said = {name: value for name, value in said.items() if value}
    sections = {
        part: [(name.replace("_", "-"), heading, said[name]) for name, heading in names if name in said]
        for part, names in _SECTIONS.items()
    }
    return {"author": said, **sections}


def _evaluation(facts: Facts) -> dict[str, Any]:
    """What a template may use of the text, and of the perplexity on it."""
    measured, dataset = facts.record.measures.perplexity, facts.record.dataset
    sides_rows, sides_head = evaluation.data_sides(facts)
    perplexity_rows, perplexity_head = quality.values(facts)
    pseudo = facts.record.measures.pseudo_perplexity
    return {
        **_classified(facts),
        "data": evaluation.data(facts),
        "data_title": evaluation.data_title(facts),
        "data_sides": sides_rows,
        "data_sides_head": sides_head,
        "data_note": text.phrase((dataset.note if dataset else None) or ""),
        "perplexity": perplexity_rows,
        "perplexity_head": perplexity_head,
        "perplexity_definition": prose.perplexity_definition(measured) if measured else "",
        "perplexity_conditions": quality.conditions(facts, measured),
        "interval_note": quality.note(facts),
        "pseudo_definition": prose.perplexity_definition(pseudo) if pseudo else "",
        "pseudo_conditions": quality.conditions(facts, pseudo),
        "base_left_out": prose.base_left_out(measured) if measured else None,
    }


def _classified(facts: Facts) -> dict[str, Any]:
    """What a template may use of accuracy and F1."""
    rows, head = classified.values(facts)
    class_rows, class_head = classified.classes(facts)
    confusion_rows, confusion_head = classified.confusion(facts)
    return {
        "classification": rows,
        "classification_head": head,
        "classification_note": classified.note(facts),
        "classification_conditions": classified.conditions(facts),
        "classes": class_rows,
        "classes_head": class_head,
        "classes_title": classified.classes_title(facts),
        "confusion": confusion_rows,
        "confusion_head": confusion_head,
        "confusion_title": classified.confusion_title(facts),
    }


def _speed(facts: Facts) -> dict[str, Any]:
    """What a template may use of the throughput."""
    rows, head = speeds.values(facts)
    sweep_rows, sweep_head = speeds.sweep(facts)
    return {
        "throughput": rows,
        "throughput_head": head,
        "throughput_note": prose.throughput_note(facts),
        "speed_note": speeds.note(facts),
        "sweep": sweep_rows,
        "sweep_head": sweep_head,
        "largest_batch": speeds.largest(facts),
        "energy": speeds.energy(facts),
        "throughput_conditions": speeds.conditions(facts),
        "noisy": speeds.noisy(facts),
    }


@lru_cache(maxsize=8)
def _environment(own: bool) -> jinja2.Environment:
    kind: type[jinja2.Environment] = jinja2.Environment
    if not own:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        kind = ImmutableSandboxedEnvironment
    environment = kind(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is Markdown: text is escaped for Markdown where it is made
        finalize=_present,
    )
    environment.filters.update(FILTERS)
    return environment


def _present(value: Any) -> Any:
    """What was not measured is absent: a template cannot write None."""
    if value is None:
        raise _Absent("this value is not known; guard it with {% if %}")
    return value


@lru_cache(maxsize=8)
def _compiled(path: Path, source: str, own: bool) -> jinja2.Template:
    environment = _environment(own)
    code = environment.compile(source, name=path.name, filename=str(path))
    return environment.template_class.from_code(environment, code, environment.make_globals(None))


@lru_cache(maxsize=1)
def _own() -> tuple[Path, str]:
    """The packaged template and its text, which do not change while hubkit runs."""
    path = default_template()
    return path, _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CardError(
            f"cannot read template {path}: {reason}", "give a readable file to --template"
        ) from error


def _load(path: Path, source: str, own: bool) -> jinja2.Template:
    try:
        return _compiled(path, source, own)
    except jinja2.TemplateError as error:
        raise _located(error, path) from error


def _located(error: Exception, path: Path) -> CardError:
    """The error with the template's line."""
    line = getattr(error, "lineno", None)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line = frame.lineno
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    return CardError(f"{path}:{line or 1}: {message}", "mend the template")


def _tidy(card: str) -> str:
    """LF line ends, no blank at a line's end outside what the author wrote, one newline at the end."""
    if "\r" in card:
        card = card.replace("\r\n", "\n").replace("\r", "\n")
    return card.strip("\n") + "\n"
