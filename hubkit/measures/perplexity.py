"""Perplexity: exp of the mean negative log-likelihood per predicted token, in nats.

Causal perplexity counts every token of the text; masked perplexity counts the tokens that are hidden under a
seed, pseudo-perplexity each token hidden in turn, that of answers the answers of conversations alone. None of
them is comparable with another. See `windows`, `pseudo` and `answers` for how the text is cut, `tokenising`
for its tokens, `intervals` for the intervals.

The mean is over all predictions of the text together, never over texts. Because tokens differ between
tokenizers, causal perplexity is also given for units that do not: `word_perplexity` is exp(nll / words),
`byte_perplexity` exp(nll / bytes) and `bits_per_byte` nll / bytes / ln 2, of the same sum of losses, as
lm-evaluation-harness defines them.

The sum of losses is that of lm-evaluation-harness's `loglikelihood_rolling` on the same texts, with a
`max_length` of the context and `add_bos_token=False`: to 1e-5 in float32. In bfloat16 rounding moves each
loss at random (by 0.05 nats for SmolLM2-135M): the mean over 10,000 tokens is within 0.1 % of float32's, that
over 1,000 within 0.5 %.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from hubkit import processes
from hubkit.errors import MeasureError
from hubkit.measured_part import Selection
from hubkit.measures import answers, pseudo, tokenising, windows
from hubkit.measures.environment import environment
from hubkit.measures.intervals import intervals
from hubkit.measures.scoring import Score
from hubkit.measures.subject import Subject
from hubkit.models import loading
from hubkit.models.corpus import digest
from hubkit.record import Environment, Perplexity

OVERFLOWS = 709  # nats: exp of more is no double


@dataclass(frozen=True)
class Tokens:
    """The text as windows to score, with the conditions that it was cut under."""

    windows: list[windows.Window]
    total: int
    sha256: str
    documents: list[str]
    selection: Selection | None
    context: int
    stride: int
    conditions: dict[str, Any]
    environment: Environment
    begun: float  # seconds, of a clock that only runs forward
    definition: Literal["causal", "masked", "pseudo", "answers"]
    kept: Literal["apart", "packed"]  # how documents were kept
    streams: list[tokenising.Stream]
    special: tuple[int, ...]  # ids that are handed to the model beside those of the text
    rows: pseudo.Rows | None = None  # pseudo only, in place of windows


def tokens(tokenizer: Any, subject: Subject) -> Tokens:
    """Cut the subject's text into windows. Raises MeasureError for a stride above the context."""
    assert subject.text is not None
    settings = subject.settings
    limited = subject.text.limited(settings.max_eval_documents)
    documents = limited.evaluation
    context = settings.context or subject.context
    stride = settings.stride or context
    if stride > context:
        raise MeasureError(
            f"measuring.stride ({stride}) exceeds the context ({context})", "lower measuring.stride"
        )
    kept, definition = settings.documents, subject.task.PERPLEXITY
    if subject.text.kind == "chat":
        answers.check(definition, settings.stride)
        found = answers.cut(tokenizer, documents, subject.text.chat_template, context)
        kept, definition = "apart", "answers"
        streams, cut, conditions, special = found.made()
    else:
        streams, cut, conditions, special = _windows(tokenizer, subject, documents, context, stride)
        stride = stride if definition == "causal" else context - 2
    return Tokens(
        windows=cut,
        total=sum(len(stream.ids) for stream in streams),
        sha256=windows.streams_digest(streams),
        documents=documents,
        selection=limited.selection,
        context=context,
        stride=stride,
        conditions=conditions,
        environment=environment(loading.device()),
        begun=time.monotonic(),
        definition=definition,
        kept=kept,
        streams=streams,
        special=special,
    )


Made = tuple[list[tokenising.Stream], list[windows.Window], dict[str, Any], tuple[int, ...]]


def _windows(tokenizer: Any, subject: Subject, documents: list[str], context: int, stride: int) -> Made:
    """The streams of running text, its windows, its conditions, and the tokens that are added to it."""
    settings = subject.settings
    streams = tokenising.streams(tokenizer, documents, settings.documents)
    if subject.task.PERPLEXITY == "masked":
        probability, seed = subject.task_parameters.mask_probability, settings.mask_seed
        cut = windows.masked_windows(streams, tokenizer, context, probability, seed)
        conditions: dict[str, Any] = {"mask_probability": probability, "mask_seed": seed}
        special = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
        return streams, cut, conditions, special
    prefix = windows.prefix_token(tokenizer)
    cut = [w for stream in streams for w in windows.causal_windows(stream, prefix, context, stride)]
    return streams, cut, dict(text_units(documents, settings.documents)), (prefix,)


def pseudo_tokens(text: Tokens, tokenizer: Any, subject: Subject) -> Tokens:
    """The same text with each token to be hidden in turn, or its first `pseudo_tokens`."""
    special = windows.Special.of(tokenizer, text.context)
    rows = pseudo.Rows(text.streams, special, text.context, subject.settings.pseudo_tokens)
    return dataclasses.replace(
        text, windows=[], rows=rows, definition="pseudo", conditions={}, begun=time.monotonic()
    )


