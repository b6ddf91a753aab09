"""What was pushed, loaded from the Hub as a reader would: into an empty cache, and looked at.

The bytes of every file are held against the digests that were planned, and the weights' header, the
configuration and the record are read. Where PEFT is installed, it reads the configuration, and every tensor
of the weights is loaded.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hubkit import adapter, record
from hubkit.card import text
from hubkit.errors import AdapterError, CheckFailed, HubkitError
from hubkit.hub import Hub
from hubkit.hub_upload import bars
from hubkit.publishing.contents import local_file


def verify(hub: Hub, repo_id: str, commit: str, digests: Mapping[str, str]) -> str:
    """Load the files of a commit and check them; what was done, for a person.

    `digests` are the SHA-256 of each file by path. Raises CheckFailed for what is not as it was planned.
    """
    with tempfile.TemporaryDirectory(prefix="hubkit-verify-") as place:
        cache, directory = Path(place) / "cache", Path(place) / "adapter"
        for path in digests:
            _fetch(hub, repo_id, commit, path, directory, cache)
        there = [local_file(path, directory / path) for path in digests]
        wrong = [file.path for file in there if file.sha256 != digests[file.path]]
        if wrong:
            raise CheckFailed(f"the Hub hands out something else than was sent: {', '.join(wrong)}")
        size = sum(file.size for file in there)
        loaded = f"{text.plural(len(there), 'file')} ({size:,} bytes) came from the Hub as they were sent"
        try:
            return "; ".join([loaded, *_read(directory)])
        except HubkitError as error:
            raise CheckFailed(f"what the Hub hands out cannot be used: {error.message}") from error


def _fetch(hub: Hub, repo_id: str, commit: str, path: str, directory: Path, cache: Path) -> None:
    with hub.calling(repo_id), bars(hub.progress):
        hub.api.hf_hub_download(repo_id, path, revision=commit, local_dir=directory, cache_dir=cache)


def _read(directory: Path) -> list[str]:
    """Read what readers read; what was read."""
    tensors = adapter.read(directory).tensors
    record.read(directory)
    steps = [f"weights' header ({text.plural(len(tensors), 'tensor')}), configuration and record read"]
    if _has_peft():
        _load(directory)
        steps.append("PEFT read the configuration, and every tensor was loaded")
    return steps


def _has_peft() -> bool:
    return all(importlib.util.find_spec(name) for name in ("peft", "torch", "safetensors"))


def _load(directory: Path) -> None:
    """Read the configuration with PEFT and load the tensors. Raises AdapterError."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # kernels it can do without
    from peft import PeftConfig
    from safetensors import SafetensorError, safe_open

    try:
        PeftConfig.from_pretrained(str(directory))
    except (ValueError, TypeError, KeyError) as error:
        raise AdapterError(f"PEFT does not read {adapter.CONFIG_NAME}: {error}") from error
    try:
        with safe_open(str(directory / adapter.WEIGHTS_NAME), framework="pt") as weights:
            for name in list(weights.keys()):
                weights.get_tensor(name)
    except SafetensorError as error:
        raise AdapterError(f"safetensors does not load {adapter.WEIGHTS_NAME}: {error}") from error
