"""The base model in the metadata: named, by its id, the right one, and with its relation."""

from __future__ import annotations

from collections.abc import Iterator

from hubkit import base_model, hub_names, hub_rules
from hubkit.audit import truths
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.rules.metadata import is_empty
from hubkit.audit.subject import Subject


def _named(subject: Subject) -> list[tuple[int | None, str]]:
    """The bases that the metadata names, with their lines."""
    value = subject.document.metadata.get("base_model")
    front = subject.document.front
    if isinstance(value, list):
        return [
            (front.line_of("base_model", index), one)
            for index, one in enumerate(value)
            if isinstance(one, str) and not is_empty(one)
        ]
    return [(front.line_of("base_model"), value)] if isinstance(value, str) and not is_empty(value) else []


@rule("HK120", "warning", title="No base model in the metadata")
def missing(subject: Subject) -> Iterator[Fault]:
    """An adapter is nothing without its base. The Hub links the two, and counts the adapter among the
    base's, by `base_model` alone.

    Bad:

        ---
        library_name: peft
        ---

    Good:

        ---
        library_name: peft
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---
    """
    if subject.document.front.data is None or "base_model" in subject.document.metadata:
        return
    known = subject.base_id
    yield found(
        subject.document.front.first,
        "The metadata names no base model.",
        instead=known,
        mend=f"base_model: {hub_names.MODELS.get(known, known) if known else 'owner/name'}",
    )


@rule("HK121", "error", title="A base model that is no id of the Hub")
def no_id(subject: Subject) -> Iterator[Fault]:
    """`base_model` is an id on the Hub, `owner/name`. A path of the machine that trained the adapter, an
    address, or an id with a commit behind it links to nothing.

    Bad:

        ---
        base_model: ./models/SmolLM2-135M-Instruct
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---
    """
    for line, name in _named(subject):
        if base_model.hub_id(name) is not None:
            continue
        before = name.partition("@")[0]
        instead = subject.base_id or (before if before != name and hub_rules.is_repo_id(before) else None)
        yield found(
            line,
            "The base model is not named by its id on the Hub.",
            says=name,
            instead=instead,
            mend=f"base_model: {instead or 'owner/name'}",
        )
    value = subject.document.metadata.get("base_model")
    values = value if isinstance(value, list) else [value]
    if any(not isinstance(one, str) and one is not None for one in values):
        line = subject.document.front.line_of("base_model")
        yield found(
            line,
            "The base model is not named by its id on the Hub.",
            says=value,
            mend="base_model: owner/name",
        )


@rule("HK122", "warning", title="A base model without its owner")
def no_owner(subject: Subject) -> Iterator[Fault]:
    """Ids on the Hub have an owner. A few old ones without one redirect, and do not count as a link between
    the adapter and its base.

    Bad:

        ---
        base_model: bert-base-uncased
        ---

    Good:

        ---
        base_model: google-bert/bert-base-uncased
        ---
    """
    for line, name in _named(subject):
        if "/" not in name and base_model.hub_id(name):
            known = hub_names.MODELS.get(name.lower())
            yield found(
                line,
                "The base model is named without its owner.",
                says=name,
                instead=known,
                mend=f"base_model: {known or f'owner/{name}'}",
            )


@rule("HK123", "error", title="Another base model than the adapter's")
def another(subject: Subject) -> Iterator[Fault]:
    """The adapter's configuration names the base that it was trained on, and on another one its weights mean
    nothing. A path and an id of the same model, and a quantized copy of it, are no contradiction.

    Bad:

        ---
        base_model: HuggingFaceTB/SmolLM2-360M
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---
    """
    given = [(line, name) for line, name in _named(subject) if base_model.hub_id(name)]
    known = subject.base_id
    if not known or not given or any(_same(name, known, subject) for _, name in given):
        return
    yield found(
        given[0][0],
        "The adapter was trained on another base model.",
        says=", ".join(name for _, name in given),
        instead=f"{known} (adapter_config.json)" if subject.record is None else f"{known} (record)",
        mend=f"base_model: {hub_names.MODELS.get(known, known)}",
    )


def _same(name: str, known: str, subject: Subject) -> bool:
    if subject.record and subject.record.base_model and "/" in name and "/" in known:
        return name.lower() == known.lower()  # the record knows the id that was loaded
    return truths.same_model(name, known) and not truths.misspelt(name, known)


@rule("HK124", "warning", title="No relation to the base model")
def no_relation(subject: Subject) -> Iterator[Fault]:
    """`base_model_relation: adapter` says what the model is to its base. Without it the Hub guesses, and an
    adapter may be shown as a fine-tuned model. PEFT's tag `base_model:adapter:owner/name` says it too.

    Bad:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        base_model_relation: adapter
        ---
    """
    metadata = subject.document.metadata
    tags = metadata.get("tags")
    if any(str(tag).startswith("base_model:") for tag in (tags if isinstance(tags, list) else ())):
        return  # PEFT says it so; HK138 looks at what it says
    if subject.config is not None and "base_model" in metadata and "base_model_relation" not in metadata:
        yield found(
            subject.document.front.line_of("base_model"),
            "The metadata does not say that this is an adapter of its base model.",
            mend="base_model_relation: adapter",
        )


@rule("HK125", "error", title="A wrong relation to the base model")
def relation(subject: Subject) -> Iterator[Fault]:
    """Beside an adapter's files the relation is `adapter`; the Hub knows `adapter`, `finetune`, `merge` and
    `quantized`.

    Bad:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        base_model_relation: finetune
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        base_model_relation: adapter
        ---
    """
    said = subject.document.metadata.get("base_model_relation")
    if is_empty(said) or said == "adapter":
        return
    known = said in hub_rules.BASE_MODEL_RELATIONS
    if known and subject.config is None:
        return
    yield found(
        subject.document.front.line_of("base_model_relation"),
        "The files beside the card are an adapter." if known else "The Hub does not know this relation.",
        says=said,
        instead="adapter" if subject.config is not None else ", ".join(hub_rules.BASE_MODEL_RELATIONS),
        mend="base_model_relation: adapter",
    )
