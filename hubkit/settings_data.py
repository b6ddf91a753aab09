"""The settings of the text: where it is, and which of its columns say what."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]  # what numpy takes
Deduplicate = Literal["paragraphs", "documents", "none"]
Kind = Literal["text", "labelled", "chat"]


class Section(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """A part of the settings: unknown keys are errors."""


class Data(Section, frozen=True):
    """The text: a Hub dataset, or local files (text, JSONL, CSV, Parquet)."""

    id: str | None = None
    config: str | None = None
    revision: str | None = None
    split: str = "train"
    eval_split: str | None = None  # without it, documents are held out of `split`
    files: list[str] = []
    eval_files: list[str] = []
    name: str | None = None  # how the card names local text
    note: str | None = None
    license: str | None = None
    text_column: str = "text"
    label_column: str | None = None  # text classification: one label for each text
    # names in their order, or a map from the column's values to names; default: what the column has
    labels: list[str] | dict[str | int, str] | None = None
    messages_column: str | None = None  # conversations: lists of {role, content}
    prompt_column: str | None = None  # instructions: what is asked, in a column of its own
    input_column: str | None = None  # and what it is asked about; a blank line stands between them
    answer_column: str | None = None  # and the answer, which alone is learnt
    system: str | None = None  # a first message for conversations that have none of the system's
    chat_template: str | None = None  # a Jinja file, in place of the tokenizer's own
    documents: Literal["paragraph", "line", "file"] = "paragraph"  # what one document is in a .txt file
    deduplicate: Deduplicate | None = None  # default: paragraphs; documents with labels, for conversations
    eval_fraction: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    split_seed: Seed | None = None  # which documents are held out; default: training.seed
    max_documents: Positive | None = None
    max_eval_documents: Positive | None = None
    streaming: bool = False  # text larger than memory: read once, one document at a time, kept on disk
    cache: bool = True  # keep the tokens of the text on disk for the next run

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, or would be left out in silence."""
        columns = [("messages_column", self.messages_column), ("prompt_column", self.prompt_column)]
        named = [name for name, column in [("label_column", self.label_column), *columns] if column]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} are for different kinds of text; keep one of them")
        if bool(self.prompt_column) != bool(self.answer_column):
            raise ValueError("prompt_column and answer_column belong together; name both")
        if self.input_column and not self.prompt_column:
            raise ValueError("input_column is for instructions; name prompt_column and answer_column too")
        if self.labels is not None and not self.label_column:
            raise ValueError("labels are of a column; name it by label_column")
        names = list(self.labels.values()) if isinstance(self.labels, dict) else self.labels
        if names is not None and len(set(names)) < 2:
            raise ValueError("labels must name at least two labels")
        if isinstance(self.labels, list) and len(set(self.labels)) != len(self.labels):
            raise ValueError("labels names one of them twice")
        if self.kind != "chat" and (self.system is not None or self.chat_template):
            raise ValueError("system and chat_template are for conversations; name messages_column")
        if self.kind != "text" and self.deduplicate == "paragraphs":
            raise ValueError("deduplicate: paragraphs is for running text; use documents or none")
        if self.streaming and self.deduplicate in ("documents", "paragraphs"):
            raise ValueError(
                "streaming forgets what it has read, and drops no duplicates; use deduplicate: none"
            )

    @property
    def kind(self) -> Kind:
        """What a document is: running text, a text with a label, or a conversation."""
        if self.label_column:
            return "labelled"
        return "chat" if self.messages_column or self.prompt_column else "text"

    @property
    def drops(self) -> Deduplicate:
        """Which duplicates are dropped."""
        default: Deduplicate = "paragraphs" if self.kind == "text" else "documents"
        return self.deduplicate or ("none" if self.streaming else default)
