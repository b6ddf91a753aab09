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
from hubkit.models import counting, loading
from hubkit.models.corpus import Corpus, digest
from hubkit.record import BaseModel, Measures, Parameters, Perplexity, Throughput
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


def measure(subject: Subject, say: Say) -> tuple[Measures, BaseModel]:
    """All measures of an adapter, and the facts of the base as it was loaded for them.

    Raises BaseModelError, AdapterError or MeasureError.
    """
    settings, adapter = subject.settings, subject.adapter
    dtype = loading.resolve_precision(settings.precision, loading.device())
    say(f"loading {subject.base.path or subject.base.id}")
    loaded = loading.load_base(
        subject.base,
        subject.task,
        dtype=dtype,
        quantization=subject.quantization,
        keep=adapter.config.get("modules_to_save") or (),
    )
    model = loading.load_adapter(loaded.model, adapter)
    measures = Measures(parameters=parameters(model, adapter), size=memory.size(model, adapter, loaded.facts))
    if settings.perplexity and subject.text and subject.task.PERPLEXITY:
        say("measuring perplexity" + (" of base and adapter" if not loaded.new_modules else ""))
        measures = msgspec.structs.replace(measures, perplexity=_perplexity(model, loaded, subject, dtype))
    if settings.throughput:
        say("measuring throughput")
        measures = msgspec.structs.replace(measures, throughput=_throughput(model, subject, dtype))
    return measures, loaded.facts


def parameters(model: Any, adapter: Adapter) -> Parameters:
    """Counts of the loaded model, and the zeros of the saved file."""
    counted = counting.count(model, adapter)
    nonzero, sparsity, by_module = count_zeros(adapter)
    sparse = {"sparsity": sparsity, "sparsity_by_module": by_module} if sparsity else {}
    return msgspec.structs.replace(counted, adapter_nonzero=nonzero, **sparse)


def _perplexity(model: Any, loaded: loading.Loaded, subject: Subject, dtype: str) -> Perplexity:
    assert subject.text is not None
    settings, facts = subject.settings, subject.text.facts
    documents = subject.text.evaluation[: settings.max_eval_documents]
    context = _context(model, settings.context or subject.context)
    stride = settings.stride or context
    if stride > context:
        raise MeasureError(
            f"measuring.stride ({stride}) exceeds the context ({context})", "lower measuring.stride"
        )
    before = environment(loading.device())
    begun = time.monotonic()
    ids = perplexity.streams(loaded.tokenizer, documents, settings.documents)
    windows, stride, conditions = _windows(loaded, subject, ids, context, stride)
    with_adapter = perplexity.score(model, windows, settings.batch_size)
    base: dict[str, Any] = {"base_left_out": "the base has no trained head for this task"}
    if not loaded.new_modules:
        with model.disable_adapter():
            alone = perplexity.score(model, windows, settings.batch_size)
        base = {"base_value": alone.perplexity, "base_nll_sum": alone.nll}
    return Perplexity(
        adapter_sha256=subject.adapter.sha256(),
        definition=subject.task.PERPLEXITY,
        value=with_adapter.perplexity,
        nll_sum=with_adapter.nll,
        tokens_scored=with_adapter.tokens,
        tokens_total=sum(map(len, ids)),
        documents=len(documents),
        documents_kept=settings.documents,
        context=context,
        stride=stride,
        batch_size=settings.batch_size,
        dtype=dtype,
        device=loading.device(),
        dataset_sha256=digest(documents),
        dataset_name=facts.name,
        split=facts.eval_split,
        seconds=round(time.monotonic() - begun, 1),
        date=datetime.now(UTC).date().isoformat(),
        environment=before,
        **base,
        **conditions,
    )


def _windows(
    loaded: loading.Loaded, subject: Subject, ids: list[list[int]], context: int, stride: int
) -> tuple[list[Any], int, dict[str, Any]]:
    """What to score, the stride that it really has, and the conditions that only this task has."""
    if subject.task.PERPLEXITY == "masked":
        seed, probability = subject.settings.mask_seed, subject.task_parameters.mask_probability
        windows = perplexity.masked_windows(ids, loaded.tokenizer, context, probability, seed)
        return windows, context - 2, {"mask_probability": probability, "mask_seed": seed}
    prefix = perplexity.prefix_token(loaded.tokenizer)
    causal = [w for stream in ids for w in perplexity.causal_windows(stream, prefix, context, stride)]
    return causal, stride, {}


def _context(model: Any, wanted: int) -> int:
    """The context, at most what the model's position table holds."""
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest and wanted > longest:
        raise MeasureError(
            f"a context of {wanted} tokens is longer than the model's {longest} positions",
            "lower measuring.context",
        )
    return wanted


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
