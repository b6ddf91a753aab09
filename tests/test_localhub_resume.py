"""Xet in the local Hub: what somebody sent already is offered to the next upload, and not sent again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ALICE, BOB
from huggingface_hub import CommitOperationAdd, HfApi
from soaking import MB, xet_bytes, xet_files

from hubkit import localhub
from hubkit.localhub import RunningHub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    tokens = {ALICE: localhub.Token("alice"), BOB: localhub.Token("bob")}
    with localhub.start(tmp_path / "hub", tokens=tokens) as running:
        yield running


def send(hub: RunningHub, repo: str, path: Path, *, commit: bool = False) -> None:
    """Send a file, as far as a push that is stopped right before its commit, or with the commit."""
    api = HfApi(hub.endpoint, {"alice": ALICE, "bob": BOB}[repo.partition("/")[0]])
    api.create_repo(repo)
    files = [CommitOperationAdd("a.safetensors", path)]
    api.preupload_lfs_files(repo, files, free_memory=False)
    if commit:
        api.create_commit(repo, files, commit_message="a")


def test_what_was_sent_is_not_sent_again(tmp_path: Path, hub: RunningHub) -> None:
    """Neither after a stop before the commit, nor to another repo, nor a part of a file that grew."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(os.urandom(2 * MB))
    send(hub, "alice/stopped", path)
    first = xet_bytes(tmp_path / "hub")
    assert first >= 2 * MB
    send(hub, "alice/again", path, commit=True)
    assert xet_bytes(tmp_path / "hub") == first
    served = HfApi(hub.endpoint, ALICE).hf_hub_download("alice/again", path.name, local_dir=tmp_path / "down")
    assert Path(served).read_bytes() == path.read_bytes()

    path.write_bytes(path.read_bytes() + os.urandom(MB))
    send(hub, "alice/grown", path, commit=True)
    assert MB * 0.9 < xet_bytes(tmp_path / "hub") - first < MB * 1.3
    shutil.rmtree(tmp_path / "down")
    served = HfApi(hub.endpoint, ALICE).hf_hub_download("alice/grown", path.name, local_dir=tmp_path / "down")
    assert Path(served).read_bytes() == path.read_bytes()
    assert len(xet_files(tmp_path / "hub")) == 2


def test_what_another_user_sent_is_not_offered(tmp_path: Path, hub: RunningHub) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(os.urandom(MB))
    send(hub, "alice/a", path)
    first = xet_bytes(tmp_path / "hub")
    send(hub, "bob/a", path)
    assert xet_bytes(tmp_path / "hub") == 2 * first
