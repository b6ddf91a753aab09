"""Exact parameter counts of a base with an adapter, without weights and without torch.

    base_files   the base's config.json and its weights' headers: from a directory, or by ranges from the Hub
    families     families whose parameters follow from the configuration (encoders, decoders), by name
    headers      other families, from the headers alone
    packed       quantized weights as the parameters that they stand for
    adapted      what the adapter adds, and what of it is trained
    stored       the base's files held against its class: dtypes, and what is tied only in name
    fits         does the adapter belong to this base?

What these files do not tell exactly is never guessed: `NotExact` says why, and models/counting.py counts on
the meta device, where torch is installed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from hubkit import base_model, tasks
from hubkit.adapter import Adapter
from hubkit.counting import adapted, families, fits
from hubkit.counting.base_files import BaseFiles
from hubkit.counting.shapes import NotExact as NotExact
from hubkit.record import Parameters

if TYPE_CHECKING:
    from hubkit.counting.packed import Held


def count(
    adapter: Adapter, base: BaseFiles, task: tasks.Described | None, sha256: str | None = None
) -> Parameters:
    """Count base and adapter as models/counting.py counts them in memory, from their files.

    `total_by_dtype` is as in the files, and there only where headers were read. `sha256` is the adapter's
    digest, where it was taken already. Raises NotExact, AdapterError, BaseModelError.
    """
    auto_class = auto_class_of(task, adapter, base)
    of_base = _of_base(adapter, base, auto_class)
    untied = base.config.get("tie_word_embeddings") is False
    found = adapted.added(adapter, of_base.names, untied)
    by_dtype = of_base.by_dtype
    if by_dtype:
        for dtype, number in found.by_dtype.items():
            by_dtype[dtype] = by_dtype.get(dtype, 0) + number
    return Parameters(
        adapter_sha256=sha256 or adapter.sha256(),
        adapter=adapter.parameters,
        adapter_by_dtype=adapter.parameters_by_dtype,
        trainable=found.trained,
        total=of_base.total + found.total,
        total_by_dtype=dict(sorted(by_dtype.items())),
        embedding=of_base.embedding,
        counted_on="file headers" if base.tensors else "base configuration",
    )


def auto_class_of(task: tasks.Described | None, adapter: Adapter, base: BaseFiles) -> str:
    """transformers' class that loads the base for the adapter's task. Raises NotExact."""
    if task is not None:
        return str(task.AUTO_CLASS)
    told = adapter.config.get("task_type")
    if told not in (None, "", "FEATURE_EXTRACTION"):  # then the base's class tells of another head
        described = tasks.of_card(adapter.config, base.config, headless=False)
        if described is None:
            raise NotExact(f"nothing tells which class loads the base for {str(told)[:40]}")
        return str(described.AUTO_CLASS)
    names = tasks.class_names(adapter.config, base.config)
    for ending, found in _ENDINGS.items():
        if any(name.endswith(ending) for name in names):
            return found
    raise NotExact("the files do not tell which class loads the base")


_ENDINGS = {
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
}


class _OfBase(NamedTuple):
    """What the base has, as its class makes it."""

    total: int
    embedding: int | None
    by_dtype: dict[str, int]
    names: set[str]  # of its parameters, tied ones once


def _of_base(adapter: Adapter, base: BaseFiles, auto_class: str) -> _OfBase:
    rows = adapter.embedding_rows
    try:
        shapes = families.shapes(base.config, auto_class, rows, adapter.labels)
    except NotExact:
        if not base.tensors:
            raise
        from hubkit.counting import headers

        held, embedding = headers.parameters(base, auto_class, rows)
        fits.check_held(adapter, held)
        _check_resized(base, rows, held)
        total = sum(one.numel for one in held.values())
        return _OfBase(total, embedding, _by_dtype(held), set(held))
    fits.check(adapter, shapes)
    _check_resized(base, rows, shapes.tensors)
    by_dtype = {}
    if base.tensors:
        from hubkit.counting import stored

        by_dtype = stored.by_dtype(shapes, base, resized=_resized(base, rows))
    return _OfBase(shapes.total, shapes.embedding, by_dtype, set(shapes.tensors))


def _resized(base: BaseFiles, rows: int | None) -> bool:
    """Whether loading the adapter gives the vocabulary another length."""
    return rows is not None and rows != base_model.vocab_size(base.config)


def _check_resized(base: BaseFiles, rows: int | None, names: Collection[str]) -> None:
    """Transformers resizes one of an untied head's two biases, or ties them, by family. Raises NotExact."""
    if _resized(base, rows) and any(name.endswith(".decoder.bias") for name in names):
        raise NotExact("the adapter resizes the vocabulary of a base whose output head has biases apart")


def _by_dtype(held: dict[str, Held]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in held.values():
        counts[one.dtype] = counts.get(one.dtype, 0) + one.numel
    return counts
