"""Measure one adapter from its saved files: load it as a reader would, and fill the record's measures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import msgspec

from hubkit.adapter import Adapter
from hubkit.errors import MeasureError
from hubkit.measures import memory, perplexity, throughput
from hubkit.measures.environment import environment
from hubkit.measures.sparsity import count_zeros
from hubkit.models import counting, limits, loading
from hubkit.models.corpus import Corpus, digest
from hubkit.record import BaseModel, Environment, Measures, Parameters, Perplexity, Throughput
from hubkit.settings import Base, Measuring

Say = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """What to measure, on what, and how."""

    adapter: Adapter
    base: Base
    task: ModuleType
    task_parameters: Any
    quantization: dict[str, Any] | None
    settings: Measuring
    context: int  # tokens, where the settings name none
    text: Corpus | None = None  # without it, perplexity is left out


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
        text = _tokens(loaded, subject)
        if not loaded.new_modules:
            # before the adapter is attached: it may change the base's own weights (biases, PiSSA), and PEFT's
            # disable_adapter does not undo that
            say("measuring perplexity of the base")
            alone = perplexity.score(loaded.model, text.windows, settings.batch_size)
    model = loading.load_adapter(loaded.model, adapter)
    measures = msgspec.structs.replace(
        known, parameters=parameters(model, adapter), size=memory.size(model, adapter, loaded.facts)
    )
    keep(measures, loaded.facts)
    if text and _head_is_random(loaded, adapter):
        say("perplexity left out: the base has no trained head for this task, and the adapter brings none")
    elif text:
        say("measuring perplexity with the adapter")
        measures = msgspec.structs.replace(
            measures, perplexity=_perplexity(model, alone, text, subject, dtype)
        )
        keep(measures, loaded.facts)
    if settings.throughput:
        say("measuring throughput")
        keep(msgspec.structs.replace(measures, throughput=_throughput(model, subject, dtype)), loaded.facts)


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


@dataclass(frozen=True)
class Tokens:
    """The text as windows to score, with the conditions that it was cut under."""

    windows: list[perplexity.Window]
    total: int
    sha256: str
    documents: list[str]
    context: int
    stride: int
    conditions: dict[str, Any]
    environment: Environment
    begun: float  # seconds, of a clock that only runs forward


def _tokens(loaded: loading.Loaded, subject: Subject) -> Tokens:
    assert subject.text is not None
    settings = subject.settings
    documents = subject.text.evaluation[: settings.max_eval_documents]
    context = settings.context or subject.context
    stride = settings.stride or context
    if stride > context:
        raise MeasureError(
            f"measuring.stride ({stride}) exceeds the context ({context})", "lower measuring.stride"
        )
    ids = perplexity.streams(loaded.tokenizer, documents, settings.documents)
    conditions: dict[str, Any] = {}
    if subject.task.PERPLEXITY == "masked":
        probability, seed = subject.task_parameters.mask_probability, settings.mask_seed
        windows = perplexity.masked_windows(ids, loaded.tokenizer, context, probability, seed)
        conditions = {"mask_probability": probability, "mask_seed": seed}
        stride = context - 2
    else:
        prefix = perplexity.prefix_token(loaded.tokenizer)
        windows = [w for stream in ids for w in perplexity.causal_windows(stream, prefix, context, stride)]
    return Tokens(
        windows=windows,
        total=sum(map(len, ids)),
        sha256=perplexity.streams_digest(ids),
        documents=documents,
        context=context,
        stride=stride,
        conditions=conditions,
        environment=environment(loading.device()),
        begun=time.monotonic(),
    )


def _perplexity(
    model: Any, alone: perplexity.Score | None, text: Tokens, subject: Subject, dtype: str
) -> Perplexity:
    assert subject.text is not None
    settings, facts = subject.settings, subject.text.facts
    with_adapter = perplexity.score(model, text.windows, settings.batch_size)
    base: dict[str, Any] = {"base_left_out": "the base has no trained head for this task"}
    if alone:
        base = {"base_value": alone.perplexity, "base_nll_sum": alone.nll}
    return Perplexity(
        adapter_sha256=subject.adapter.sha256(),
        definition=subject.task.PERPLEXITY,
        value=with_adapter.perplexity,
        nll_sum=with_adapter.nll,
        tokens_scored=with_adapter.tokens,
        tokens_total=text.total,
        tokens_sha256=text.sha256,
        documents=len(text.documents),
        documents_kept=settings.documents,
        context=text.context,
        stride=text.stride,
        batch_size=settings.batch_size,
        dtype=dtype,
        device=loading.device(),
        dataset_sha256=digest(text.documents),
        dataset_name=facts.name,
        dataset_id=facts.id,
        dataset_config=facts.config,
        dataset_revision=facts.revision,
        split=facts.eval_split,
        seconds=round(time.monotonic() - text.begun, 1),
        date=datetime.now(UTC).date().isoformat(),
        environment=text.environment,
        **base,
        **text.conditions,
    )


def _check_lengths(model: Any, subject: Subject) -> None:
    """Find out before any work what the model has no positions for. Raises SettingsError."""
    settings, speed = subject.settings, subject.settings.speed
    if settings.perplexity and subject.text and subject.task.PERPLEXITY:
        setting = "measuring.context" if settings.context else "training.block_size"
        limits.check_length(model, setting, settings.context or subject.context)
    if settings.throughput:
        setting, tokens = "measuring.speed.sequence_length", speed.sequence_length
        if subject.task.PERPLEXITY == "causal":
            setting, tokens = f"{setting} and new_tokens", tokens + speed.new_tokens
        limits.check_length(model, setting, tokens)


def _throughput(model: Any, subject: Subject, dtype: str) -> Throughput:
    speed = subject.settings.speed
    vocabulary = model.config.vocab_size
    before, peak = environment(loading.device()), memory.Peak()
    if subject.task.PERPLEXITY == "causal":
        prefill, decode = throughput.generation_rates(model, vocabulary, speed)
        rates: dict[str, Any] = {"prefill": prefill, "decode": decode, "new_tokens": speed.new_tokens}
    else:
        samples, tokens = throughput.encoder_rates(model, vocabulary, speed)
        rates = {"samples": samples, "tokens": tokens}
    highest, kind = peak.read()
    return Throughput(
        adapter_sha256=subject.adapter.sha256(),
        batch_size=speed.batch_size,
        sequence_length=speed.sequence_length,
        warmup=speed.warmup,
        dtype=dtype,
        device=loading.device(),
        peak_memory_bytes=highest,
        memory_kind=kind,
        date=datetime.now(UTC).date().isoformat(),
        environment=before,
        **rates,
    )
