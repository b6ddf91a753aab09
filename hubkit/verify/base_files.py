"""Where the files of a base model lie on this machine: a directory that was named, else the Hub's cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubkit import base_model, files
from hubkit.errors import BaseModelError, HubUnreachable
from hubkit.hub_rules import COMMIT_OID_PATTERN, DEFAULT_BRANCH
from hubkit.record import BaseModel

CONFIG = "config.json"
_TEXT = (".json", ".txt", ".model", ".jinja", ".vocab", ".bpe")
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "tokenizer_config.json",
)


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """The files that loading a base needs, and what they are."""

    directory: Path
    commit: str  # that they are served as
    revision: str | None = None  # the commit of the Hub's repo, where they came from there
    weights_sha256: str | None = None  # of a directory that was named


def of_directory(directory: Path, known: BaseModel) -> BaseFiles:
    """The files of a directory that somebody says holds the base. Raises BaseModelError."""
    if not (directory / CONFIG).is_file():
        raise BaseModelError(
            f"{directory} holds no {CONFIG} of a base model", "--base-path DIR names its files"
        )
    sha256 = files.sha256_of(base_model.weight_files(directory))
    if known.weights_sha256 and known.weights_sha256 != sha256:
        raise BaseModelError(
            f"{directory} holds other weights than those of {known.id} that the adapter belongs to",
            "--base-path DIR names the ones it was trained or measured on",
        )
    named = known.revision and COMMIT_OID_PATTERN.fullmatch(known.revision)
    commit = known.revision if named and known.revision else hashlib.sha1(sha256.encode()).hexdigest()
    return BaseFiles(directory.resolve(), commit, weights_sha256=sha256)


def of_hub(base_id: str, revision: str | None, trusted: bool, say: Callable[[str], None]) -> BaseFiles:
    """The files in huggingface_hub's cache, fetched from the user's Hub where they are not there.

    Code of the repo is fetched only where it is `trusted`. Raises BaseModelError, HubError.
    """
    from hubkit.hub import Hub

    cached = _cached(base_id, revision)
    if cached and _is_whole(cached.directory):
        return cached
    hub = Hub()
    try:
        repo = hub.repo(base_id, revision or DEFAULT_BRANCH)
        if repo is None or repo.head is None:
            what = f"at {revision}" if repo else hub.of_those_seen
            raise BaseModelError(f"the Hub has no {base_id} {what}", "--base-path DIR names its files here")
        names = needed(list(hub.files(base_id, repo.head)), trusted)
        if CONFIG not in names:
            raise BaseModelError(f"{base_id} has no {CONFIG}", "--base-path DIR names its files here")
        say(f"fetching {base_id}, to run the card's code")
        places = {name: hub.download(base_id, name, repo.head) for name in names}
    except HubUnreachable as error:
        if cached is None:
            hint = "--base-path DIR names the base's files on this machine; or check the network"
            raise HubUnreachable(error.message, hint) from error
        return cached  # perhaps not all of it, and then the code says what it misses
    return BaseFiles(places[CONFIG].parent, repo.head, revision=repo.head)


def _cached(base_id: str, revision: str | None) -> BaseFiles | None:
    """What the cache holds of a revision."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(base_id, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return BaseFiles(found, found.name, revision=found.name)


def _is_whole(directory: Path) -> bool:
    """Whether a snapshot in the cache has all that loading needs."""
    weights = base_model.weight_files(directory) or sorted(directory.glob("pytorch_model*.bin"))
    has_tokenizer = any((directory / name).is_file() for name in _TOKENIZERS)
    return (
        (directory / CONFIG).is_file()
        and has_tokenizer
        and bool(weights)
        and all(p.is_file() for p in weights)
    )


def needed(names: Sequence[str], trusted: bool) -> list[str]:
    """The files of a base's repo that its loading needs: one form of the weights, no other framework's."""
    top = [name for name in names if "/" not in name]
    weights = [name for name in top if name.startswith("model") and name.endswith(".safetensors")]
    if not weights:
        weights = [name for name in top if name.startswith("pytorch_model") and name.endswith(".bin")]
    indexes = {".bin.index.json", ".safetensors.index.json"}
    kind = ".bin" if weights and weights[0].endswith(".bin") else ".safetensors"
    texts = [
        name
        for name in top
        if name.endswith(_TEXT)
        and not any(name.endswith(index) for index in indexes - {f"{kind}.index.json"})
    ]
    code = [name for name in names if name.endswith(".py")] if trusted else []
    return sorted({*weights, *texts, *code})
