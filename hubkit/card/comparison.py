"""Adapters side by side in Markdown, and as a record keeps them: for a card, and for `hubkit compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hubkit import compare
from hubkit.card import facts as card_facts
from hubkit.card import results, tables, text
from hubkit.card.facts import Facts
from hubkit.card.usage import LOCAL_NAMESPACE
from hubkit.record import Compared, Comparison, Perplexity, Rate, Record, Throughput

GENERIC = "adapter"  # what hubkit calls each adapter's directory, in one that is named for it
HEADS = {
    "prefill": "Prompt",
    "decode": "Generation",
    "samples": "Sequences",
    "tokens": "Tokens",
}


@dataclass(frozen=True)
class Side:
    """One adapter of a comparison: what a column of a reader's eye finds it by, and its numbers."""

    shown: str  # Markdown
    numbers: Compared
    is_own: bool = False  # of the card's own adapter


@dataclass(frozen=True)
class Read:
    """Adapters read from their directories, and what of each was left out because it is of other weights."""

    labels: list[str] = field(default_factory=list)
    adapters: list[Compared] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def read(directories: Sequence[Path]) -> Read:
    """Read adapters and their records; one that is named twice is read once. Raises HubkitError."""
    found = Read()
    seen: set[Path] = set()
    for directory in directories:
        if directory.resolve() in seen:
            continue
        seen.add(directory.resolve())
        facts = card_facts.gather(directory)
        found.labels.append(str(directory))
        found.adapters.append(numbers(facts))
        if facts.stale:
            found.left_out[str(directory)] = list(facts.stale)
    return found


def numbers(facts: Facts) -> Compared:
    """The numbers of one adapter that a comparison shows, each with its conditions."""
    run, dataset, measures = facts.record.training, facts.record.dataset, facts.record.measures
    perplexity = measures.perplexity and msgspec.structs.replace(
        measures.perplexity, environment=None, nll_sum=None, base_nll_sum=None
    )
    return Compared(
        name=facts.repo_id or _directory_name(facts.adapter.directory),
        adapter_sha256=facts.adapter.sha256(),
        adapter_weights_bytes=facts.weights_bytes,
        method=facts.kind.title,
        repo_id=facts.repo_id,
        base_id=facts.base_id,
        base_weights=tables.quantization(facts),
        rank=tables.rank_of(facts.adapter.config),
        trainable=facts.parameters.trainable,
        total=facts.parameters.total,
        sparsity=facts.parameters.sparsity,
        perplexity=perplexity,
        throughput=measures.throughput,
        train_sha256=dataset.train_sha256 if run and dataset else None,
        training_steps=run.steps if run else None,
        tokens_seen=run.tokens_seen if run else None,
        training_seconds=run.seconds if run else None,
        training_memory_bytes=run.peak_memory_bytes if run else None,
        training_memory_kind=run.memory_kind if run else None,
        training_machine=_machine(facts),
    )


def _directory_name(directory: Path) -> str:
    whole = directory.resolve()
    return whole.parent.name if whole.name == GENERIC else whole.name


def _machine(facts: Facts) -> str | None:
    """The processor that trained it, and its threads."""
    environment = facts.record.training.environment if facts.record.training else None
    if environment is None:
        return None
    name = environment.accelerator or environment.cpu
    threads = f", {text.plural(environment.threads, 'thread')}" if environment.threads else ""
    return f"{name}{threads}" if name else None


def told(known: Record, directories: Sequence[Path], own: str) -> tuple[Record, Read]:
    """The record with the numbers of the adapters in these directories; `own` is the card's adapter's digest.

    The adapter itself, where it is among them, is passed over.
    """
    found = read(directories)
    others = [adapter for adapter in found.adapters if adapter.adapter_sha256 != own]
    return msgspec.structs.replace(known, comparison=Comparison(adapters=others) if others else None), found


def sides(facts: Facts) -> list[Side]:
    """This adapter and those that its record compares it with; none where there is no other."""
    comparison = facts.record.comparison
    if comparison is None or not comparison.adapters:
        return []
    others = [Side(shown(other, other.name), other) for other in comparison.adapters]
    return [Side("**this adapter**", numbers(facts), is_own=True), *others]


def shown(adapter: Compared, label: str) -> str:
    """An adapter's name in Markdown: a link where it is on the Hub."""
    on_hub = adapter.repo_id and not adapter.repo_id.startswith(LOCAL_NAMESPACE)
    return text.model_link(str(adapter.repo_id)) if on_hub else text.code(adapter.repo_id or label)


def reasons(compared: Sequence[Side]) -> list[str]:
    """Why the perplexities cannot be compared, as the card says it; none where they can."""
    names = ["this adapter" if side.is_own else side.numbers.name for side in compared]
    return compare.reasons([side.numbers for side in compared], names)


def section(facts: Facts) -> str:
    """The card's comparison; empty where there is none.

    Where the perplexities can no longer be compared, as when this adapter was measured anew in another way,
    they are left out and the card says why.
    """
    compared = sides(facts)
    if not compared:
        return ""
    why = reasons(compared)
    shown_as = markdown(compared, with_perplexity=not why)
    if not why:
        return shown_as
    listed = "\n".join(f"- {text.phrase(reason)}" for reason in why)
    return f"{shown_as}\n\nPerplexities are left out, because they cannot be compared:\n\n{listed}"


