"""The lists of the metadata: datasets, tags and metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit import hub_names, hub_rules
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.rules.metadata import is_empty
from hubkit.audit.subject import Subject

# Tags that name PEFT's methods, and the types that they may stand on.
METHOD_TAGS = {
    "lora": {"LORA", "ADALORA", "XLORA"}, "qlora": {"LORA"}, "dora": {"LORA"}, "rslora": {"LORA"},
    "sparse-lora": {"LORA"}, "hira": {"HIRA"}, "ia3": {"IA3"}, "loha": {"LOHA"}, "lokr": {"LOKR"},
    "vera": {"VERA"},
    "oft": {"OFT"}, "boft": {"BOFT"}, "adalora": {"ADALORA"}, "prefix-tuning": {"PREFIX_TUNING"},
    "prompt-tuning": {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING"}, "p-tuning": {"P_TUNING"},
}  # fmt: skip
FOUR_BIT_TAGS = frozenset({"qlora", "4-bit", "4bit", "bitsandbytes", "nf4"})


def _items(subject: Subject, key: str) -> list[tuple[int | None, str]]:
    """The texts that a key of the metadata lists, with their lines."""
    value = subject.document.metadata.get(key)
    values = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
    line_of = subject.document.front.line_of
    return [
        (line_of(key) if index is None else line_of(key, index), one)
        for index, one in values
        if isinstance(one, str) and not is_empty(one)
    ]


@rule("HK135", "error", title="A dataset that is no id of the Hub")
def dataset_id(subject: Subject) -> Iterator[Fault]:
    """`datasets` lists ids on the Hub. A path, an address or a sentence links to nothing: describe such
    data in the text.

    Bad:

        ---
        datasets:
        - ./data/train.jsonl
        ---

    Good:

        ---
        datasets:
        - Salesforce/wikitext
        ---
    """
    for line, name in _items(subject, "datasets"):
        if not hub_rules.is_repo_id(name):
            yield found(
                line, "This is no id of a dataset on the Hub.", says=name, mend="drop it, or name its id"
            )


@rule("HK136", "warning", title="A dataset without its owner")
def dataset_owner(subject: Subject) -> Iterator[Fault]:
    """Datasets on the Hub have an owner. A few old ids without one redirect; most names without an owner
    are ids of nothing.

    Bad:

        ---
        datasets:
        - wikitext2
        ---

    Good:

        ---
        datasets:
        - Salesforce/wikitext
        ---
    """
    for line, name in _items(subject, "datasets"):
        if "/" not in name and hub_rules.is_repo_id(name):
            known = hub_names.DATASETS.get(name.lower())
            yield found(
                line,
                "The dataset is not named by its id, which has an owner.",
                says=name,
                instead=known,
                mend=f"write {known or f'owner/{name}'}, or drop it where it is not on the Hub",
            )


@rule("HK137", "error", title="Other datasets than the adapter's")
def another_dataset(subject: Subject) -> Iterator[Fault]:
    """The record knows the dataset that the adapter was trained on. The metadata may list more, and must
    not list another in its place.

    Bad:

        ---
        datasets:
        - HuggingFaceFW/fineweb
        ---

    Good:

        ---
        datasets:
        - Salesforce/wikitext
        ---
    """
    dataset = subject.facts.trained_on if subject.facts else None
    named = _items(subject, "datasets")
    if (
        not dataset
        or not dataset.id
        or not named
        or dataset.id.lower() in {name.lower() for _, name in named}
    ):
        return
    yield found(
        named[0][0],
        "The adapter was trained on another dataset.",
        says=", ".join(name for _, name in named),
        instead=dataset.id,
        mend=f"datasets: [{dataset.id}]",
    )


@rule("HK138", "error", title="A tag that the adapter denies")
def tags(subject: Subject) -> Iterator[Fault]:
    """Programs choose models by tags: `lora` makes inference providers load the file as LoRA, and
    `base_model:adapter:...` puts it among the adapters of a base.

    Bad:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        tags:
        - hira
        - base_model:adapter:google/gemma-2-2b
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        tags:
        - lora
        - base_model:adapter:HuggingFaceTB/SmolLM2-135M-Instruct
        ---
    """
    named = {name.lower() for _, name in _items(subject, "base_model")}
    for line, tag in _items(subject, "tags"):
        kinds = METHOD_TAGS.get(tag.lower())
        if kinds and subject.peft_type and subject.peft_type not in kinds:
            yield found(
                line,
                f"The adapter is not what the tag {tag!r} says.",
                says=tag,
                instead=f"peft_type {subject.peft_type} (adapter_config.json)",
                mend="drop the tag",
            )
        elif tag.lower() in FOUR_BIT_TAGS and _was_not_quantized(subject):
            yield found(
                line,
                f"The tag {tag!r} speaks of 4-bit weights, and training held the base in none.",
                says=tag,
                instead=f"base in {_dtype(subject)} (record)",
                mend="drop the tag",
            )
        about = re.fullmatch(r"base_model:(?:(adapter|finetune|merge|quantized):)?([\w.-]+/[\w.-]+)", tag)
        if about and named and about[2].lower() not in named:
            yield found(
                line, "The tag names another base model than the metadata.", says=tag, mend="drop the tag"
            )
        elif about and about[1] in ("finetune", "merge", "quantized") and subject.config is not None:
            yield found(line, "The files beside the card are an adapter.", says=tag, mend="drop the tag")


def _was_not_quantized(subject: Subject) -> bool:
    """Whether the record knows how the base was loaded in training, and that it was not quantized."""
    record = subject.record
    return bool(
        record
        and record.training
        and record.base_model
        and record.base_model.dtype
        and not subject.quantization
    )


def _dtype(subject: Subject) -> str:
    base = subject.record.base_model if subject.record else None
    return (base.dtype if base else None) or "full precision"


@rule("HK139", "warning", title="A metric without a result")
def metric_without_result(subject: Subject) -> Iterator[Fault]:
    """A metric in the metadata says that the model was measured by it. Where the card holds no value of it,
    it was not.

    Bad:

        ---
        metrics:
        - accuracy
        ---

    Good:

        ---
        metrics:
        - accuracy
        ---

        | Metric   | Value |
        | -------- | ----: |
        | Accuracy | 0.913 |
    """
    results = _results(subject)
    for line, metric in _items(subject, "metrics"):
        names = re.split(r"[/:]", metric.lower())
        if not any(_has_value(subject, name, results) for name in {metric.lower(), names[-1]} if name):
            yield found(
                line,
                f"The card lists the metric {metric} and gives no value of it.",
                says=metric,
                mend="give its value with dataset, split and conditions, or drop it",
            )


def _results(subject: Subject) -> set[str]:
    """The types and names of the metrics in the model-index that have values."""
    index = subject.document.metadata.get("model-index")
    names: set[str] = set()
    for entry in index if isinstance(index, list) else []:
        results = entry.get("results") if isinstance(entry, dict) else None
        for result in results if isinstance(results, list) else []:
            metrics = result.get("metrics") if isinstance(result, dict) else None
            for metric in metrics if isinstance(metrics, list) else []:
                if isinstance(metric, dict) and not is_empty(metric.get("value")):
                    names |= {str(metric.get(key)).lower() for key in ("type", "name")}
    return names


def _has_value(subject: Subject, metric: str, results: set[str]) -> bool:
    if any(metric in name for name in results):
        return True
    words = re.compile(
        rf"(?<![a-z0-9]){re.escape(metric)[:100]}".replace("_", "[ _-]?").replace("\\-", "[ _-]?")
    )
    for claim in subject.document.claims:
        if re.search(r"\d", claim.value) and words.search(
            f"{claim.label} {claim.row} {claim.column}".lower()
        ):
            return True
    return any(
        words.search(low) and re.search(r"(?<![a-z0-9.])\d+(?:\.\d+)?", words.sub("", low))
        for _, line in subject.document.prose
        if (low := line.lower())
    )
