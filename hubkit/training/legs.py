"""What lies in a checkpoint last: the parts of a training so far, and the digests of the checkpoint's files.

A part (a leg) ends with a stop. A checkpoint is whole when this file lies in it, and sound when every file
that it names is what was written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkit import files

NAME = "hubkit_legs.json"


@dataclass(frozen=True)
class Legs:
    """The parts of a training that were run so far."""

    started: str  # date, UTC
    seconds: float = 0.0
    resumed: int = 0
    peak_memory_bytes: int | None = None  # the highest of them
    memory_kind: str | None = None
    threads: int | None = None  # of torch, in the last of them
    torch: str | None = None  # its version, in the last of them
    pending_loss: list[float] = field(default_factory=list)  # of each process, summed since the last log
    logged_at: int = 0  # the step of the last log
    found: dict[str, Any] = field(default_factory=dict)  # what the first leg chose and the next ones keep
    sha256: dict[str, str] = field(default_factory=dict)  # of the checkpoint's other files, by name


def read(checkpoint: Path | None) -> Legs:
    """What was run until a checkpoint; a first leg that begins now without one.

    Fields that another version of hubkit wrote are left out. Raises OSError and ValueError.
    """
    if checkpoint is None:
        return Legs(datetime.now(UTC).date().isoformat())
    told = json.loads((checkpoint / NAME).read_bytes())
    known = {one.name for one in fields(Legs)}
    return Legs(**{name: value for name, value in told.items() if name in known})


def write(checkpoint: Path, legs: Legs) -> None:
    """Say that a checkpoint is whole, and what its files are. Raises HubkitError and OSError."""
    told = asdict(legs) | {"sha256": {path.name: digest(path) for path in _others(checkpoint)}}
    files.write_atomically(checkpoint / NAME, json.dumps(told, indent=1).encode())


def damage(checkpoint: Path) -> str | None:
    """The first file of a checkpoint that is not what was written, in words; None where all are."""
    try:
        told = read(checkpoint).sha256
    except (OSError, ValueError, TypeError):
        return f"{NAME} cannot be read"
    for name, expected in told.items():
        path = checkpoint / name
        try:
            if digest(path) != expected:
                return f"{name} is not what was written"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror or error}"
    return None


def digest(path: Path) -> str:
    """The SHA-256 of a file as it is now, in hex: every byte is read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _others(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.iterdir() if path.is_file() and path.name != NAME)
