"""What all numbers of the record share: what they were taken on, and where."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part of the record; unknown keys of a newer hubkit are ignored when it is read."""


AdapterDigest = Annotated[
    str,
    Meta(
        description="The adapter that this was taken on: SHA-256 of the weights file's SHA-256 and of the"
        " configuration as canonical JSON without keys that change no number. It is the digest of no file."
    ),
]
TextDigest = Annotated[
    str,
    Meta(description="SHA-256 over the documents used, in order, each as one line of JSON; of no file."),
]


class Selection(Part):
    """Which documents were taken to measure on, where not all were that there are."""

    of: Annotated[int | None, Meta(description="Documents there are; absent where nobody counted them.")] = (
        None
    )
    seed: Annotated[
        int | None,
        Meta(description="They were drawn under it, with the same share of each label; absent: the first."),
    ] = None


class Environment(Part):
    """The machine and the libraries that a number came from."""

    python: str
    platform: str  # "Linux x86_64"
    libraries: dict[str, str]  # distribution name -> version, to the digit
    cpu: str | None = None
    cpu_count: int | None = None
    threads: int | None = None  # torch threads used
    memory_bytes: int | None = None
    device: str | None = None  # "cpu", "cuda"
    accelerator: str | None = None  # name of the GPU
    load_average: float | None = None  # one-minute load when the work began
