"""The part of the record that holds other adapters' numbers, for a comparison that can be shown anywhere."""

from __future__ import annotations

from hubkit.measured import Classification, Perplexity
from hubkit.measured_part import AdapterDigest, Part, TextDigest
from hubkit.measured_speed import Throughput


class Compared(Part):
    """An adapter as a comparison shows it: what its own record and files said."""

    name: str  # its repo's id, else its directory's name
    adapter_sha256: AdapterDigest
    adapter_weights_bytes: int
    method: str  # as a card names it
    repo_id: str | None = None
    base_id: str | None = None  # Hub id
    base_weights: str | None = None  # how they were held, where they are quantized
    rank: int | None = None
    ranks: list[int] = []  # lowest and highest, where modules have several
    trainable: int | None = None
    total: int | None = None  # base and adapter
    sparsity: float | None = None
    perplexity: Perplexity | None = None
    classification: Classification | None = None
    throughput: Throughput | None = None
    train_sha256: TextDigest | None = None
    training_steps: int | None = None
    tokens_seen: int | None = None
    training_seconds: float | None = None
    training_memory_bytes: int | None = None
    training_memory_kind: str | None = None
    training_machine: str | None = None


class Comparison(Part):
    """The adapters that this one is compared with."""

    adapters: list[Compared] = []
