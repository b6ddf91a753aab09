"""The adapters that a card or `hubkit compare` sets side by side: read from directories, kept in a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hubkit import compare, compared_rows, grouping
from hubkit.card import facts as card_facts
from hubkit.card import tables, text
from hubkit.card.facts import Facts
from hubkit.card.usage import LOCAL_NAMESPACE
from hubkit.compare import Measure
from hubkit.errors import CardError
from hubkit.record import Compared, Comparison, Record

GENERIC = "adapter"  # what hubkit calls each adapter's directory, in one that is named for it


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
    keys: list[grouping.Key | None] = field(default_factory=list)  # equal: only the seed of training differs
    seeds: list[int | None] = field(default_factory=list)

    def grouped(self) -> list[grouping.Group]:
        """The adapters by all but their seed; empty where no two differ in it alone."""
        rows = [
            compared_rows.plain(one, label) for one, label in zip(self.adapters, self.labels, strict=True)
        ]
        return grouping.groups(rows, self.keys, self.seeds)


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
        found.keys.append(grouping.key(facts.record))
        found.seeds.append(grouping.seed(facts.record))
        if facts.stale:
            found.left_out[str(directory)] = list(facts.stale)
    return found


def numbers(facts: Facts) -> Compared:
    """The numbers of one adapter that a comparison shows, each with its conditions."""
    run, dataset, measures = facts.record.training, facts.record.dataset, facts.record.measures
    ranks = tables.ranks(facts.adapter)
    perplexity = measures.perplexity and msgspec.structs.replace(
        measures.perplexity, environment=None, nll_sum=None, base_nll_sum=None
    )
    classification = measures.classification and msgspec.structs.replace(
        measures.classification, environment=None, confusion=[]
    )
    return Compared(
        name=facts.repo_id or _directory_name(facts.adapter.directory),
        adapter_sha256=facts.sha256,
        adapter_weights_bytes=facts.weights_bytes,
        method=facts.kind.title,
        repo_id=facts.repo_id,
        base_id=facts.base_id,
        base_weights=tables.quantization(facts),
        rank=ranks[0] if len(ranks) == 1 else None,
        ranks=[ranks[0], ranks[-1]] if len(ranks) > 1 else [],
        trainable=facts.parameters.trainable,
        total=facts.parameters.total,
        sparsity=facts.parameters.sparsity,
        perplexity=perplexity,
        classification=classification,
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
    """The record with the numbers of the adapters in these directories, and what was read there.

    `own` is the digest of the record's own adapter, which is passed over where it is among them.
    Raises CardError where nothing is left.
    """
    found = read(directories)
    others = [adapter for adapter in found.adapters if adapter.adapter_sha256 != own]
    if not others:
        raise CardError("there is no other adapter to compare this one with", "give one to --compare")
    return msgspec.structs.replace(known, comparison=Comparison(adapters=others)), found


def check(facts: Facts) -> None:
    """Raises CardError where the measures of these adapters cannot be compared."""
    compared = sides(facts)
    why = reasons(compared)
    if why and by(compared) is None:
        called = compare.called([side.numbers for side in compared])
        raise CardError(
            f"these {called} cannot be compared: {'. '.join(why)}",
            "measure the adapters alike: hubkit measure --adapter DIR",
        )


def sides(facts: Facts) -> list[Side]:
    """This adapter and those that its record compares it with; none where there is no other."""
    comparison = facts.record.comparison
    if comparison is None or not comparison.adapters:
        return []
    others = [
        Side(shown(other, other.name), other)
        for other in comparison.adapters
        if other.adapter_sha256 != facts.sha256  # it became this one
    ]
    if not others:
        return []
    return [Side("**this adapter**", numbers(facts), is_own=True), *others]


def sides_of(found: Read) -> list[Side]:
    """The adapters that were read, each by its name or directory."""
    return [
        Side(shown(adapter, label), adapter)
        for adapter, label in zip(found.adapters, found.labels, strict=True)
    ]


def shown(adapter: Compared, label: str) -> str:
    """An adapter's name in Markdown: a link where it is on the Hub."""
    on_hub = adapter.repo_id and not adapter.repo_id.startswith(LOCAL_NAMESPACE)
    return text.model_link(str(adapter.repo_id)) if on_hub else text.code(adapter.repo_id or label)


def reasons(compared: Sequence[Side]) -> list[str]:
    """Why the perplexities cannot be compared, as the card says it; none where they can."""
    names = ["this adapter" if side.is_own else side.numbers.name for side in compared]
    return compare.reasons([side.numbers for side in compared], names)


def by(compared: Sequence[Side]) -> Measure | None:
    """By what they can be compared."""
    return compare.by([side.numbers for side in compared])
