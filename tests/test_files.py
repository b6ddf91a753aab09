"""Files written whole or not at all, and their digests."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from hubkit import files
from hubkit.errors import HubkitError


def test_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write_atomically(path, b"one")
    files.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]
    path.chmod(0o600)
    files.write_atomically(path, b"three")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod", "open"])
@pytest.mark.parametrize(
    ("code", "hint"), [(errno.ENOSPC, "free some space"), (errno.EACCES, "may be written to")]
)
def test_the_old_file_stays_when_writing_fails(
    call: str, code: int, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(HubkitError, match=os.strerror(code)) as caught:
        files.write_atomically(path, b"new")
    monkeypatch.undo()
    assert caught.value.message.startswith(f"cannot write {path}: ")
    assert hint in str(caught.value.hint)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_NUMBERS", iter(range(3)))
    left = [tmp_path / f".a.{os.getpid()}-{number}" for number in (0, 1)]
    for path in left:
        path.write_bytes(b"part")
    files.write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.read_bytes() for path in left] == [b"part", b"part"]
    assert len(list(tmp_path.iterdir())) == 3


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(HubkitError, match=r"cannot write .*No such file or directory"):
        files.write_atomically(tmp_path / "none" / "a", b"new")


def test_digests(tmp_path: Path) -> None:
    one, two = tmp_path / "b", tmp_path / "a"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    assert files.sha256(one) == hashlib.sha256(b"1").hexdigest()
    assert files.sha256_of([one, two]) == files.sha256_of([two, one])
    one.write_bytes(b"12")
    assert files.sha256(one) == hashlib.sha256(b"12").hexdigest()
