"""A base model's files as far as counting needs them: its config.json, and the headers of its weights.

From a directory, or from the Hub by ranges of bytes: of the weights only the headers are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from hubkit import base_model, bounded_json, tensor_file
from hubkit.errors import AdapterError, BaseModelError
from hubkit.files import opened
from hubkit.tensor_file import Tensor

if TYPE_CHECKING:
    from hubkit.hub import Hub

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
FIRST_BYTES = 65_536  # of a file of weights on the Hub: the headers of most small models fit
MOST_SHARDS = 1_000
_HINT = "give the directory, or the Hub id, of a model that transformers saved"


class Stored(msgspec.Struct, frozen=True):
    """A tensor of the base, and the file that holds it; None where the file is on the Hub."""

    tensor: Tensor
    file: Path | None = None


class BaseFiles(msgspec.Struct, frozen=True):
    """What was read. `tensors` is empty where there is a configuration alone."""

    name: str  # for messages
    config: dict[str, Any]
    tensors: dict[str, Stored] = {}

    def hold_the_same(self, one: str, other: str) -> bool | None:
        """Whether two tensors have the same bytes; None where the bytes are not at hand."""
        first, second = self.tensors[one], self.tensors[other]
        if (first.tensor.dtype, first.tensor.shape) != (second.tensor.dtype, second.tensor.shape):
            return False
        if first.file is None or second.file is None:
            return None
        chunks = zip(_chunks(first), _chunks(second), strict=True)
        return all(left == right for left, right in chunks)


def _chunks(stored: Stored) -> Iterator[bytes]:
    assert stored.file is not None
    with opened(stored.file) as file:
        file.seek(stored.tensor.start)
        left = stored.tensor.end - stored.tensor.start
        while left:
            chunk = file.read(min(left, tensor_file.CHUNK))
            if not chunk:
                raise BaseModelError(f"{stored.file} was cut off while it was read", "copy it again")
            left -= len(chunk)
            yield chunk


def config_only(path: Path) -> BaseFiles:
    """A config.json without weights. Raises BaseModelError."""
    return BaseFiles(str(path), base_model.read_config(path))


def local(directory: Path) -> BaseFiles:
    """The files of a model in a directory. Raises BaseModelError."""
    if not directory.is_dir():
        raise BaseModelError(f"there is no directory {directory} for the base model", _HINT)
    config = base_model.read_config(directory / CONFIG)
    names = _shards(base_model.read_json(directory / INDEX)) if (directory / INDEX).is_file() else [WEIGHTS]
    if names == [WEIGHTS] and not (directory / WEIGHTS).is_file():
        return BaseFiles(str(directory), config)
    found: dict[str, Stored] = {}
    for name in names:
        _add(found, _header(directory / name), directory / name)
    return BaseFiles(str(directory), config, found)


def on_hub(hub: Hub, repo_id: str, revision: str | None = None) -> BaseFiles:
    """The same of a model repo on the Hub; reads headers by ranges. Raises BaseModelError and HubError."""
    repo = hub.repo(repo_id, revision or "main")
    if repo is None or repo.head is None:
        raise BaseModelError(f"there is no model {repo_id} at {hub.endpoint} {hub.of_those_seen}", _HINT)
    files = hub.files(repo.id, repo.head)

    def plain(name: str) -> dict[str, Any]:
        if name not in files or files[name].size > base_model.LARGEST:
            raise BaseModelError(f"{repo_id} has no {name} that could be read", _HINT)
        return _json(PurePosixPath(repo_id, name), hub.read(repo_id, name, str(repo.head)))

    config = plain(CONFIG)
    names = _shards(plain(INDEX)) if INDEX in files else [WEIGHTS] if WEIGHTS in files else []
    found: dict[str, Stored] = {}
    for name in names:
        if name not in files:
            raise BaseModelError(f"{repo_id} lacks {name}, which its index names", _HINT)
        _add(found, _header_by_range(hub, repo_id, name, repo.head, files[name].size), None)
    return BaseFiles(repo_id, config, found)


def _json(path: PurePath, raw: bytes) -> dict[str, Any]:
    try:
        plain = bounded_json.loads(raw, base_model.LARGEST)
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{path} is not JSON: {error}", _HINT) from error
    if not isinstance(plain, dict):
        raise BaseModelError(f"{path} holds no mapping", _HINT)
    return plain


def _shards(index: dict[str, Any]) -> list[str]:
    """The files that an index names, each a plain name beside it. Raises BaseModelError."""
    named = index.get("weight_map")
    names = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
    plain = all(name.endswith(".safetensors") and name == PurePosixPath(name).name for name in names)
    if not names or not plain or len(names) > MOST_SHARDS:
        raise BaseModelError(f"{INDEX} of the base names no files of weights beside it", _HINT)
    return names


def _header(path: Path) -> tuple[Tensor, ...]:
    try:
        return tensor_file.read_header(path)
    except AdapterError as error:
        raise BaseModelError(error.message, error.hint) from error


def _header_by_range(hub: Hub, repo_id: str, name: str, commit: str, size: int) -> tuple[Tensor, ...]:
    """The header of a file of weights on the Hub, in one request or two."""
    where = PurePosixPath(repo_id, name)
    head = hub.read_range(repo_id, name, commit, 0, min(size, FIRST_BYTES))
    length = struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
    if not 2 <= length <= min(size - 8, tensor_file.MAX_HEADER_BYTES):
        raise BaseModelError(f"{where} is not a whole safetensors file: its header does not fit", _HINT)
    if len(head) < 8 + length:
        head += hub.read_range(repo_id, name, commit, len(head), 8 + length)
    try:
        return tensor_file.parsed(where, head[8 : 8 + length], size)
    except AdapterError as error:
        raise BaseModelError(error.message, error.hint) from error


def _add(found: dict[str, Stored], tensors: tuple[Tensor, ...], file: Path | None) -> None:
    for tensor in tensors:
        if tensor.name in found:
            raise BaseModelError(f"the base's files hold {tensor.name[:80]} twice", _HINT)
        found[tensor.name] = Stored(tensor, file)
