"""HK301 to HK304: the class, the example and the pipeline of a card's code, against the adapter's task."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from hubkit.audit import loaders, snippets, statements, tasks_told, truths
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.snippets import Call
from hubkit.audit.subject import Subject
from hubkit.audit.tasks_told import CAUSAL, LANGUAGE, MASKED, QUESTION, SEQ2SEQ, SEQUENCE, TOKEN, Task

_KIND = re.compile(
    r"For(SequenceClassification|TokenClassification|MaskedLM|QuestionAnswering|MultipleChoice|CausalLM"
    r"|Seq2SeqLM)$"
)
_HEADS = {"SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice"}
# Heads that no adapter of the task can be loaded on. What multimodal and bare models are called is in none.
_WRONG: dict[str, set[str]] = {
    CAUSAL: _HEADS | {"MaskedLM"},
    MASKED: _HEADS | {"CausalLM", "Seq2SeqLM"},
    LANGUAGE: _HEADS,
    SEQUENCE: {"TokenClassification", "QuestionAnswering", "CausalLM", "MaskedLM", "Seq2SeqLM"},
    TOKEN: {"SequenceClassification", "QuestionAnswering", "CausalLM", "MaskedLM", "Seq2SeqLM"},
    QUESTION: {"SequenceClassification", "TokenClassification", "CausalLM", "MaskedLM", "Seq2SeqLM"},
    SEQ2SEQ: _HEADS | {"CausalLM", "MaskedLM"},
}
_CLASSIFIERS = {
    "text-classification",
    "sentiment-analysis",
    "token-classification",
    "ner",
    "zero-shot-classification",
}
_WRONG_PIPELINES: dict[str, set[str]] = {
    CAUSAL: _CLASSIFIERS | {"fill-mask"},
    MASKED: _CLASSIFIERS | {"text-generation", "summarization", "question-answering"},
    SEQUENCE: {"text-generation", "fill-mask", "summarization", "token-classification", "ner"},
    TOKEN: {"text-generation", "fill-mask", "summarization", "text-classification", "sentiment-analysis"},
}
_LABELS = re.compile(r"id2label|num_labels|\b(?:positive|negative|sentiment)\b", re.IGNORECASE)


@rule("HK301", "error", title="Auto class of another task")
def auto_class(subject: Subject) -> Iterator[Fault]:
    """The snippet must load the base with the class of the task that the adapter was trained for. With
    another class the head is new and random, and the code runs without a word.

    Bad:

        ```python
        from peft import PeftModel
        from transformers import AutoModelForSequenceClassification

        base = AutoModelForSequenceClassification.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```

    Good:

        ```python
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```
    """
    task = tasks_told.read(subject)
    if task is None:
        return
    known = snippets.names(subject.document)
    wrong = _WRONG[task.name] | ({"Seq2SeqLM"} if task.name == CAUSAL and _is_decoder(subject) else set())
    for call in snippets.all_calls(subject.document):
        owner, _, method = call.name.rpartition(".")
        kind = _KIND.search(owner)
        headless = owner == "AutoModel" and _generates_without(subject, task, call)
        if method != "from_pretrained" or not (headless or (kind and kind[1] in wrong)):
            continue
        named = loaders.model_named(call, known)
        of_another = named is not None and not any(
            truths.same_model(named, one) for one in truths.base_names(subject)
        )
        if of_another and named != subject.repo_id and not loaders.is_local(named or ""):
            continue  # a second model that the example uses
        if not _of_others(subject, call):
            yield _wrong_class(call.line, owner, task)


def _is_decoder(subject: Subject) -> bool:
    """Whether the weights tell of a model without an encoder: their names speak of layers alone."""
    names = subject.adapter.adapted_modules if subject.adapter else []
    return bool(names) and not any(re.search(r"encoder|decoder|enc_|dec_", name) for name in names)


def _generates_without(subject: Subject, task: Task, call: Call) -> bool:
    """Whether the code generates with a bare AutoModel, which has no head (a repo's own code may)."""
    code = "\n".join(fence.code for fence in subject.document.fences)
    return (
        task.name in (CAUSAL, SEQ2SEQ)
        and "trust_remote_code" not in call.keywords
        and "model.generate(" in code
    )


def _wrong_class(line: int, owner: str, task: Task) -> Fault:
    right = tasks_told.CLASSES.get(task.name)
    return found(
        line,
        f"{owner} is not the class for {tasks_told.TITLES[task.name]} ({task.by}).",
        says=owner, instead=right, mend=f"load the base with {right}" if right else None,
    )  # fmt: skip


def _of_others(subject: Subject, call: Call) -> bool:
    return statements.about_others(subject.document, call.line)


@rule("HK302", "error", title="An example of another task")
def example(subject: Subject) -> Iterator[Fault]:
    """The inference example must show the task that the adapter was trained for: a hidden word for masked
    language modeling, generation for causal, labels for classification.

    Bad:

        ```python
        outputs = model(**tokenizer("A great movie!", return_tensors="pt"))
        sentiment = "positive" if outputs.logits.argmax(-1) else "negative"
        ```

    Good:

        ```python
        outputs = model.generate(**tokenizer("Once upon a time", return_tensors="pt"))
        ```
    """
    task = tasks_told.read(subject)
    if task is None:
        return
    for fence in subject.document.fences:
        for call in snippets.calls(fence):
            if _of_others(subject, call):
                continue
            if _is_argmax_of_logits(call):
                masked = task.name in (MASKED, LANGUAGE) and "mask" not in re.sub(
                    "attention_mask", "", fence.code.lower()
                )
                labels = (
                    task.name == CAUSAL
                    and bool(_LABELS.search(fence.code))
                    and ".generate(" not in fence.code
                )
                if masked or labels:
                    yield _wrong_example(call.line, "takes the likeliest label", task)
            elif task.name in (SEQUENCE, TOKEN) and call.name.endswith("model.generate"):
                yield _wrong_example(call.line, "generates text", task)


def _wrong_example(line: int, what: str, task: Task) -> Fault:
    return found(
        line,
        f"The example {what}, and the adapter is for {tasks_told.TITLES[task.name]} ({task.by}).",
        mend="show an example of the task: hubkit card writes one",
    )


def _is_argmax_of_logits(call: Call) -> bool:
    """`outputs.logits.argmax(dim=-1)` or `torch.argmax(outputs.logits, dim=-1)`, of all positions at once."""
    if call.name.endswith("logits.argmax"):
        return True
    first = call.arguments[0] if call.arguments else None
    return (
        call.name.rpartition(".")[2] == "argmax"
        and isinstance(first, ast.Attribute | ast.Name)
        and ast.unparse(first).rpartition(".")[2] == "logits"
    )


@rule("HK303", "error", title="Pipeline of another task")
def pipeline(subject: Subject) -> Iterator[Fault]:
    """`pipeline(...)` in a snippet must be of the task that the adapter was trained for.

    Bad:

        ```python
        from transformers import pipeline

        pipe = pipeline("sentiment-analysis", model="ada/smollm2-pydoc-lora")
        ```

    Good:

        ```python
        from transformers import pipeline

        pipe = pipeline("text-generation", model="ada/smollm2-pydoc-lora")
        ```
    """
    task = tasks_told.read(subject)
    known = snippets.names(subject.document)
    for call in snippets.all_calls(subject.document) if task else ():
        if call.name.rpartition(".")[2] != "pipeline" or _of_others(subject, call):
            continue
        node = call.arguments[0] if call.arguments else call.keywords.get("task", (None, 0))[0]
        named = snippets.constant(node, known) if node is not None else None
        if task and isinstance(named, str) and named in _WRONG_PIPELINES.get(task.name, ()):
            yield found(
                call.line,
                f"The adapter is for {tasks_told.TITLES[task.name]} ({task.by}).",
                says=named, instead=tasks_told.TITLES[task.name], mend="name the pipeline of the task",
            )  # fmt: skip
