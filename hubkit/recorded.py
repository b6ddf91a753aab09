"""The settings that a record's measures were taken under, so that they can be taken again.

What a record does not keep (how long throughput ran at least) is left to the defaults.
"""

from __future__ import annotations

from typing import Any, get_args

from hubkit import freshness
from hubkit.record import Classification, Dataset, Perplexity, Record, Throughput
from hubkit.settings import Precision, ThroughputSettings


def task(name: str, known: Record) -> dict[str, Any]:
    """The task, with the share of hidden tokens that was measured with before."""
    measured = known.measures.perplexity
    if name == "masked-lm" and measured and measured.mask_probability:
        return {"name": name, "mask_probability": measured.mask_probability}
    return {"name": name}


def measuring(known: Record) -> dict[str, Any]:
    """The conditions of measures, as `measuring` in settings; those of training before any.

    The precision is that of perplexity or accuracy; else of throughput, or of the base as it was loaded.
    """
    measured, pseudo, timed = (
        known.measures.perplexity,
        known.measures.pseudo_perplexity,
        known.measures.throughput,
    )
    classified = known.measures.classification
    conditions: dict[str, Any] = {"context": known.training.block_size if known.training else 512}
    if classified:
        conditions = _classifying(classified, known.dataset)
    if measured:
        conditions = _scoring(measured, known.dataset)
    if pseudo:
        conditions |= {"pseudo_perplexity": True, "pseudo_tokens": pseudo.tokens_scored}
    if timed:
        conditions["speed"] = _speed(timed)
    dtype = next(
        (taken.dtype for taken in (measured, pseudo, classified, timed) if taken), None
    ) or _loaded_in(known)
    return conditions | ({"precision": dtype} if dtype in get_args(Precision) else {})


def _classifying(measured: Classification, text: Dataset | None) -> dict[str, Any]:
    """The conditions of accuracy and F1."""
    conditions: dict[str, Any] = {"context": measured.context, "batch_size": measured.batch_size}
    if measured.accuracy_interval:
        conditions["resamples"] = measured.accuracy_interval.resamples
    if text and measured.documents < (text.eval_documents or 0):
        conditions["max_eval_documents"] = measured.documents
    return conditions


def _loaded_in(known: Record) -> str | None:
    """The dtype of the base whose size was taken."""
    size, base = known.measures.size, known.base_model
    return base.dtype if base and size and size.base_memory_bytes else None


def _scoring(measured: Perplexity, text: Dataset | None) -> dict[str, Any]:
    """The conditions of a perplexity. A stride as long as the context follows it, whatever that is now."""
    conditions: dict[str, Any] = {"context": measured.context, "documents": measured.documents_kept}
    conditions["batch_size"] = measured.batch_size
    if measured.interval:
        conditions["resamples"] = measured.interval.resamples
    if text and measured.documents < (text.eval_documents or 0):
        conditions["max_eval_documents"] = measured.documents
    if measured.definition in ("causal", "answers"):
        return conditions | ({"stride": measured.stride} if measured.stride < measured.context else {})
    return conditions | {"mask_seed": measured.mask_seed}


def _speed(timed: Throughput) -> dict[str, Any]:
    """The conditions of a throughput. More repeats than the default were run to fill the least seconds."""
    rates = [rate for rate in (timed.samples, timed.tokens, timed.prefill, timed.decode) if rate]
    default = ThroughputSettings()
    conditions: dict[str, Any] = {
        "batch_size": timed.batch_size,
        "sequence_length": timed.sequence_length,
        "warmup": timed.warmup,
        "repeats": min([default.repeats, *(rate.repeats for rate in rates)]),
        "batch_sizes": [rates.batch_size for rates in timed.sweep],
    }
    if timed.new_tokens:
        conditions["new_tokens"] = timed.new_tokens
    if timed.energy and timed.energy.grams_co2_per_kwh:
        conditions["grams_co2_per_kwh"] = timed.energy.grams_co2_per_kwh
    return conditions


def data(known: Record) -> dict[str, Any] | None:
    """The text that perplexity or accuracy was measured on, as `dataset` in settings, where the Hub has it.

    Documents held out of the training text are held out as they were. None for local text.
    """
    text, measured = known.dataset, known.measures.perplexity or known.measures.classification
    if measured and not (text and text.id and _is_of(measured, text)):
        return _elsewhere(measured)
    if text is None or not text.id or text.eval_split == freshness.SAMPLE:
        return None
    plain: dict[str, Any] = {"id": text.id, "config": text.config, "revision": text.revision}
    plain |= columns(text)
    if held := text.hold_out:
        plain |= {"split": text.train_split, "eval_fraction": held.fraction, "deduplicate": held.deduplicate}
        plain |= {"max_documents": held.max_documents, "max_eval_documents": held.max_eval_documents}
    else:
        plain |= {"eval_split": text.eval_split, "max_eval_documents": text.eval_documents}
        plain["split_seed"] = text.eval_selection.seed if text.eval_selection else None
    return {key: value for key, value in plain.items() if value is not None}


def columns(text: Dataset) -> dict[str, Any]:
    """What tells how the rows of a text are read, as parts of `dataset` in settings."""
    plain: dict[str, Any] = {"text_column": text.text_column, **text.columns, "system": text.system}
    plain["labels"] = text.label_map or text.labels or None
    plain["streaming"] = text.streamed or None
    return {key: value for key, value in plain.items() if value is not None}


def _is_of(measured: Perplexity | Classification, text: Dataset) -> bool:
    """Whether it was measured on this text of the Hub."""
    return (measured.dataset_id, measured.dataset_config, measured.split) == (
        text.id,
        text.config,
        text.eval_split,
    )


def _elsewhere(measured: Perplexity | Classification) -> dict[str, Any] | None:
    """A text of the Hub that is not the one of the training."""
    if not measured.dataset_id or not measured.split or measured.split == freshness.SAMPLE:
        return None
    plain = {
        "id": measured.dataset_id,
        "config": measured.dataset_config,
        "revision": measured.dataset_revision,
        "eval_split": measured.split,
        "max_eval_documents": measured.documents,
        "split_seed": measured.selection.seed if measured.selection else None,
    }
    return {key: value for key, value in plain.items() if value is not None}


def local_texts(known: Record, files: list[str]) -> list[dict[str, Any]]:
    """Ways to read the documents of a local text from files, as `dataset` in settings, the likeliest first.

    Documents are held out as for training; else the files hold just them, as paragraphs, lines or whole.
    """
    ways: list[dict[str, Any]] = []
    text = known.dataset
    if text and (held := text.hold_out) and not text.id:
        way = {
            "files": files,
            "name": text.name,
            "note": text.note,
            "license": text.license,
            "eval_fraction": held.fraction,
            "deduplicate": held.deduplicate,
            "documents": held.documents,
            "max_documents": held.max_documents,
            "max_eval_documents": held.max_eval_documents,
            **columns(text),
        }
        ways.append({key: value for key, value in way.items() if value is not None})
    read = columns(text) if text and text.columns else {}
    return [
        *ways,
        *({"eval_files": files, "documents": unit, **read} for unit in ("paragraph", "line", "file")),
    ]