def text_units(documents: Sequence[str], kept: str) -> dict[str, int]:
    """`words` and `bytes` of the text: words are parted by white space, bytes are those of UTF-8.

    As lm-evaluation-harness counts them: a text of n runs of white space has n + 1 words, so that one without
    text has one. Packed documents are one text, with the blank lines between them.
    """
    texts = documents if kept == "apart" else [tokenising.joined(documents)]
    return {
        "words": sum(1 + sum(1 for _ in re.finditer(r"\s+", text)) for text in texts),
        "bytes": sum(len(text.encode()) for text in texts),
    }


def check_vocabulary(model: Any, tokenizer: Any, text: Tokens) -> None:
    """Every token of the text must have a row in the model's embeddings. Raises MeasureError."""
    check_token(model, tokenizer, max([*text.special, *(int(stream.ids.max()) for stream in text.streams)]))


def check_token(model: Any, tokenizer: Any, largest: int) -> None:
    """The largest id of a text must have a row in the model's embeddings. Raises MeasureError."""
    rows = _rows(model)
    if rows is not None and largest >= rows:
        raise MeasureError(
            f"token {largest:,} ({tokenizer.convert_ids_to_tokens(largest)!r}) of the text has no embedding:"
            f" the model has {rows:,} and the tokenizer {len(tokenizer):,} tokens",
            "measure with the base's own tokenizer, or with an adapter that holds the resized embeddings",
        )


def _rows(model: Any) -> int | None:
    """How many tokens the model has an embedding and an output for; None where that cannot be told."""
    found = []
    for name in ("get_input_embeddings", "get_output_embeddings"):
        try:
            layer = getattr(model, name)()
        except (AttributeError, NotImplementedError):
            continue
        layer = getattr(layer, "base_layer", None) or getattr(layer, "original_module", None) or layer
        for told in ("num_embeddings", "out_features"):
            if isinstance(size := getattr(layer, told, None), int):
                found.append(size)
    return min(found, default=None)


def checked(score: Score, whose: str, dtype: str) -> Score:
    """The score, where its perplexity is a number. Raises MeasureError that names the document."""
    import numpy

    wrong = numpy.flatnonzero(~numpy.isfinite(score.nll_by_document))
    weights = "look for NaN and infinite numbers in the weights"
    hint = weights if dtype == "float32" else "set measuring.precision: float32"
    if len(wrong):
        what = "no number" if math.isnan(score.nll_by_document[wrong[0]]) else "infinite"
        raise MeasureError(
            f"perplexity {whose} is not finite: the loss of document {wrong[0] + 1:,} is {what}; logits"
            " overflow, or weights are no numbers",
            hint,
        )
    mean = score.nll / score.tokens
    if mean > OVERFLOWS:
        raise MeasureError(
            f"perplexity {whose} is not finite: exp of a mean loss of {mean:,.0f} nats a token overflows",
            hint,
        )
    return score


def perplexity(
    with_adapter: Score, alone: Score | str, text: Tokens, subject: Subject, dtype: str
) -> Perplexity:
    """The measure from what base + adapter, and the base alone, were scored.

    `alone` may say why the base was not scored.
    """
    assert subject.text is not None
    settings, facts = subject.settings, subject.text.facts
    base: dict[str, Any] = {"base_left_out": alone}
    if isinstance(alone, Score):
        base = {"base_value": alone.perplexity, "base_nll_sum": alone.nll}
    scored = alone if isinstance(alone, Score) else None
    return Perplexity(
        adapter_sha256=subject.adapter.sha256(),
        definition=text.definition,
        value=with_adapter.perplexity,
        nll_sum=with_adapter.nll,
        tokens_scored=with_adapter.tokens,
        tokens_total=text.total,
        tokens_sha256=text.sha256,
        documents=len(text.documents),
        selection=text.selection,
        documents_kept=text.kept,
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
        kernels=with_adapter.kernels,
        merged=with_adapter.merged,
        seconds=round(time.monotonic() - text.begun, 1),
        date=datetime.now(UTC).date().isoformat(),
        environment=text.environment,
        processes=processes.count() if processes.count() > 1 else None,
        **base,
        **text.conditions,
        **_by_unit(with_adapter.nll, text.conditions),
        **intervals(with_adapter, scored, settings.resamples),
    )


def _by_unit(nll: float, units: dict[str, Any]) -> dict[str, Any]:
    """Word and byte perplexity and bits per byte, where there are units; one that overflows is left out."""
    if not units.get("bytes"):
        return {}
    found = {"bits_per_byte": nll / units["bytes"] / math.log(2)}
    for unit in ("word", "byte"):
        if f"{unit}s" not in units:
            continue
        mean = nll / units[f"{unit}s"]
        if mean <= OVERFLOWS:
            found[f"{unit}_perplexity"] = math.exp(mean)
    return found
