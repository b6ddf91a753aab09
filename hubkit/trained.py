"""The part of the record that tells how an adapter was trained, and the history of its losses."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from hubkit.measured_part import AdapterDigest, Environment, Part


class LogPoint(Part):
    """One line of the training history."""

    step: int
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None


class FoundHistory(Part):
    """What a trainer_state.json beside an adapter says of its training. hubkit did not measure it."""

    adapter_sha256: AdapterDigest
    source: str  # name of the file
    source_sha256: str  # of its bytes
    steps: int  # optimizer steps
    planned_steps: int | None = None
    epochs: float | None = None
    batch_size: int | None = None  # sequences per device and step
    final_train_loss: float | None = None
    final_eval_loss: float | None = None
    points: int = 0  # lines with a loss in the file; `history` can hold fewer
    history: list[LogPoint] = []


class Origin(Part):
    """Where an adapter that was not trained here was loaded from."""

    repo_id: str  # of the Hub
    commit: str


class Ranks(Part):
    """What pruning by whole ranks left of a LoRA."""

    trained: int  # ranks of all modules together
    kept: int  # of these, in the saved file
    modules: int
    modules_left_out: int = 0  # they kept none


class Training(Part):
    """How the adapter was trained."""

    settings_sha256: Annotated[
        str,
        Meta(
            description="Digest of the settings and text that shape training; equal: no need to train again."
        ),
    ]
    epochs: float
    steps: int
    batch_size: int  # sequences per device and step
    gradient_accumulation: int
    effective_batch_size: int
    block_size: int  # tokens per sequence
    tokens_seen: Annotated[int, Meta(description="Over all steps; the tokens of each epoch count anew.")]
    learning_rate: float
    scheduler: str
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    optimizer: str
    seed: int
    precision: str  # "float32", "bfloat16"
    seconds: float
    started: str  # date, UTC
    kernels: str | None = None  # how losses were found: "plain", "head at labelled positions, oneDNN"
    gradient_checkpointing: bool = False
    documents: str | None = None  # of packed blocks: "packed", or "apart": they did not see each other
    adapter_sha256: AdapterDigest | None = None  # as it was saved
    processes: int | None = None  # that shared each step, where there were several
    resumed: int = 0  # how many times it went on from a checkpoint
    peak_memory_bytes: int | None = None  # the highest of all parts of a training that was resumed
    memory_kind: str | None = None  # "peak resident memory of the process", "peak allocated on the device"
    final_train_loss: float | None = None  # mean over the last logging interval
    final_eval_loss: float | None = None
    labels: Annotated[
        list[str], Meta(description="Of a classifier: the classes, in the order of its head's rows.")
    ] = []
    class_weights: list[float] = []  # in the loss, one for each label; absent: all count the same
    truncated_documents: int | None = None  # documents cut to `block_size`, where they are not packed
    ranks: Ranks | None = None  # where whole ranks were dropped
    history: list[LogPoint] = []
    environment: Environment | None = None
