"""Adapters side by side, as Markdown: tables of what is known of each, and notes on how it was measured."""

from __future__ import annotations

from collections.abc import Sequence

from hubkit import compare
from hubkit.card import comparison, prose, results, text
from hubkit.card.comparison import Side
from hubkit.card.facts import Facts
from hubkit.compare import Measure
from hubkit.record import Classification, Compared, Perplexity, Rate, Throughput

HEADS = {"prefill": "Prompt", "decode": "Generation", "samples": "Sequences", "tokens": "Tokens"}


def section(facts: Facts) -> str:
    """The card's comparison; empty where there is none.

    Where the tokenizers differ, bits per byte of the text stand in place of perplexities. Where neither can
    be compared, as when this adapter was measured anew in another way, the card says why.
    """
    compared = comparison.sides(facts)
    if not compared:
        return ""
    measure = comparison.by(compared)
    shown_as = markdown(compared, measure)
    if measure:
        return shown_as
    listed = "\n".join(f"- {text.phrase(reason)}" for reason in comparison.reasons(compared))
    what = compare.called([side.numbers for side in compared]).capitalize()
    return f"{shown_as}\n\n{what} are left out, because they cannot be compared:\n\n{listed}"


def markdown(compared: Sequence[Side], by: Measure | None = "perplexity", *, over_seeds: bool = False) -> str:
    """Tables and notes: quality (by what it can be compared) and size first, then speed and training.

    `over_seeds`: beside it stands how much the results vary between seeds, and which mean is best; of single
    adapters no quality is marked then.
    """
    parts = [
        text.table(*_first(compared, by, marks=not over_seeds)),
        _perplexity_note(compared, by) if by else "",
        _accuracy_note(compared) if by else "",
        text.table(*_second(compared)),
        _speed_note(compared),
        _training_note(compared, over_seeds),
    ]
    return "\n\n".join(part for part in parts if part)


Column = tuple[str, list[str]]


def _table(columns: list[Column]) -> tuple[list[tuple[str, ...]], *tuple[str, ...]]:
    """Rows and head for `text.table`, of the columns that hold something."""
    held = [(head, cells) for head, cells in columns if any(cells)]
    return list(zip(*(cells for _, cells in held), strict=True)), *(head for head, _ in held)


def _first(
    compared: Sequence[Side], by: Measure | None, *, marks: bool
) -> tuple[list[tuple[str, ...]], *tuple[str, ...]]:
    """What each is, how good and how big."""
    adapters = [side.numbers for side in compared]
    columns: list[Column] = [
        ("Adapter", [side.shown for side in compared]),
        ("Method", [text.phrase(adapter.method) for adapter in adapters]),
        ("Base model", _where_they_differ([adapter.base_id or "" for adapter in adapters])),
        ("Base weights", [text.phrase((one.base_weights or "").partition(",")[0]) for one in adapters]),
        ("Rank", [_rank(adapter) for adapter in adapters]),
    ]
    if by:
        columns += _accuracies([adapter.classification for adapter in adapters], marks)
        columns += _qualities([adapter.perplexity for adapter in adapters], by, marks)
        columns.append(("Change", [_percent(compare.change(adapter, by), True) for adapter in adapters]))
    columns += [
        ("Trainable parameters", [_count(adapter.trainable) for adapter in adapters]),
        ("Share of all", [_percent(compare.share(adapter)) for adapter in adapters]),
        ("Zeros", [_percent(adapter.sparsity or None) for adapter in adapters]),
        ("Adapter file", [text.size(adapter.adapter_weights_bytes) for adapter in adapters]),
    ]
    return _table(columns)


def _rank(adapter: Compared) -> str:
    """`8`, or `1 to 8` where modules have several."""
    return _count(adapter.rank) or " to ".join(map(text.count, adapter.ranks))


def _where_they_differ(ids: list[str]) -> list[str]:
    return [text.model_link(one) if one else "" for one in ids] if len(set(ids)) > 1 else []


def _qualities(measured: list[Perplexity | None], by: Measure, marks: bool) -> list[Column]:
    """Perplexities with their intervals, or bits per byte; the best is bold where it `marks`."""
    values = [compare.value_of(one, by) if one else None for one in measured]
    written = [text.perplexity(value) if value is not None else "" for value in values]
    at = compare.best(values) if marks else None
    if at is not None and written.count(written[at]) == 1:  # a difference that can be seen
        written[at] = f"**{written[at]}**"
    bases = [compare.base_value_of(one, by) if one else None for one in measured]
    alone = [text.perplexity(base) if base is not None else "" for base in bases]
    if by == "bits_per_byte":
        return [("Bits per byte", written), ("Base alone", alone)]
    intervals = [one.interval if one else None for one in measured]
    confidence = next((one.confidence for one in intervals if one), 0.95)
    ends = [f"{text.perplexity(i.low)} to {text.perplexity(i.high)}" if i else "" for i in intervals]
    return [
        ("Perplexity", written),
        (f"{text.percent_short(confidence)} interval", ends),
        ("Base alone", alone),
    ]


