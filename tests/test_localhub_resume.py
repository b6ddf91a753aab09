"""Xet in the local Hub: what somebody sent already is not sent again, as a whole or in part.

An upload is given the chunks that its user sent before; and who asks by the LFS batch for a file that came
whole is told that it is there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ALICE, BOB
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.lfs import post_lfs_batch_info
from soaking import MB, lfs_objects, xet_bytes, xet_files

from hubkit import localhub
from hubkit.hub import Hub, LocalFile
from hubkit.hub_client import Patience
from hubkit.hub_commit import Commit, make_commit
from hubkit.localhub import Fault, RunningHub, Switchboard
from hubkit.localhub import xet as xet_room

TOKENS = {"alice": ALICE, "bob": BOB}


@pytest.fixture
def board() -> Switchboard:
    return Switchboard()


@pytest.fixture
def hub(tmp_path: Path, board: Switchboard) -> Iterator[RunningHub]:
    tokens = {ALICE: localhub.Token("alice"), BOB: localhub.Token("bob")}
    with localhub.start(tmp_path / "hub", tokens=tokens, switchboard=board) as running:
        yield running


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    path.write_bytes(os.urandom(MB // 5))
    return path


def send(hub: RunningHub, repo: str, path: Path, *, commit: bool = False) -> None:
    """Send a file, as far as a push that is stopped right before its commit, or with the commit."""
    api = HfApi(hub.endpoint, TOKENS[repo.partition("/")[0]])
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


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_there(hub: RunningHub, repo: str, path: Path) -> bool:
    """Whether the LFS batch says that the file need not be sent."""
    operation = CommitOperationAdd("a", path)
    headers = {"Authorization": f"Bearer {TOKENS[repo.partition('/')[0]]}"}
    found, errors, _ = post_lfs_batch_info(
        [operation.upload_info], None, "model", repo, endpoint=hub.endpoint, headers=headers
    )
    assert not errors
    return "actions" not in found[0]


def test_a_file_that_came_whole_is_there_for_its_user(tmp_path: Path, hub: RunningHub, weights: Path) -> None:
    HfApi(hub.endpoint, BOB).create_repo("bob/other")
    HfApi(hub.endpoint, ALICE).create_repo("alice/new")
    assert not is_there(hub, "alice/new", weights)
    send(hub, "alice/a", weights)
    assert not is_there(hub, "bob/other", weights)
    assert lfs_objects(tmp_path / "hub") == set()
    assert is_there(hub, "alice/a", weights)
    assert lfs_objects(tmp_path / "hub") == {digest(weights)}
    assert is_there(hub, "alice/new", weights)
    assert not is_there(hub, "bob/other", weights)
    shutil.rmtree(tmp_path / "hub" / "xet")
    assert is_there(hub, "alice/a", weights)


def damage(place: Path, what: str) -> None:
    """Make a directory of Xet what it may be in the middle of an upload, or worse."""
    for chunk in place.glob("*/xet/xorbs/xorbs/default.*"):
        chunk.chmod(0o600)
        if what == "no chunks":
            chunk.unlink()
        elif what == "half of the chunks":
            os.truncate(chunk, chunk.stat().st_size // 2)
        elif what == "empty chunks":
            os.truncate(chunk, 0)
        elif what == "other chunks":
            chunk.write_bytes(chunk.read_bytes()[:-5000] + bytes(5000))
    for shard in place.glob("*/xet/xorbs/shards/*.mdb"):
        shard.chmod(0o600)
        if what == "start of the shard":
            os.truncate(shard, 100)
    for index in place.glob("*/xet/xorbs/*.redb"):
        if what == "no index":
            index.unlink()


DAMAGES = (
    "no chunks",
    "half of the chunks",
    "empty chunks",
    "other chunks",
    "start of the shard",
    "no index",
)


def test_what_is_not_whole_comes_again(tmp_path: Path, hub: RunningHub, weights: Path) -> None:
    send(hub, "alice/a", weights)
    xet, kept = tmp_path / "hub" / "xet", tmp_path / "kept"
    shutil.copytree(xet, kept)
    for what in DAMAGES:
        shutil.rmtree(xet)
        shutil.copytree(kept, xet)
        damage(xet, what)
        assert not is_there(hub, "alice/a", weights), what
        assert lfs_objects(tmp_path / "hub") == set(), what
        assert list((tmp_path / "hub" / "tmp").iterdir()) == [], what
    shutil.rmtree(xet)
    shutil.copytree(kept, xet)
    assert is_there(hub, "alice/a", weights)


def test_an_index_that_is_being_written_is_left_alone(
    tmp_path: Path, hub: RunningHub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied with half a change it would keep hf_xet from joining anything in this process ever again."""
    send(hub, "alice/a", weights)
    monkeypatch.setattr(xet_room, "AT_REST", 0.0)
    monkeypatch.setattr(xet_room, "TRIES", 3)
    copy, writing = shutil.copy, [True]

    def written_to_meanwhile(index: Path, place: Path) -> None:
        copy(index, place)
        if writing[0]:
            os.utime(index, ns=(0, index.stat().st_mtime_ns + 1))

    monkeypatch.setattr("hubkit.localhub.xet.shutil.copy", written_to_meanwhile)
    assert not is_there(hub, "alice/a", weights)
    writing[0] = False
    assert is_there(hub, "alice/a", weights)


# --- hubkit's own push


def push(hub: Hub, repo: str, weights: Path) -> Commit:
    file = LocalFile(weights.name, weights, weights.stat().st_size, digest(weights))
    found = hub.repo(repo)
    assert found is not None
    assert found.head is not None
    return make_commit(hub, repo, [file], title="Add", parent=found.head)


@pytest.fixture
def alice(hub: RunningHub) -> Hub:
    patience = Patience(answer_seconds=5.0, attempts=2, sleep=lambda seconds: None)
    return Hub(hub.endpoint, ALICE, patience=patience)


def forget_what_was_noted(place: Path) -> None:
    """As if the client had been killed before it noted that its last upload had ended."""
    for note in (*place.glob("*/xet/shard-cache/*"), *place.glob("*/xet/shard-session/xorb_metadata/*")):
        note.unlink()


def test_a_push_does_not_send_what_the_hub_has_as_a_whole(
    tmp_path: Path, hub: RunningHub, board: Switchboard, alice: Hub, weights: Path
) -> None:
    send(hub, "alice/a", weights)
    forget_what_was_noted(tmp_path / "hub" / "xet")
    before = xet_bytes(tmp_path / "hub")
    board.clear()
    made = push(alice, "alice/a", weights)
    assert (made.storage, made.notes, alice.outcome.sent) == (None, (), 0)
    assert xet_bytes(tmp_path / "hub") == before
    assert sum(seen.received for seen in board.log) < 5000
    assert alice.files("alice/a", made.oid)[weights.name].sha256 == digest(weights)


@pytest.mark.parametrize("status", [404, 503])
def test_a_push_sends_all_where_the_hub_does_not_say(
    status: int, tmp_path: Path, board: Switchboard, alice: Hub, weights: Path
) -> None:
    alice.create_repo("alice/a", True)
    board.order(Fault("status", "POST", "/batch$", status=status, times=2))
    made = push(alice, "alice/a", weights)
    assert (made.storage, made.notes) == ("xet", ())
    assert alice.outcome.sent >= weights.stat().st_size
    assert xet_bytes(tmp_path / "hub") >= weights.stat().st_size
