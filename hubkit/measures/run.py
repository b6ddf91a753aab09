"""Measure one adapter from its saved files: load it as a reader would, and fill the record's measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from hubkit.adapter import Adapter
from hubkit.measures import memory, perplexity, speed
from hubkit.measures.scoring import Score, score
from hubkit.measures.sparsity import count_zeros
from hubkit.measures.subject import Subject as Subject
from hubkit.models import counting, limits, loading
from hubkit.record import BaseModel, Measures, Parameters

Say = Callable[[str], None]
Keep = Callable[[Measures, BaseModel], None]


def measure(subject: Subject, known: Measures, say: Say, keep: Keep) -> None:
    """Take the measures of an adapter, each put over those that are known.

    `keep` is called after each with all of them and the facts of the base as it was loaded, so that what is
    measured is not lost when a later measure fails. Raises BaseModelError, AdapterError or MeasureError.
    """
    settings, adapter = subject.settings, subject.adapter
    dtype = loading.resolve_precision(settings.precision, loading.device())
    say(f"loading {subject.base.path or subject.base.id}")
    loaded = loading.load_base(
        subject.base,
        subject.task,
        dtype=dtype,
        quantization=subject.quantization,
        keep=adapter.modules_to_save,
    )
    _check_lengths(loaded.model, subject)
    text, alone = None, None
    if settings.perplexity and subject.text and subject.task.PERPLEXITY:
        text = perplexity.tokens(loaded.tokenizer, subject)
        if not loaded.new_modules:
            # before the adapter is attached: it may change the base's own weights (biases, PiSSA), and PEFT's
            # disable_adapter does not undo that
            say("measuring perplexity of the base")
            alone = _score(loaded.model, text, subject)
    model = loading.load_adapter(loaded.model, adapter)
    measures = msgspec.structs.replace(
        known, parameters=parameters(model, adapter), size=memory.size(model, adapter, loaded.facts)
    )
    keep(measures, loaded.facts)
    if text and _head_is_random(loaded, adapter):
        say("perplexity left out: the base has no trained head for this task, and the adapter brings none")
    elif text:
        say("measuring perplexity with the adapter")
        found = perplexity.perplexity(_score(model, text, subject), alone, text, subject, dtype)
        measures = msgspec.structs.replace(measures, perplexity=found)
        keep(measures, loaded.facts)
    if settings.throughput:
        say("measuring throughput")
        for timed in speed.speed(model, subject, dtype, say):  # last: it merges the adapter in the end
            keep(msgspec.structs.replace(measures, throughput=timed), loaded.facts)


def _score(model: Any, text: perplexity.Tokens, subject: Subject) -> Score:
    return score(model, text.windows, subject.settings.batch_size, len(text.documents))


def _head_is_random(loaded: loading.Loaded, adapter: Adapter) -> bool:
    """Whether weights of the task's head were drawn at random and the adapter does not replace them."""
    saved = tuple(adapter.modules_to_save)
    return any(not loading.is_within(name, saved) for name in loaded.new_modules)


def parameters(model: Any, adapter: Adapter) -> Parameters:
    """Counts of the loaded model, and the zeros of the saved file."""
    counted = counting.count(model, adapter)
    nonzero, sparsity, by_module = count_zeros(adapter)
    sparse = {"sparsity": sparsity, "sparsity_by_module": by_module} if sparsity else {}
    return msgspec.structs.replace(counted, adapter_nonzero=nonzero, **sparse)


def _check_lengths(model: Any, subject: Subject) -> None:
    """Find out before any work what the model has no positions for. Raises SettingsError."""
    settings, timed = subject.settings, subject.settings.speed
    if settings.perplexity and subject.text and subject.task.PERPLEXITY:
        setting = "measuring.context" if settings.context else "training.block_size"
        limits.check_length(model, setting, settings.context or subject.context)
    if settings.throughput:
        setting, tokens = "measuring.speed.sequence_length", timed.sequence_length
        if subject.task.PERPLEXITY == "causal":
            setting, tokens = f"{setting} and new_tokens", tokens + timed.new_tokens
        limits.check_length(model, setting, tokens)