def _accuracies(measured: list[Classification | None], marks: bool) -> list[Column]:
    """Accuracy with its interval, and macro F1; the best of each is bold where it `marks`."""
    if not any(measured):
        return []
    intervals = [one.accuracy_interval if one else None for one in measured]
    confidence = next((one.confidence for one in intervals if one), 0.95)
    ends = [f"{text.score(i.low)} to {text.score(i.high)}" if i else "" for i in intervals]
    return [
        ("Accuracy", _highest([one.accuracy if one else None for one in measured], marks)),
        (f"{text.percent_short(confidence)} interval", ends),
        ("Macro F1", _highest([one.macro_f1 if one else None for one in measured], marks)),
    ]


def _highest(values: list[float | None], marks: bool) -> list[str]:
    written = ["" if value is None else text.score(value) for value in values]
    at = compare.best([None if value is None else -value for value in values]) if marks else None
    if at is not None and written.count(written[at]) == 1:  # a difference that can be seen
        written[at] = f"**{written[at]}**"
    return written


def _count(number: int | None) -> str:
    return "" if number is None else text.count(number)


def _percent(fraction: float | None, signed: bool = False) -> str:
    return "" if fraction is None else text.percent(fraction, signed)


def _perplexity_note(compared: Sequence[Side], by: Measure) -> str:
    """On what, and how, all of them were measured."""
    held = [side.numbers.perplexity for side in compared if side.numbers.perplexity]
    if not held:
        return ""
    one = held[0]
    if by == "bits_per_byte":
        return _byte_note(one)
    whose = "Perplexity of all was" if len(held) == len(compared) else "Each perplexity was"
    whose = f"{whose} measured on the same" if len(held) > 1 else "The perplexity was measured on"
    unit = "masked token" if one.definition == "masked" else "token"
    mask = ""
    if one.definition == "masked" and one.mask_probability is not None:
        mask = f", mask probability {text.number(one.mask_probability)}, seed {one.mask_seed}"
    small = " (a small sample)" if one.tokens_scored < prose.SMALL_SAMPLE else ""
    return (
        f"{whose} {text.plural(one.tokens_scored, unit)}{small} of {_how(one, mask)}. The"
        f" change is that against the base alone, in the weights that the adapter was measured on."
    )


def _accuracy_note(compared: Sequence[Side]) -> str:
    """On what all of them were measured."""
    held = [side.numbers.classification for side in compared if side.numbers.classification]
    if not held:
        return ""
    one = held[0]
    split = f", {text.phrase(one.split)}" if one.split and one.split != one.dataset_name else ""
    name = text.dataset_link(one.dataset_id) if one.dataset_id else text.phrase(one.dataset_name)
    return (
        f"Accuracy and F1 are of the same {text.plural(one.documents, 'document')} of {name}{split}"
        f" ({text.digest(one.dataset_sha256)}), cut to {text.plural(one.context, 'token')},"
        f" {text.phrase(one.dtype)}. Always answering the most frequent class has an accuracy of"
        f" {text.score(one.majority_accuracy)}."
    )


def _byte_note(one: Perplexity) -> str:
    """Why bits per byte stand there, and of what text."""
    return (
        "Their tokenizers are not the same, so their perplexities cannot be compared. Bits per byte, the"
        " whole loss over the bytes of the text, can: all were measured on the same"
        f" {text.plural(one.bytes or 0, 'byte')} of {_how(one)}. The change is that against the base alone."
    )


def _how(one: Perplexity, mask: str = "") -> str:
    """The text, and how it was cut."""
    split = f", {text.phrase(one.split)}" if one.split and one.split != one.dataset_name else ""
    name = text.dataset_link(one.dataset_id) if one.dataset_id else text.phrase(one.dataset_name)
    return (
        f"{name}{split} ({text.digest(one.dataset_sha256)}): context {text.count(one.context)}, stride"
        f" {text.count(one.stride)}, documents {one.documents_kept}{mask}, {text.phrase(one.dtype)}"
    )


