"""What task an adapter is for, as its artifacts tell it, and failing that as the card itself says.

PEFT's `task_type` tells it where it is specific. FEATURE_EXTRACTION and none tell nothing: then
`auto_mapping`, the record and the base's class do. An adapter that brings a classifier's head is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubkit.audit import statements, truths
from hubkit.audit.subject import Subject

CAUSAL, MASKED, SEQUENCE, TOKEN, QUESTION, SEQ2SEQ = (
    "causal",
    "masked",
    "sequence",
    "token",
    "question",
    "seq2seq",
)
LANGUAGE = "language"  # language modeling, of one kind or the other
TITLES = {
    CAUSAL: "causal language modeling", MASKED: "masked language modeling",
    SEQUENCE: "sequence classification",
    TOKEN: "token classification", QUESTION: "question answering", SEQ2SEQ: "sequence to sequence",
    LANGUAGE: "language modeling",
}  # fmt: skip
CLASSES = {
    CAUSAL: "AutoModelForCausalLM", MASKED: "AutoModelForMaskedLM",
    SEQUENCE: "AutoModelForSequenceClassification",
    TOKEN: "AutoModelForTokenClassification", QUESTION: "AutoModelForQuestionAnswering",
    SEQ2SEQ: "AutoModelForSeq2SeqLM",
}  # fmt: skip
_PEFT = {
    "CAUSAL_LM": CAUSAL, "SEQ_CLS": SEQUENCE, "TOKEN_CLS": TOKEN, "QUESTION_ANS": QUESTION,
    "SEQ_2_SEQ_LM": SEQ2SEQ,
}  # fmt: skip
_ENDINGS = (
    ("ForMaskedLM", MASKED), ("ForCausalLM", CAUSAL), ("LMHeadModel", CAUSAL),
    ("ForSequenceClassification", SEQUENCE),
    ("ForTokenClassification", TOKEN), ("ForQuestionAnswering", QUESTION),
)  # fmt: skip
_RECORD = {"causal-lm": CAUSAL, "masked-lm": MASKED}
_PIPELINES = {
    "fill-mask": MASKED,
    "text-generation": CAUSAL,
    "text-classification": SEQUENCE,
    "token-classification": TOKEN,
}
_ENCODERS = re.compile(r"bert|electra|mpnet|minilm|deberta|ernie|xlm-r", re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """A task, and who says so."""

    name: str
    by: str  # "task_type CAUSAL_LM", "the card"


def read(subject: Subject) -> Task | None:
    """The task, or None where it cannot be told."""
    config = subject.config or {}
    told = subject.task_type
    if told in _PEFT:
        if told == "CAUSAL_LM" and _brings_a_head(subject):
            return None
        return Task(_PEFT[told], f"task_type {told}")
    if told not in (None, "FEATURE_EXTRACTION") or _brings_a_head(subject):
        return None
    mapping = config.get("auto_mapping")
    mapped = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    if isinstance(mapped, str):
        return next(
            (Task(name, f"auto_mapping {mapped}") for end, name in _ENDINGS if mapped.endswith(end)), None
        )
    if subject.record and subject.record.task in _RECORD:
        return Task(_RECORD[subject.record.task], "the record")
    if subject.facts and subject.facts.task and subject.facts.task.NAME in _RECORD:
        return Task(_RECORD[subject.facts.task.NAME], "the base's class")
    return _of_card(subject)


def _brings_a_head(subject: Subject) -> bool:
    """Whether the adapter was trained with a classifier of its own."""
    saved = (subject.config or {}).get("modules_to_save")
    names = {str(name) for name in saved} if isinstance(saved, list) else set()
    whole = [tensor.name for tensor in subject.adapter.whole_tensors] if subject.adapter else []
    return bool(names & {"classifier", "score", "qa_outputs", "v_head"}) or any(
        part in name.split(".") for name in whole for part in ("classifier", "score", "qa_outputs", "v_head")
    )


def _of_card(subject: Subject) -> Task | None:
    """The task as the card itself states it: its pipeline tag, or its line on the task."""
    metadata = subject.document.metadata
    encoder = any(_ENCODERS.search(name) for name in truths.base_names(subject))
    tag = metadata.get("pipeline_tag")
    stated: set[str] = set()
    if isinstance(tag, str) and tag in _PIPELINES:
        stated.add(_PIPELINES[tag])
    tags = metadata.get("tags")
    words = [str(word) for word in tags] if isinstance(tags, list) else []
    words += [s.value for s in statements.read(subject.document) if s.key == "task"]
    for word in words:
        stated |= _named(word.lower().replace("-", " ").replace("_", " "))
    if LANGUAGE in stated and len(stated) == 2:
        stated.discard(LANGUAGE)
    if len(stated) != 1:
        return None
    name = stated.pop()
    return Task(MASKED if name == LANGUAGE and encoder else name, "the card's own words")


def _named(words: str) -> set[str]:
    if re.fullmatch(r"(?:masked (?:language model(?:l?ing)?|lm)|mlm|fill mask)", words):
        return {MASKED}
    if re.fullmatch(r"(?:causal (?:language model(?:l?ing)?|lm)|text generation)", words):
        return {CAUSAL}
    if re.fullmatch(r"language model(?:l?ing)?", words):
        return {LANGUAGE}
    if re.fullmatch(r"(?:text|sequence|sentiment) (?:classification|analysis)", words):
        return {SEQUENCE}
    return {TOKEN} if re.fullmatch(r"token classification|named entity recognition|ner", words) else set()