def markdown(compared: Sequence[Side], with_perplexity: bool = True) -> str:
    """Tables and notes: quality and size first, then speed and what training took."""
    parts = [
        text.table(*_first(compared, with_perplexity)),
        _perplexity_note(compared) if with_perplexity else "",
        text.table(*_second(compared)),
        _speed_note(compared),
        _training_note(compared),
    ]
    return "\n\n".join(part for part in parts if part)


Column = tuple[str, list[str]]


def _table(columns: list[Column]) -> tuple[list[tuple[str, ...]], *tuple[str, ...]]:
    """Rows and head for `text.table`, of the columns that hold something."""
    held = [(head, cells) for head, cells in columns if any(cells)]
    return list(zip(*(cells for _, cells in held), strict=True)), *(head for head, _ in held)


def _first(compared: Sequence[Side], with_perplexity: bool) -> tuple[list[tuple[str, ...]], *tuple[str, ...]]:
    """What each is, how good and how big."""
    adapters = [side.numbers for side in compared]
    columns: list[Column] = [
        ("Adapter", [side.shown for side in compared]),
        ("Method", [text.phrase(adapter.method) for adapter in adapters]),
        ("Base model", _where_they_differ([adapter.base_id or "" for adapter in adapters])),
        ("Base weights", [text.phrase((one.base_weights or "").partition(",")[0]) for one in adapters]),
        ("Rank", [_count(adapter.rank) for adapter in adapters]),
    ]
    if with_perplexity:
        columns += _perplexities([adapter.perplexity for adapter in adapters])
        columns.append(("Change", [_percent(compare.change(adapter), True) for adapter in adapters]))
    columns += [
        ("Trainable parameters", [_count(adapter.trainable) for adapter in adapters]),
        ("Share of all", [_percent(compare.share(adapter)) for adapter in adapters]),
        ("Zeros", [_percent(adapter.sparsity or None) for adapter in adapters]),
        ("Adapter file", [text.size(adapter.adapter_weights_bytes) for adapter in adapters]),
    ]
    return _table(columns)


def _where_they_differ(ids: list[str]) -> list[str]:
    return [text.model_link(one) if one else "" for one in ids] if len(set(ids)) > 1 else []


def _perplexities(measured: list[Perplexity | None]) -> list[Column]:
    values = [one.value if one else None for one in measured]
    written = [text.perplexity(value) if value is not None else "" for value in values]
    at = compare.best(values)
    if at is not None and written.count(written[at]) == 1:  # a difference that can be seen
        written[at] = f"**{written[at]}**"
    alone = [
        text.perplexity(one.base_value) if one and one.base_value is not None else "" for one in measured
    ]
    return [("Perplexity", written), ("Base alone", alone)]


def _count(number: int | None) -> str:
    return "" if number is None else text.count(number)


def _percent(fraction: float | None, signed: bool = False) -> str:
    return "" if fraction is None else text.percent(fraction, signed)


def _perplexity_note(compared: Sequence[Side]) -> str:
    """On what, and how, all of them were measured."""
    held = [side.numbers.perplexity for side in compared if side.numbers.perplexity]
    if len(held) < 2:
        return ""
    one = held[0]
    unit = "masked token" if one.definition == "masked" else "token"
    split = f", {text.phrase(one.split)}" if one.split and one.split != one.dataset_name else ""
    name = text.dataset_link(one.dataset_id) if one.dataset_id else text.phrase(one.dataset_name)
    mask = ""
    if one.definition == "masked" and one.mask_probability is not None:
        mask = f", mask probability {text.number(one.mask_probability)}, seed {one.mask_seed}"
    return (
        f"Perplexity of all was measured on the same {text.plural(one.tokens_scored, unit)} of {name}{split}"
        f" ({text.digest(one.dataset_sha256)}): context {text.count(one.context)}, stride"
        f" {text.count(one.stride)}, documents {one.documents_kept}{mask}, {text.phrase(one.dtype)}. The"
        " change is that against the base alone, in the weights that the adapter was measured on."
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
        return "The speeds were taken under different conditions and are not comparable." if found[1:] else ""
    noisy = any(rate.noisy for one in found for name in compare.RATES if (rate := getattr(one, name)))
    spread = " Some runs were noisy: their quartiles lie more than 10% of the median apart." if noisy else ""
    loads = [one.environment.load_average for one in found if one.environment]
    if busy := [load for load in loads if load is not None and load > 0.5]:
        spread += f" Other programs ran on the machine: load average up to {max(busy):.1f} at the start."
    return (
        f"Speeds are medians, adapter attached and not merged: {_conditions(found[0])}. One is bold only"
        f" where its quartiles lie above those of all others.{spread}"
    )


def _training_note(compared: Sequence[Side]) -> str:
    """What was the same in training, and what was not."""
    adapters = [side.numbers for side in compared]
    if not all(adapter.training_steps for adapter in adapters):
        return ""
    amount = ""
    if compare.same(adapters, lambda one: one.tokens_seen):
        amount = f", on {text.plural(adapters[0].tokens_seen or 0, 'token')}"
    said = f"Each was trained once{amount}, so how much the results vary between seeds is not known."
    if compare.same(adapters, lambda one: one.train_sha256):
        said = f"All were trained on the same text. {said}"
    elif all(adapter.train_sha256 for adapter in adapters):
        said = f"They were trained on different texts. {said}"
    if compare.same(adapters, lambda one: one.training_machine):
        said += f" Training ran on {text.phrase(adapters[0].training_machine or '')}."
    return said
