"""What the Hub chooses a model by: library and task of the metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit import hub_rules, tasks
from hubkit.audit import rewritten
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.rules.metadata import is_empty
from hubkit.audit.subject import Subject
from hubkit.record import Record

LOAD_ADAPTERS = frozenset(
    "peft transformers diffusers sentence-transformers adapter-transformers unsloth mlx mlx-lm vllm trl"
    " axolotl setfit gliner colpali swift ms-swift llamafactory llama-factory timm nemo pylate open_clip"
    " lerobot".split()
)


@rule("HK130", "warning", title="No library in the metadata")
def no_library(subject: Subject) -> Iterator[Fault]:
    """`library_name: peft` tells the Hub how the files are loaded: it picks the snippet, the download count
    and the widget by it.

    Bad:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        library_name: peft
        ---
    """
    metadata = subject.document.metadata
    if (
        subject.config is not None
        and subject.document.front.data is not None
        and "library_name" not in metadata
    ):
        yield found(subject.document.front.first, "The metadata names no library.", mend="library_name: peft")


@rule("HK131", "error", title="A library that does not load an adapter")
def library(subject: Subject) -> Iterator[Fault]:
    """Beside an adapter's files the library is PEFT. Libraries that load adapters themselves may name
    themselves; the names of methods, bases and frameworks are no libraries that could load it.

    Bad:

        ---
        library_name: pytorch
        ---

    Good:

        ---
        library_name: peft
        ---
    """
    said = subject.document.metadata.get("library_name")
    if is_empty(said) or subject.config is None:
        return
    if not isinstance(said, str) or (said.lower() not in LOAD_ADAPTERS and _is_known_wrong(said)):
        yield found(
            subject.document.front.line_of("library_name"),
            "This is not the library that loads the adapter beside the card.",
            says=said,
            instead="peft",
            mend="library_name: peft",
        )
    elif _made_with_peft(subject, said):
        yield found(
            subject.document.front.line_of("library_name"),
            "The adapter beside the card is loaded by PEFT.",
            says=said,
            instead="peft",
            mend="library_name: peft",
        )


def _made_with_peft(subject: Subject, said: str) -> bool:
    """Whether hubkit knows that the adapter is PEFT's, and the card names another library."""
    if subject.record is None or said == "peft":
        return False
    return subject.record.training is not None or said not in hub_rules.ADAPTER_LIBRARIES


def _is_known_wrong(said: str) -> bool:
    return bool(
        re.search(
            r"torch|tensorflow|keras|jax|flax|lora|bert|llama|gpt|sklearn|scikit|datasets", said.lower()
        )
    )


@rule("HK132", "warning", title="No task in the metadata")
def no_task(subject: Subject) -> Iterator[Fault]:
    """Without `pipeline_tag` the model is in no list of models for a task.

    Bad:

        ---
        library_name: peft
        ---

    Good:

        ---
        library_name: peft
        pipeline_tag: text-generation
        ---
    """
    if subject.document.front.data is None or "pipeline_tag" in subject.document.metadata:
        return
    task = subject.facts.task if subject.facts else None
    tag = task.PIPELINE_TAG if task else None
    yield found(
        subject.document.front.first,
        "The metadata names no task.",
        instead=tag,
        mend=f"pipeline_tag: {tag or 'one of https://huggingface.co/tasks'}",
        severity=None if tag else rewritten.lack(subject),
    )


@rule("HK133", "error", title="A task that the Hub does not know")
def unknown_task(subject: Subject) -> Iterator[Fault]:
    """`pipeline_tag` is one of the Hub's tasks.

    Bad:

        ---
        pipeline_tag: language-modeling
        ---

    Good:

        ---
        pipeline_tag: text-generation
        ---
    """
    said = subject.document.metadata.get("pipeline_tag")
    if is_empty(said):
        return
    for problem in hub_rules.front_matter_problems({"pipeline_tag": said}):
        line = subject.document.front.line_of("pipeline_tag")
        yield found(
            line,
            f"The Hub does not know this task: {problem}.",
            says=said,
            mend="pipeline_tag: one of its tasks",
        )


@rule("HK134", "error", title="A task that is not the adapter's")
def another_task(subject: Subject) -> Iterator[Fault]:
    """The adapter's task type, or its record, says what it was trained for; the Hub offers the model for
    the task in the metadata.

    Bad:

        ---
        pipeline_tag: fill-mask
        ---

    Good:

        ---
        pipeline_tag: text-generation
        ---
    """
    said = subject.document.metadata.get("pipeline_tag")
    if not isinstance(said, str) or said not in hub_rules.PIPELINE_TAGS:
        return
    recorded = tasks.TASKS.get((subject.record.task if subject.record else None) or "")
    wrong = tasks.cannot_be(subject.task_type, said)
    if recorded is not None and subject.record is not None and _was_done(subject.record):
        wrong = said != recorded.PIPELINE_TAG
    if wrong:
        right = recorded.PIPELINE_TAG if recorded else None
        why = f"it was trained for {recorded.TITLE}" if recorded else f"its task type is {subject.task_type}"
        yield found(
            subject.document.front.line_of("pipeline_tag"),
            "The adapter was not made for this task.",
            says=said,
            instead=f"{why}{f': {right}' if right else ''}",
            mend=f"pipeline_tag: {right}" if right else "name its own task",
        )


def _was_done(record: Record) -> bool:
    """Whether the adapter was trained or measured on the record's task, and not only described by it."""
    measures = record.measures
    return bool(record.training or measures.on_text or measures.throughput)
