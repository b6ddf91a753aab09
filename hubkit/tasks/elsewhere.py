"""Tasks that hubkit neither trains nor measures, and whose adapters it can still describe.

Each has the fields of a task module that a card needs: the class that loads the base, the pipeline tag, an
example. An adapter of one of these comes from another tool, and its configuration names the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from hubkit.tasks.quoting import quoted

_INPUTS = 'inputs = tokenizer($text, return_tensors="pt").to(model.device)\n'


@dataclass(frozen=True)
class Elsewhere:
    """A task, in the fields of a task module."""

    NAME: str
    TITLE: str
    AUTO_CLASS: str
    PEFT_TASK_TYPE: str
    PIPELINE_TAG: str
    ARCHITECTURES: tuple[str, ...]  # endings of the class names that belong to it
    EXAMPLE_TEXT: str
    lines: str  # of the example; $text is the text as a Python string
    has_labels: bool = False  # its head has one row for each label

    def example(self, text: str) -> str:
        """The card's inference example; `model` and `tokenizer` are loaded."""
        return Template(self.lines).substitute(text=quoted(text))


ELSEWHERE: dict[str, Elsewhere] = {
    task.NAME: task
    for task in (
        Elsewhere(
            NAME="token-classification",
            TITLE="token classification",
            AUTO_CLASS="AutoModelForTokenClassification",
            PEFT_TASK_TYPE="TOKEN_CLS",
            PIPELINE_TAG="token-classification",
            ARCHITECTURES=("ForTokenClassification",),
            EXAMPLE_TEXT="Ada lives in London.",
            lines=_INPUTS
            + "labels = model(**inputs).logits[0].argmax(-1).tolist()\n"
            + "print(list(zip(inputs.tokens(), labels)))",
            has_labels=True,
        ),
        Elsewhere(
            NAME="seq2seq-lm",
            TITLE="sequence-to-sequence language modeling",
            AUTO_CLASS="AutoModelForSeq2SeqLM",
            PEFT_TASK_TYPE="SEQ_2_SEQ_LM",
            PIPELINE_TAG="text2text-generation",
            ARCHITECTURES=(),  # ForConditionalGeneration is also a speech or an image model's ending
            EXAMPLE_TEXT="Once upon a time",
            lines=_INPUTS
            + "outputs = model.generate(**inputs, max_new_tokens=40, do_sample=False)\n"
            + "print(tokenizer.decode(outputs[0], skip_special_tokens=True))",
        ),
        Elsewhere(
            NAME="question-answering",
            TITLE="question answering",
            AUTO_CLASS="AutoModelForQuestionAnswering",
            PEFT_TASK_TYPE="QUESTION_ANS",
            PIPELINE_TAG="question-answering",
            ARCHITECTURES=("ForQuestionAnswering",),
            EXAMPLE_TEXT="Ada lives in London.",
            lines='inputs = tokenizer("Who is it about?", $text, return_tensors="pt").to(model.device)\n'
            + "outputs = model(**inputs)\n"
            + "start, end = outputs.start_logits.argmax(), outputs.end_logits.argmax()\n"
            + "print(tokenizer.decode(inputs.input_ids[0, start : end + 1]))",
        ),
        Elsewhere(
            NAME="feature-extraction",
            TITLE="feature extraction",
            AUTO_CLASS="AutoModel",
            PEFT_TASK_TYPE="FEATURE_EXTRACTION",
            PIPELINE_TAG="feature-extraction",
            ARCHITECTURES=("Model",),
            EXAMPLE_TEXT="Once upon a time",
            lines=_INPUTS + "print(model(**inputs).last_hidden_state.shape)",
        ),
    )
}
