"""Files that the author publishes beside what hubkit knows: named by patterns, and never what must stay here.

A checkpoint, an optimizer's state or a pickle is left out whatever the patterns say: the first two are of no
use to a reader, and loading a pickle can run any code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from hubkit import hub_rules
from hubkit.errors import AdapterError

# Of a file, or of a directory above it; in lower case.
_NEVER: dict[str, str] = {
    ".*": "it is hidden",
    "checkpoint-*": "it is a checkpoint of a training",
    "wandb": "it is the log of a training",
    "runs": "it is the log of a training",
    "events.out.tfevents.*": "it is the log of a training",
    "trainer_state.json": "it is the state of a training",
    "training_args*": "it is the state of a training",
    "rng_state*": "it is the state of a training",
    "optimizer*": "it is the state of a training",
    "scheduler*": "it is the state of a training",
    "*.env": "it holds what is set for programs, secrets too",
    "__pycache__": "Python makes it anew",
    **dict.fromkeys(
        ("*.pt", "*.pth", "*.pkl", "*.pickle", "*.bin", "*.ckpt", "*.joblib", "*.dill"),
        "it is a pickle, and loading a pickle can run any code",
    ),
}
TOLD = 3  # files that stay here although a pattern names them
MOST = hub_rules.FILES_PER_REPO_RECOMMENDED_MAX
_PICKLE = _NEVER["*.pkl"]
_ZIP_OF_PICKLE = b"data.pkl"  # in the first entry of what torch.save writes


@dataclass(frozen=True, slots=True)
class Named:
    """What patterns name: the files to publish, and those that stay here all the same, with the reason."""

    files: tuple[str, ...] = ()
    never: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of those that stay."""
        if not self.never:
            return ()
        told = [f"{name} ({why})" for name, why in sorted(self.never.items())]
        more = f" and {len(told) - TOLD} more" if len(told) > TOLD else ""
        return (f"named by --include, and never published: {', '.join(told[:TOLD])}{more}",)


def find(directory: Path, patterns: Sequence[str], known: set[str]) -> Named:
    """The files below the directory that the patterns name, by their paths; `known` ones belong anyway.

    `*` stands for slashes too, and a pattern that ends with one for all below it, as for `hf upload`. Raises
    AdapterError for a pattern that names nothing to publish.
    """
    if not patterns:
        return Named()
    present = _files(directory)
    chosen: set[str] = set()
    never: dict[str, str] = {}
    for pattern in patterns:
        wanted = [
            name for name in present if fnmatchcase(name, pattern + "*" if pattern.endswith("/") else pattern)
        ]
        stays = {name: why for name in wanted if name not in known and (why := why_never(directory, name))}
        fit = [name for name in wanted if name not in stays]
        if not fit:
            raise AdapterError(*_nothing(directory, pattern, wanted))
        chosen.update(fit)
        never.update(stays)
    return Named(tuple(sorted(chosen)), never)


def why_never(directory: Path, name: str) -> str | None:
    """Why a file is not published, whatever the patterns say."""
    for part in name.lower().split("/"):
        for pattern, why in _NEVER.items():
            if fnmatchcase(part, pattern):
                return why
    return _PICKLE if _is_pickle(directory / name) else None


def _nothing(directory: Path, pattern: str, wanted: list[str]) -> tuple[str, str]:
    if not wanted and (directory / pattern).is_dir():
        folder = pattern.rstrip("/")
        return (
            f"--include {pattern} is a directory, and names no file",
            f"--include '{folder}/*' takes all in it",
        )
    if not wanted:
        return (
            f"--include {pattern} names no file in {directory}",
            "patterns are of paths below it, such as data/*.json",
        )
    why = why_never(directory, wanted[0])
    return f"{directory / wanted[0]} is never published: {why}", f"leave out --include {pattern}"


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as a pickle does, or as an archive that torch.save wrote."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            begin = file.read(256)
    except OSError:
        return False  # whoever reads it for the push says so
    protocol = len(begin) > 2 and begin[0] == 0x80 and 2 <= begin[1] <= 5 and begin[2:3] in b"\x95}](cXq\x8a"
    return protocol or (begin.startswith(b"PK\3\4") and _ZIP_OF_PICKLE in begin)


def _files(directory: Path) -> list[str]:
    """The paths of all files below the directory, and of the links to directories, which are not followed."""
    found: list[str] = []
    for place, folders, names in os.walk(directory):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        folders[:] = sorted(name for name in folders if name not in links and not name.startswith("."))
        at = os.path.relpath(place, directory).replace(os.sep, "/")
        found += [name if at == "." else f"{at}/{name}" for name in sorted([*names, *links])]
        if len(found) > MOST:
            raise AdapterError(
                f"{directory} holds more than {MOST:,} files, too many to look through",
                "give a directory of the adapter alone",
            )
    return found
