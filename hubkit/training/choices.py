"""What a training found out for itself when it began, kept beside its checkpoints.

A training that goes on goes on with it: another machine, or other programs in its memory, would lead to other
kernels and batches, and these to other losses.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from hubkit import files

NAME = "choices.json"


class Choices(msgspec.Struct, frozen=True, omit_defaults=True):
    """How losses are found, and how a step is cut so that it fits memory."""

    kernels: str  # key of the way that losses are found
    batch_size: int
    gradient_accumulation: int
    gradient_checkpointing: bool


def read(folder: Path) -> Choices | None:
    """Those of a training in this folder; None where there are none that can be read."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Choices)
    except (OSError, msgspec.DecodeError):
        return None


def write(folder: Path, choices: Choices) -> None:
    """Keep them in the folder of checkpoints."""
    files.write_atomically(folder / NAME, msgspec.json.encode(choices))
