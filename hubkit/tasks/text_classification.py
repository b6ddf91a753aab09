"""Text classification: one label for each text, told by a head on top of the base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from hubkit.errors import DataError, SettingsError
from hubkit.settings import Section
from hubkit.tasks.quoting import quoted

NAME = "text-classification"
TITLE = "text classification"
AUTO_CLASS = "AutoModelForSequenceClassification"
ARCHITECTURES = ("ForSequenceClassification",)
PEFT_TASK_TYPE = "SEQ_CLS"
PIPELINE_TAG = "text-classification"
PERPLEXITY = None
EXAMPLE_TEXT = "I would see it again."
has_labels = True  # its head has one row for each label
# Last names of the modules of a head, in all families: they stay out of 4 bits.
HEADS = (
    "classifier", "score", "pre_classifier", "pooler", "classification_head", "logits_proj",
    "sequence_summary",
)  # fmt: skip
ALWAYS_SAVED = ("classifier", "score")  # PEFT trains and saves modules of these names by itself

Weights = Literal["balanced"] | list[float] | dict[str, float]


class Parameters(Section, frozen=True):
    """How classes are weighed in the loss."""

    # balanced: n / (k n_c); or one for each label, in their order or by name
    class_weights: Weights | None = None
    problem_type: Literal["single-label", "multi-label"] = "single-label"

    def __post_init__(self) -> None:
        """Refuse what is not there, and weights that are none."""
        if self.problem_type == "multi-label":
            raise ValueError("multi-label is not supported: a text has one label here; use single-label")
        given = self.class_weights
        numbers = given.values() if isinstance(given, dict) else given if isinstance(given, list) else ()
        if any(not 0 <= number < float("inf") for number in numbers):
            raise ValueError("class_weights must be finite numbers that are not below zero")


def example(text: str) -> str:
    """The card's inference example: the likeliest labels of `text`, each with its probability."""
    return (
        f'inputs = tokenizer({quoted(text)}, return_tensors="pt").to(model.device)\n'
        "probabilities = model(**inputs).logits[0].softmax(-1)\n"
        "for label in probabilities.argsort(descending=True).tolist()[:5]:\n"
        '    print(f"{model.config.id2label[label]}: {probabilities[label]:.3f}")'
    )


def collator(tokenizer: Any, parameters: Parameters) -> Any:
    """Texts of one batch, padded on the right to the longest of them; `labels` has one number for each.

    A model that reads from left to right takes its answer from the last token that is no padding.
    """
    import torch

    def collate(blocks: list[dict[str, Any]]) -> dict[str, Any]:
        rows = [block["input_ids"] for block in blocks]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        labels = torch.tensor([block["label"] for block in blocks])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    return collate


def class_weights(
    parameters: Parameters, names: Sequence[str], labels: Sequence[int]
) -> tuple[float, ...] | None:
    """The weight of each class in the loss; None where all count the same.

    "balanced" is n / (k n_c) for n texts of k classes, n_c of them of class c, as scikit-learn defines it
    (King and Zeng 2001): the mean over the texts is 1. Raises SettingsError.
    """
    given = parameters.class_weights
    if given is None:
        return None
    if given == "balanced":
        return tuple(len(labels) / (len(names) * labels.count(label)) for label in range(len(names)))
    hint = f"the labels are {', '.join(names[:20])}"
    if isinstance(given, dict):
        if unknown := [name for name in given if name not in names]:
            raise SettingsError(f"task.class_weights names no label of the data: {unknown[0][:60]!r}", hint)
        return tuple(float(given.get(name, 1.0)) for name in names)
    if len(given) != len(names):
        raise SettingsError(
            f"task.class_weights has {len(given)} numbers, and the data has {len(names)} labels", hint
        )
    return tuple(map(float, given))


def check(names: Sequence[str], labels: Sequence[int], evaluated: Sequence[int] = ()) -> None:
    """Refuse training text from which no label can be learnt. Raises DataError."""
    if not names:
        raise DataError("the training text has no labels", "name their column: dataset.label_column")
    there = set(labels)
    if len(there) < 2:
        only = names[next(iter(there))] if there else names[0]
        raise DataError(
            f"all training texts have one label, {only[:60]!r}: there is nothing to tell apart",
            "give text of two labels or more",
        )
    if missing := [label for label in range(len(names)) if label not in there]:
        name = names[missing[0]][:60]
        where, also = (
            ("training text", ", which the evaluation text has") if missing[0] in evaluated else ("text", "")
        )
        raise DataError(
            f"no {where} has the label {name!r}{also}",
            "give training text of each label, or leave that one out of dataset.labels",
        )


def loss(weights: Sequence[float] | None) -> Callable[..., Any]:
    """The loss, as the Trainer's compute_loss_func: mean cross-entropy over the texts of a step, in nats.

    With class weights, each text counts as often as its class weighs, and the sum is divided by the number of
    texts (and not by the sum of weights, which would let a batch of one class forget its weight).
    """
    import torch
    from torch.nn.functional import cross_entropy

    def compute(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        logits = outputs["logits"].float()
        weight = None if weights is None else torch.tensor(weights, device=logits.device)
        total = cross_entropy(logits, labels, weight=weight, reduction="sum")
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    return compute
