"""Adapters side by side: which of their numbers may be compared, and why others may not.

A perplexity is comparable with another only where both were taken on the very same tokens in the same way.
Bits per byte are comparable over other tokenizers too, where they were taken on the very same text in the
same way: the text's bytes are what is counted.
Accuracy and F1 are where they were taken on the same text with the same labels; beside a perplexity they say
nothing.
The base may be held in other weights (that is QLoRA's point), but the same base in the same weights must have
the same value. Speeds stand side by side only where they were taken under the same conditions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from hubkit.record import Classification, Compared, Perplexity, Rate, Throughput

# Of one base in one kind of weights: how far apart its own values may lie, as by another machine or batch.
BASE_TOLERANCE = 0.005
LARGEST_EXPONENT = 700.0  # e to more is no float
# What must be the same, and how a reader calls it.
CONDITIONS: tuple[tuple[str, str], ...] = (
    ("definition", "the definition"),
    ("dataset_sha256", "the text"),
    ("documents_kept", "how documents are kept"),
    ("tokens_total", "the tokens of the text"),
    ("tokens_scored", "the tokens scored"),
    ("context", "the context"),
    ("stride", "the stride"),
    ("mask_probability", "the mask probability"),
    ("mask_seed", "the mask seed"),
    ("dtype", "the dtype"),
)
# Of those, what must be the same for bits per byte: all but what the tokenizer makes of the text.
OF_THE_TOKENIZER = ("tokens_total", "tokens_scored")
OF_CLASSES: tuple[tuple[str, str], ...] = (
    ("dataset_sha256", "the text"),
    ("labels_sha256", "the labelling"),
    ("documents", "the documents"),
    ("context", "the context"),
    ("dtype", "the dtype"),
)
BYTES: tuple[tuple[str, str], ...] = (
    *((field, called) for field, called in CONDITIONS if field not in OF_THE_TOKENIZER),
    ("bytes", "the bytes of the text"),
)
RATES = ("prefill", "decode", "samples", "tokens")


def reasons(adapters: Sequence[Compared], labels: Sequence[str] | None = None) -> list[str]:
    """Why the qualities of these adapters cannot be compared, a line each; none where they can.

    Those without perplexity or accuracy are passed over. `labels` name the adapters.
    """
    held, classified = _held(adapters, labels), _classified(adapters, labels)
    if held and classified:
        return _tasks(held, classified)
    if classified:
        return _differences(classified, OF_CLASSES)
    return _differences(held, CONDITIONS) or [*_tokenizers(held), *_bases(held)]


def reasons_by_byte(adapters: Sequence[Compared], labels: Sequence[str] | None = None) -> list[str]:
    """Why the bits per byte of these adapters cannot be compared, a line each; none where they can."""
    held, classified = _held(adapters, labels), _classified(adapters, labels)
    if held and classified:
        return _tasks(held, classified)
    without = [label for label, _, measured in held if measured.bits_per_byte is None]
    if without or not held:
        return [f"no bits per byte in {', '.join(without)}"] if without else ["no adapter has bits per byte"]
    return _differences(held, BYTES) or _bases(held)


Measure = Literal["perplexity", "bits_per_byte"]


def by(adapters: Sequence[Compared], labels: Sequence[str] | None = None) -> Measure | None:
    """By what these adapters can be compared: by perplexity, else by bits per byte, else by neither."""
    if not reasons(adapters, labels):
        return "perplexity"
    return None if reasons_by_byte(adapters, labels) else "bits_per_byte"


def called(adapters: Sequence[Compared]) -> str:
    """What is compared, in a word."""
    found = [bool(one.classification) for one in adapters if one.classification or one.perplexity]
    return "perplexities" if not any(found) else "accuracies" if all(found) else "measures"


Held = list[tuple[str, Compared, Perplexity]]
Classified = list[tuple[str, Compared, Classification]]


def _classified(adapters: Sequence[Compared], labels: Sequence[str] | None) -> Classified:
    """The adapters that have an accuracy, with their labels."""
    named = labels or [adapter.name for adapter in adapters]
    return [
        (label, adapter, adapter.classification)
        for label, adapter in zip(named, adapters, strict=True)
        if adapter.classification
    ]


def _tasks(held: Held, classified: Classified) -> list[str]:
    """That some were measured by perplexity, and others by accuracy."""
    told = [(label, "perplexity") for label, *_ in held] + [(label, "accuracy") for label, *_ in classified]
    return [f"the tasks differ: {_groups(told)}"]


def _held(adapters: Sequence[Compared], labels: Sequence[str] | None) -> Held:
    """The adapters that have a perplexity, with their labels."""
    named = labels or [adapter.name for adapter in adapters]
    return [
        (label, adapter, adapter.perplexity)
        for label, adapter in zip(named, adapters, strict=True)
        if adapter.perplexity
    ]


def _differences(held: Held | Classified, conditions: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"{called} differs: {values}"
        for field, called in conditions
        if (values := _groups([(label, _shown(field, measured)) for label, _, measured in held]))
    ]


def _shown(field: str, measured: Perplexity | Classification) -> str:
    """The value of a condition, as a reason names it."""
    value = getattr(measured, field)
    if field == "dataset_sha256":
        split = f", {measured.split}" if measured.split and measured.split != measured.dataset_name else ""
        return f"{measured.dataset_name}{split} (sha256:{value[:12]})"
    if field == "labels_sha256":
        return f"sha256:{value[:12]}"
    if value is None:
        return "not known"
    return f"{value:,}" if type(value) is int and field != "mask_seed" else str(value)


def _groups(values: list[tuple[str, str]]) -> str:
    """`128 in a and b, 256 in c`; empty where all are the same."""
    by_value: dict[str, list[str]] = {}
    for label, value in values:
        by_value.setdefault(value, []).append(label)
    if len(by_value) < 2:
        return ""
    return "; ".join(f"{value} in {', '.join(labels)}" for value, labels in by_value.items())


def _tokenizers(held: Held) -> list[str]:
    """Whether the same text was cut into the same tokens.

    An older record has no digest of the tokens: there the same base, and as many tokens, are taken for that.
    """
    digests = [(label, measured.tokens_sha256) for label, _, measured in held]
    known = [(label, f"sha256:{digest[:12]}") for label, digest in digests if digest]
    if values := _groups(known):
        return [f"the tokenizer differs, by the digest of its tokens: {values}"]
    if len(known) == len(held):
        return []
    bases = _groups([(label, adapter.base_id or "not known") for label, adapter, _ in held])
    if not bases and all(adapter.base_id for _, adapter, _ in held):
        return []
    without = ", ".join(label for label, digest in digests if digest is None)
    return [
        "cannot tell whether the tokenizer is the same: no digest of the tokens in"
        f" {without}, and the base is {bases or 'not known'}"
    ]


def _bases(held: Held) -> list[str]:
    """Whether one base, in one kind of weights, has one value."""
    by_base: dict[tuple[str | None, str | None], list[tuple[str, float]]] = {}
    for label, adapter, measured in held:
        if measured.base_value is not None and adapter.base_id:
            by_base.setdefault((adapter.base_id, adapter.base_weights), []).append(
                (label, measured.base_value)
            )
    found = []
    for (base_id, _), values in by_base.items():
        lowest, highest = min(value for _, value in values), max(value for _, value in values)
        if highest > lowest * (1 + BASE_TOLERANCE):
            shown = _groups([(label, f"{value:.4f}") for label, value in values])
            found.append(f"the base alone, {base_id}, has another value: {shown}")
    return found


def per(measured: Perplexity, value: float | None, units: int | None) -> float | None:
    """exp of the whole loss over so many words or bytes of the text, from that of its mean over tokens."""
    if value is None or value <= 0 or not units:
        return None
    exponent = math.log(value) * measured.tokens_scored / units
    return math.exp(exponent) if exponent < LARGEST_EXPONENT else None


def base_per(measured: Perplexity, units: int | None) -> float | None:
    """The same of the base alone; the record has it of base and adapter."""
    return per(measured, measured.base_value, units)


def base_bits_per_byte(measured: Perplexity) -> float | None:
    """Bits that the base alone needs for a byte of the text: its whole loss / bytes / ln 2."""
    found = base_per(measured, measured.bytes)
    return math.log2(found) if found is not None else None


def best(values: Sequence[float | None]) -> int | None:
    """The index of the lowest of several values; none where it is not the only one."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or known.count(min(known)) > 1:
        return None
    return values.index(min(known))


