"""A repo of the Hub, fetched as far as an audit needs it: card, configurations, record, header of weights.

Weights are not downloaded: their header comes by a request for a range of bytes, their digest and size from
the Hub's list of files. In the directory stands a file of the right size that holds the header and nothing
more, so that what reads headers reads this one.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hubkit import base_model, hub_rules, record
from hubkit.adapter import CONFIG_NAME, WEIGHTS_NAME
from hubkit.audit.document import check_size
from hubkit.card.facts import QUANTIZATION_NAME, TOKENIZER_CONFIG, TOKENIZER_FILES
from hubkit.errors import BaseModelError, HubError, HubkitError, RepoMissing
from hubkit.hub import Hub, RemoteFile
from hubkit.tensor_file import MAX_HEADER_BYTES

CARD_NAME = "README.md"
READ_WHOLE = (CARD_NAME, CONFIG_NAME, record.RECORD_NAME, QUANTIZATION_NAME, TOKENIZER_CONFIG)
NAMES_ENOUGH = {name for names in TOKENIZER_FILES for name in names}
LARGEST = 5_000_000  # of a file that is read whole
FIRST_BYTES = 65_536  # of the weights: most headers fit


@dataclass(frozen=True)
class Fetched:
    """The part of a repo that was fetched."""

    repo_id: str
    directory: Path
    files: dict[str, int]
    weights_sha256: str | None
    base_config: Path | None = None


@contextlib.contextmanager
def fetched(repo_id: str, hub: Hub) -> Iterator[Fetched]:
    """Fetch what an audit needs of a repo, into a directory that goes at the end. Raises HubError."""
    repo = hub.repo(repo_id)
    if repo is None or repo.head is None:
        raise RepoMissing(
            f"there is no model {repo_id} at {hub.endpoint} {hub.of_those_seen}", "check the id"
        )
    present = hub.files(repo.id, repo.head)
    if CARD_NAME not in present:
        raise HubkitError(f"{repo.id} has no {CARD_NAME}", "write one: hubkit card --adapter DIR")
    check_size(f"{repo.id}/{CARD_NAME}", present[CARD_NAME].size)
    with tempfile.TemporaryDirectory(prefix="hubkit-audit-") as name:
        directory = Path(name) / "adapter"
        directory.mkdir()
        for path, file in present.items():
            if path in READ_WHOLE and file.size <= LARGEST:
                (directory / path).write_bytes(hub.read(repo.id, path, repo.head))
            elif path in NAMES_ENOUGH:
                (directory / path).touch()
        weights = present.get(WEIGHTS_NAME)
        if weights is not None and (weights.sha256 or weights.size <= hub_rules.REGULAR_FILE_MAX):
            _header(directory / WEIGHTS_NAME, weights, hub, repo.id, repo.head)
        yield Fetched(
            repo.id,
            directory,
            {path: file.size for path, file in present.items()},
            weights.sha256 if weights else None,
            _base(directory, Path(name), hub),
        )


def _header(path: Path, file: RemoteFile, hub: Hub, repo_id: str, commit: str) -> None:
    """A file of the weights' size that holds their header alone."""
    head = hub.read_range(repo_id, WEIGHTS_NAME, commit, 0, min(file.size, FIRST_BYTES))
    length = struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
    wanted = min(8 + length, file.size)
    if len(head) < wanted <= MAX_HEADER_BYTES:
        head += hub.read_range(repo_id, WEIGHTS_NAME, commit, len(head), wanted)
    with path.open("wb") as weights:
        weights.write(head[:wanted])
        weights.truncate(file.size)


def _base(directory: Path, beside: Path, hub: Hub) -> Path | None:
    """The base's config.json, where the adapter names a base that the Hub shows."""
    try:
        named = base_model.read_json(directory / CONFIG_NAME).get("base_model_name_or_path")
        base_id = base_model.hub_id(named if isinstance(named, str) else None)
        if base_id is None:
            return None
        path = beside / "config.json"
        path.write_bytes(hub.read_range(base_id, "config.json", "main", 0, LARGEST))
        base_model.read_config(path)
    except (BaseModelError, HubError):
        return None  # the audit says that it could not check this
    return path