def _second(compared: Sequence[Side]) -> tuple[list[tuple[str, ...]], *tuple[str, ...]]:
    """How fast each is, and what its training took."""
    adapters = [side.numbers for side in compared]
    columns: list[Column] = [("Adapter", [side.shown for side in compared])]
    if compare.speeds_are_comparable(adapters):
        columns += [_rates(name, [adapter.throughput for adapter in adapters]) for name in compare.RATES]
    else:
        columns.append(("Throughput", [_speed(adapter.throughput) for adapter in adapters]))
    seconds = [text.duration(one.training_seconds) if one.training_seconds else "" for one in adapters]
    memory = [text.size(one.training_memory_bytes) if one.training_memory_bytes else "" for one in adapters]
    columns += [("Training time", seconds), ("Peak memory in training", memory)]
    if not compare.same(adapters, lambda one: one.training_machine):
        columns.append(("Trained on", [text.phrase(one.training_machine or "") for one in adapters]))
    if not compare.same(adapters, lambda one: one.tokens_seen):
        columns.append(("Tokens seen in training", [_count(one.tokens_seen) for one in adapters]))
    rows, *head = _table(columns)
    return ([], *head) if len(head) == 1 else (rows, *head)


def _rates(name: str, measured: list[Throughput | None]) -> Column:
    rates: list[Rate | None] = [getattr(one, name) if one else None for one in measured]
    unit = next((rate.unit for rate in rates if rate), "")
    written = [text.rate(rate.median) if rate else "" for rate in rates]
    if (at := compare.fastest(rates)) is not None:
        written[at] = f"**{written[at]}**"
    return f"{HEADS[name]}, {text.phrase(unit)}", written


def _speed(measured: Throughput | None) -> str:
    """Speeds that stand alone, with all that they depend on."""
    if measured is None:
        return ""
    rates = [
        f"{HEADS[name].lower()} {text.rate(rate.median)} {text.phrase(rate.unit)}"
        for name in compare.RATES
        if (rate := getattr(measured, name))
    ]
    return f"{', '.join(rates)} ({_conditions(measured)})" if rates else ""


def _conditions(measured: Throughput) -> str:
    new = f" + {text.count(measured.new_tokens)} new" if measured.new_tokens else ""
    environment = measured.environment
    threads = f", {text.plural(environment.threads, 'thread')}" if environment and environment.threads else ""
    return (
        f"batch {text.count(measured.batch_size)}, {text.count(measured.sequence_length)}{new} tokens,"
        f" {text.phrase(measured.dtype)}, {results.device(measured.device, environment)}{threads}"
    )


def _speed_note(compared: Sequence[Side]) -> str:
    """Under which conditions all speeds were taken."""
    adapters = [side.numbers for side in compared]
    found = [adapter.throughput for adapter in adapters if adapter.throughput]
    if not found:
        return ""
    if not compare.speeds_are_comparable(adapters):
        told = "The speeds are not comparable: nothing says that they were taken under the same conditions."
        return told if found[1:] else ""
    noisy = any(rate.noisy for one in found for name in compare.RATES if (rate := getattr(one, name)))
    spread = " Some runs were noisy: their quartiles lie more than 10% of the median apart." if noisy else ""
    loads = [one.environment.load_average for one in found if one.environment]
    if busy := [load for load in loads if load is not None and load > 0.5]:
        spread += f" Other programs ran on the machine: load average up to {max(busy):.1f} at the start."
    return (
        f"Speeds are medians, adapter attached and not merged: {_conditions(found[0])}. One is bold only"
        f" where its quartiles lie above those of all others.{spread}"
    )


def _training_note(compared: Sequence[Side], over_seeds: bool) -> str:
    """What was the same in training, and what was not."""
    adapters = [side.numbers for side in compared]
    if not all(adapter.training_steps for adapter in adapters):
        return ""
    amount = ""
    if compare.same(adapters, lambda one: one.tokens_seen):
        amount = f", on {text.plural(adapters[0].tokens_seen or 0, 'token')}"
    unknown = "" if over_seeds else ", so how much the results vary between seeds is not known"
    said = f"Each was trained once{amount}{unknown}."
    if compare.same(adapters, lambda one: one.train_sha256):
        said = f"All were trained on the same text. {said}"
    elif all(adapter.train_sha256 for adapter in adapters):
        said = f"They were trained on different texts. {said}"
    if compare.same(adapters, lambda one: one.training_machine):
        said += f" Training ran on {text.phrase(adapters[0].training_machine or '')}."
    return said
