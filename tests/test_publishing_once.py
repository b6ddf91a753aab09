"""Weights are hashed once for a push, by whoever does it: hubkit, the audit, or the Hub's client."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_adapter
import pytest
from conftest import ALICE
from huggingface_hub import lfs
from huggingface_hub.utils import sha
from test_publishing_merge import edit_here, publish

from hubkit import adapter
from hubkit.hub import Hub

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=<...>. to upload raw bytes:DeprecationWarning")
ROWS = 20_000  # of 32 bytes: larger than all other files together


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes hashed by SHA-256 outside of the server, whose threads were there before or are AnyIO's."""
    servers = set(threading.enumerate()) - {threading.current_thread()}
    counts: list[int] = []
    sha256, file_digest = hashlib.sha256, hashlib.file_digest

    class Counting:
        def __init__(self, content: bytes = b"", **options: Any) -> None:
            self._real = sha256(**options)
            self.update(content)

        def update(self, content: bytes) -> None:
            thread = threading.current_thread()
            if thread not in servers and "AnyIO" not in thread.name:
                counts.append(len(content))
            self._real.update(content)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    def counted(file: Any, digest: Any, **options: Any) -> Any:
        return file_digest(file, Counting if digest == "sha256" else digest, **options)

    monkeypatch.setattr(hashlib, "sha256", Counting)
    monkeypatch.setattr(hashlib, "file_digest", counted)
    for module in (sha, lfs):
        monkeypatch.setattr(module, "sha256", Counting)
    return counts


def test_weights_are_hashed_once(tmp_path: Path, alice_hub: RunningHub, hashed: list[int]) -> None:
    directory = fake_adapter.write(tmp_path / "a")
    weights = directory / adapter.WEIGHTS_NAME
    weights.write_bytes(fake_adapter.weights(seed=11, rows=ROWS))
    fake_adapter.measure(directory, adapter.read(directory).sha256())
    weights.write_bytes(weights.read_bytes())  # another time of writing: nobody knows these bytes
    size = weights.stat().st_size
    hub = Hub(alice_hub.endpoint, ALICE)
    hashed.clear()
    publish(hub, directory, "alice/once")
    assert size <= sum(hashed) < 2 * size
    hashed.clear()
    edit_here(directory, "# A small", "# A large")
    done, _ = publish(hub, directory, "alice/once")
    assert sum(hashed) < size  # nor again, as long as nobody writes to them
    assert done.new_bytes < size
