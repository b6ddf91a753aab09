"""Perplexity: exp of the mean negative log-likelihood per predicted token, in nats.

Causal perplexity counts every token of the text; masked perplexity counts hidden tokens only, and the two are
not comparable. See `windows` for how the text is cut.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hubkit.errors import MeasureError
from hubkit.measures import windows
from hubkit.measures.environment import environment
from hubkit.measures.scoring import Score
from hubkit.measures.subject import Subject
from hubkit.models import loading
from hubkit.models.corpus import digest
from hubkit.record import Environment, Perplexity


@dataclass(frozen=True)
class Tokens:
    """The text as windows to score, with the conditions that it was cut under."""

    windows: list[windows.Window]
    total: int
    sha256: str
    documents: list[str]
    context: int
    stride: int
    conditions: dict[str, Any]
    environment: Environment
    begun: float  # seconds, of a clock that only runs forward


def tokens(tokenizer: Any, subject: Subject) -> Tokens:
    """Cut the subject's text into windows. Raises MeasureError for a stride above the context."""
    assert subject.text is not None
    settings = subject.settings
    documents = subject.text.evaluation[: settings.max_eval_documents]
    context = settings.context or subject.context
    stride = settings.stride or context
    if stride > context:
        raise MeasureError(
            f"measuring.stride ({stride}) exceeds the context ({context})", "lower measuring.stride"
        )
    streams = windows.streams(tokenizer, documents, settings.documents)
    conditions: dict[str, Any] = {}
    if subject.task.PERPLEXITY == "masked":
        probability, seed = subject.task_parameters.mask_probability, settings.mask_seed
        cut = windows.masked_windows(streams, tokenizer, context, probability, seed)
        conditions = {"mask_probability": probability, "mask_seed": seed}
        stride = context - 2
    else:
        prefix = windows.prefix_token(tokenizer)
        cut = [w for stream in streams for w in windows.causal_windows(stream, prefix, context, stride)]
    return Tokens(
        windows=cut,
        total=sum(len(stream.ids) for stream in streams),
        sha256=windows.streams_digest(streams),
        documents=documents,
        context=context,
        stride=stride,
        conditions=conditions,
        environment=environment(loading.device()),
        begun=time.monotonic(),
    )


def perplexity(
    with_adapter: Score, alone: Score | None, text: Tokens, subject: Subject, dtype: str
) -> Perplexity:
    """The measure from what base + adapter, and the base alone, were scored."""
    assert subject.text is not None
    settings, facts = subject.settings, subject.text.facts
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
