"""A subject's text scored twice: by the base alone, before the adapter is attached, and with the adapter.

Before, because an adapter may change the base's own weights (biases, PiSSA), and PEFT's disable_adapter does
not undo that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hubkit.adapter import Adapter
from hubkit.errors import MeasureError, SettingsError
from hubkit.measures import perplexity, pseudo, shares
from hubkit.measures.intervals import FEW, documents_with_tokens
from hubkit.measures.memory import Peak
from hubkit.measures.perplexity import Tokens
from hubkit.measures.scoring import Score, score
from hubkit.measures.subject import Subject
from hubkit.measures.windows import Window
from hubkit.models import loading
from hubkit.record import Perplexity

Say = Callable[[str], None]
NAMES = {"perplexity": "perplexity", "pseudo_perplexity": "pseudo-perplexity"}
NO_HEAD = "the base has no trained head for this task"


def check_settings(subject: Subject) -> None:
    """Refuse what a task has no perplexity for. Raises SettingsError."""
    if subject.settings.pseudo_perplexity and subject.task.PERPLEXITY != "masked":
        raise SettingsError(
            f"measuring.pseudo_perplexity: {subject.task.TITLE} hides no token; only masked models have one",
            "leave it out, or set task: masked-lm for a base that fills masks",
        )


def wanted(subject: Subject) -> bool:
    """Whether there is a text, and a perplexity to take on it."""
    settings = subject.settings
    asked = settings.perplexity or settings.pseudo_perplexity
    return bool(asked and subject.text and subject.task.PERPLEXITY)


@dataclass
class TextScores:
    """What to score, by the name of the measure, and what the base scored of it, or why it did not."""

    loaded: loading.Loaded
    subject: Subject
    dtype: str
    say: Say
    tokenizer: Any
    texts: dict[str, Tokens]
    alone: dict[str, Score | str] = field(default_factory=dict)

    @classmethod
    def of(cls, loaded: loading.Loaded, subject: Subject, dtype: str, say: Say) -> TextScores:
        """Cut the text, and say what pseudo-perplexity will cost. Raises MeasureError.

        Nothing is to be scored where a head that was drawn at random would be.
        """
        tokenizer = loading.tokenizer_beside(subject.adapter, loaded.tokenizer)
        scores = cls(loaded, subject, dtype, say, tokenizer, {})
        if not wanted(subject):
            return scores
        if head_is_random(loaded, subject.adapter):
            say(
                "perplexity left out: the base has no trained head for this task, and the adapter brings none"
            )
            return scores
        text = perplexity.tokens(tokenizer, subject)
        if subject.settings.perplexity:
            scores.texts["perplexity"] = text
        if subject.settings.pseudo_perplexity:
            hidden = perplexity.pseudo_tokens(text, tokenizer, subject)
            scores.texts["pseudo_perplexity"] = hidden
            rows = f"{len(hidden.rows or ()):,}"
            say(
                f"pseudo-perplexity takes {rows} forward rows of up to {text.context:,} tokens, for the"
                " base and again with the adapter"
            )
        return scores

    def score_base(self) -> None:
        """Score the base alone, where it can be. Raises MeasureError."""
        for name, text in self.texts.items():
            if self.loaded.new_modules:
                self.alone[name] = NO_HEAD
                continue
            try:
                perplexity.check_vocabulary(self.loaded.model, self.tokenizer, text)
            except MeasureError as error:
                if self.subject.adapter.embedding_rows is None:
                    raise
                self.alone[name] = error.message  # the adapter brings the embedding
                continue
            self.say(f"measuring {NAMES[name]} of the base")
            self.alone[name] = self._score(self.loaded.model, text, "of the base")

    def with_adapter(self, model: Any) -> Iterator[tuple[str, Perplexity]]:
        """Each measure of the model with its adapter, by name. Raises MeasureError."""
        for name, text in self.texts.items():
            self.say(f"measuring {NAMES[name]} with the adapter")
            perplexity.check_vocabulary(model, self.tokenizer, text)
            peak = Peak()
            scored = self._score(model, text, "with the adapter")
            highest, kind = peak.read()
            documents = documents_with_tokens(scored)
            if 1 < documents < FEW and self.subject.settings.resamples:
                self.say(f"{documents} documents are too few for an interval: it comes out too narrow")
            taken = perplexity.perplexity(scored, self.alone[name], text, self.subject, self.dtype)
            yield name, msgspec.structs.replace(taken, peak_memory_bytes=highest, memory_kind=kind)

    def _score(self, model: Any, text: Tokens, whose: str) -> Score:
        documents, settings = len(text.documents), self.subject.settings

        def part(windows: list[Window]) -> Score:
            return shares.score(windows, documents, this_process)

        def this_process(windows: Sequence[Window]) -> Score:
            return score(model, windows, settings.batch_size, documents, settings.kernels)

        whole = (
            pseudo.score(text.rows, settings.batch_size, part, self.say) if text.rows else part(text.windows)
        )
        return perplexity.checked(whole, whose, self.dtype)


def head_is_random(loaded: loading.Loaded, adapter: Adapter) -> bool:
    """Whether weights of the task's head were drawn at random and the adapter does not replace them."""
    saved = tuple(adapter.modules_to_save)
    return any(not loading.is_within(name, saved) for name in loaded.new_modules)