def fastest(rates: Sequence[Rate | None]) -> int | None:
    """The index of the fastest; none where the spread of another reaches into its own."""
    known = sorted((rate for rate in rates if rate), key=lambda rate: rate.median, reverse=True)
    if len(known) < 2 or any(rate.high >= known[0].low for rate in known[1:]):
        return None
    return next(at for at, rate in enumerate(rates) if rate is known[0])


def speed_conditions(measured: Throughput) -> dict[str, Any]:
    """What a speed depends on, without what is not known."""
    environment = measured.environment
    found = {
        "batch_size": measured.batch_size,
        "sequence_length": measured.sequence_length,
        "new_tokens": measured.new_tokens,
        "dtype": measured.dtype,
        "device": measured.device,
        "processor": environment
        and (environment.cpu if measured.device == "cpu" else environment.accelerator),
        "threads": environment and environment.threads,
    }
    return {name: value for name, value in found.items() if value is not None}


def speeds_are_comparable(adapters: Sequence[Compared]) -> bool:
    """Whether at least two speeds were taken, and all of them under the same conditions.

    Where no processor is named, nothing says that it was the same.
    """
    found = [speed_conditions(adapter.throughput) for adapter in adapters if adapter.throughput]
    return len(found) > 1 and all(one == found[0] and "processor" in one for one in found)


def share(adapter: Compared) -> float | None:
    """Trainable parameters as a share of all."""
    return adapter.trainable / adapter.total if adapter.trainable and adapter.total else None


def change(adapter: Compared, by: Measure = "perplexity") -> float | None:
    """Perplexity, or bits per byte, against that of the base alone, as a relative change."""
    measured = adapter.perplexity
    if measured is None or by == "perplexity":
        return measured.change if measured else None
    own, base = value_of(measured, by), base_value_of(measured, by)
    return own / base - 1 if own is not None and base else None


def value_of(measured: Perplexity, by: Measure) -> float | None:
    """What a comparison sets side by side, of base and adapter."""
    return measured.value if by == "perplexity" else measured.bits_per_byte


def base_value_of(measured: Perplexity, by: Measure) -> float | None:
    """The same of the base alone."""
    return measured.base_value if by == "perplexity" else base_bits_per_byte(measured)


def same(adapters: Sequence[Compared], value: Callable[[Compared], Any]) -> bool:
    """Whether a value is known of all adapters, and the same for all."""
    found = [value(adapter) for adapter in adapters]
    return None not in found and all(one == found[0] for one in found)
