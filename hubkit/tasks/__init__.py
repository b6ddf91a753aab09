"""The tasks: one file each. Torch and transformers are imported inside functions only.

A task module defines:

    NAME             as settings name it ("causal-lm")
    TITLE            as a card names it
    AUTO_CLASS       the transformers class that loads a base for it
    ARCHITECTURES    endings of the class names that belong to it ("ForCausalLM")
    PEFT_TASK_TYPE   PEFT's task_type, or None where PEFT has none for it
    PIPELINE_TAG     the Hub's pipeline tag
    PERPLEXITY       which definition of perplexity is measured, or None
    Parameters       a Struct that checks its part of the settings
    example(text)    the lines of the card's inference example; `model` and `tokenizer` are loaded
    collator(tokenizer, parameters)  turns packed blocks into a batch with labels; what it draws at random for
                     a block comes from the block's `draw` alone, so that training can be resumed

A task whose data has labels also defines:

    has_labels       True: the head has one row for each label
    HEADS            last names of the modules of such heads, in all families
    ALWAYS_SAVED     those that PEFT trains whole and saves by itself
    check(names, labels, evaluated)           raises DataError for labels that nothing can be learnt from
    class_weights(parameters, names, labels)  the weight of each class in the loss, or None
    loss(weights)    the Trainer's compute_loss_func

What other tools train and hubkit only describes is a row of `elsewhere`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from hubkit.tasks import causal_lm, masked_lm, text_classification
from hubkit.tasks.elsewhere import ELSEWHERE, Elsewhere
from hubkit.yaml_source import Source, chosen, parts_schema, pick

TASKS: dict[str, ModuleType] = {m.NAME: m for m in (causal_lm, masked_lm, text_classification)}

# Pipeline tags that no adapter of PEFT's task type can have, whatever it was trained for. CAUSAL_LM says
# little: models of images declare it too, and a language model may be one for translation.
_NEVER = {
    "CAUSAL_LM": {"fill-mask", "token-classification", "feature-extraction", "sentence-similarity"},
    "SEQ_2_SEQ_LM": {"fill-mask", "token-classification", "feature-extraction", "text-classification"},
    "SEQ_CLS": {"fill-mask", "text-generation", "token-classification", "summarization", "translation"},
    "TOKEN_CLS": {"fill-mask", "text-generation", "text-classification", "summarization", "translation"},
    "QUESTION_ANS": {
        "fill-mask", "text-classification", "token-classification", "summarization", "translation",
    },
}  # fmt: skip

Described = ModuleType | Elsewhere  # what a card can speak of


def get(name: str) -> ModuleType:
    """The module of a task. Raises SettingsError for an unknown name."""
    return pick("task", TASKS, name)


def parse(value: str | dict[str, Any], source: Source) -> tuple[ModuleType, Any]:
    """The task's module and its checked Parameters, from the `task` part of the settings."""
    return chosen("task", TASKS, value, source)


def cannot_be(peft_task_type: object, pipeline_tag: object) -> bool:
    """Whether no adapter of this task type of PEFT's can be for the task of this pipeline tag."""
    return isinstance(peft_task_type, str) and pipeline_tag in _NEVER.get(peft_task_type, ())


def of_adapter(config: dict[str, Any], base_config: dict[str, Any] | None) -> ModuleType | None:
    """The task that an adapter's own files tell, or None where they do not.

    PEFT's task_type tells it where it is specific, and then nothing else does: a sequence classifier is none
    of these tasks on whatever base. Without one, `auto_mapping` or the base's `architectures` name a class.
    """
    told = config.get("task_type")
    if told not in (None, "", "FEATURE_EXTRACTION"):
        return next((module for module in TASKS.values() if told == module.PEFT_TASK_TYPE), None)
    classes = class_names(config, base_config)
    for module in TASKS.values():
        if any(name.endswith(module.ARCHITECTURES) for name in classes):
            return module
    return None


def described(name: str | None) -> Described | None:
    """The task of this name, where hubkit can describe it."""
    return TASKS.get(name or "") or ELSEWHERE.get(name or "")


def of_card(config: dict[str, Any], base_config: dict[str, Any] | None, headless: bool) -> Described | None:
    """The task that an adapter's files tell a card; `headless`: its tensors are of a model without a head.

    Classes for images or speech declare PEFT's text tasks too: where a class is known that loads in another
    way, nothing is told.
    """
    told, names = config.get("task_type"), class_names(config, base_config)
    if headless and told in (None, "", "FEATURE_EXTRACTION"):
        return ELSEWHERE["feature-extraction"]
    found = of_adapter(config, base_config)
    if told == "CAUSAL_LM" and any(name.endswith("ForConditionalGeneration") for name in names):
        return None
    if found is not None:
        return found
    for task in ELSEWHERE.values():
        if told == task.PEFT_TASK_TYPE and task.NAME != "feature-extraction":
            return None if task.NAME == "seq2seq-lm" and any(map(_is_not_text, names)) else task
        if told in (None, "") and task.ARCHITECTURES and any(n.endswith(task.ARCHITECTURES) for n in names):
            return task
    if told == "FEATURE_EXTRACTION" and any(name.endswith("Model") for name in names):
        return ELSEWHERE["feature-extraction"]
    return None


def _is_not_text(class_name: str) -> bool:
    return class_name.startswith(("Whisper", "Speech", "Blip", "InstructBlip", "Vision", "Pix2Struct"))


def class_names(config: dict[str, Any], base_config: dict[str, Any] | None) -> list[str]:
    """The classes that the files name: of the model that was trained, else of the base's weights."""
    mapping, known = config.get("auto_mapping"), (base_config or {}).get("architectures")
    mapped = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    classes = [mapped] if mapped else known if isinstance(known, list) else []
    return [str(name) for name in classes]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the `task` part of the settings."""
    return parts_schema(TASKS)
