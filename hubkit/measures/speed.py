"""The throughput of a subject's adapter, with its conditions, as the record holds it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hubkit.measures import memory, throughput
from hubkit.measures.environment import environment
from hubkit.measures.subject import Subject
from hubkit.models import loading
from hubkit.record import Throughput


def speed(model: Any, subject: Subject, dtype: str) -> Throughput:
    """Time the model as it was loaded, adapter attached."""
    settings = subject.settings.speed
    vocabulary = model.config.vocab_size
    before, peak = environment(loading.device()), memory.Peak()
    if subject.task.PERPLEXITY == "causal":
        prefill, decode = throughput.generation_rates(model, vocabulary, settings)
        rates: dict[str, Any] = {"prefill": prefill, "decode": decode, "new_tokens": settings.new_tokens}
    else:
        samples, tokens = throughput.encoder_rates(model, vocabulary, settings)
        rates = {"samples": samples, "tokens": tokens}
    highest, kind = peak.read()
    return Throughput(
        adapter_sha256=subject.adapter.sha256(),
        batch_size=settings.batch_size,
        sequence_length=settings.sequence_length,
        warmup=settings.warmup,
        dtype=dtype,
        device=loading.device(),
        peak_memory_bytes=highest,
        memory_kind=kind,
        date=datetime.now(UTC).date().isoformat(),
        environment=before,
        **rates,
    )
