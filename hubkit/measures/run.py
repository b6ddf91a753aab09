"""Measure one adapter from its saved files: load it as a reader would, and fill the record's measures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec

from hubkit import processes
from hubkit.adapter import Adapter
from hubkit.errors import SettingsError
from hubkit.measures import classification, memory, speed
from hubkit.measures.classification import ClassificationScores
from hubkit.measures.sparsity import count_zeros
from hubkit.measures.sparsity import ranks as count_ranks
from hubkit.measures.subject import Subject as Subject
from hubkit.measures.text_scores import TextScores, check_settings, wanted
from hubkit.measures.update_ranks import update_ranks
from hubkit.models import counting, limits, loading, placing
from hubkit.record import BaseModel, Measures, Parameters

Say = Callable[[str], None]
Keep = Callable[[Measures, BaseModel], None]


def measure(subject: Subject, known: Measures, say: Say, keep: Keep) -> None:
    """Take the measures of an adapter, each put over those that are known.

    `keep` is called after each with all of them and the facts of the base as it was loaded, so that what is
    measured is not lost when a later measure fails. Several processes share the windows of the text; the main
    one measures the rest alone, where the others have left by SaidElsewhere.
    Raises BaseModelError, AdapterError or MeasureError.
    """
    settings, adapter = subject.settings, subject.adapter
    check_settings(subject)
    dtype = loading.resolve_precision(settings.precision, loading.device())
    say(f"loading {subject.base.path or subject.base.id}")
    peak = memory.Peak()
    loaded = _load_base(subject, dtype)
    peaks = [peak.read()]
    if spread := placing.places(loaded.model):
        say(f"the base is spread over {', '.join(spread)}")
    _check_lengths(loaded.model, subject)
    scoring = TextScores.of(loaded, subject, dtype, say)
    scoring.score_base()
    classified = ClassificationScores.of(loaded, subject, dtype, say)
    peak = memory.Peak()
    model = loading.load_adapter(loaded.model, adapter)
    peaks.append(peak.read())
    size = memory.with_load_peak(memory.size(model, adapter, loaded.facts), peaks)
    measures = msgspec.structs.replace(known, parameters=parameters(model, adapter), size=size)
    keep(measures, loaded.facts)
    for name, taken in scoring.with_adapter(model):
        measures = msgspec.structs.replace(measures, **{name: taken})
        keep(measures, loaded.facts)
    if found := classified.with_adapter(model):
        measures = msgspec.structs.replace(measures, classification=found)
        keep(measures, loaded.facts)
    processes.leave()
    if settings.throughput:
        say("measuring throughput")
        for timed in speed.speed(model, subject, dtype, say):  # last: it merges the adapter in the end
            keep(msgspec.structs.replace(measures, throughput=timed), loaded.facts)


def _load_base(subject: Subject, dtype: str) -> loading.Loaded:
    """The base; one process fetches it from the Hub before the others read it from the cache.

    Raises SettingsError where each of several processes would spread it over the same devices.
    """
    if subject.base.device_map == "auto" and processes.count() > 1:
        raise SettingsError(
            "base_model.device_map: auto lets one process use all devices, and several were started",
            "start it without the launcher",
        )
    with contextlib.nullcontext() if subject.base.path else processes.main_first():
        return loading.load_base(
            subject.base,
            subject.task,
            dtype=dtype,
            quantization=subject.quantization,
            keep=subject.adapter.modules_to_save,
            labels=subject.labels,
        )


def parameters(model: Any, adapter: Adapter) -> Parameters:
    """Counts of the loaded model, the zeros of the saved file, and the ranks of what HiRA adds."""
    counted = counting.count(model, adapter)
    nonzero, sparsity, by_module = count_zeros(adapter)
    sparse = {"sparsity": sparsity, "sparsity_by_module": by_module} if sparsity else {}
    ranks = count_ranks(adapter)
    return msgspec.structs.replace(
        counted,
        adapter_nonzero=nonzero,
        rank_by_module=ranks,
        update_ranks=update_ranks(model),
        **sparse,
    )


def _check_lengths(model: Any, subject: Subject) -> None:
    """Find out before any work what the model has no positions for. Raises SettingsError."""
    settings, timed = subject.settings, subject.settings.speed
    if wanted(subject) or classification.wanted(subject):
        setting = "measuring.context" if settings.context else "training.block_size"
        prompt = subject.adapter.config.get("num_virtual_tokens") or 0  # stands before the text
        limits.check_length(model, setting, (settings.context or subject.context) + prompt)
    if settings.throughput:
        setting, tokens = "measuring.speed.sequence_length", timed.sequence_length
        if subject.task.PERPLEXITY == "causal":
            setting, tokens = f"{setting} and new_tokens", tokens + timed.new_tokens
        limits.check_length(model, setting, tokens)
