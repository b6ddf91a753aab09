"""hubkit as its users have it: the client's defaults, Xet on and off, and machines that lack something."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from soaking import MB, PUSHED, WEIGHTS, Ended, Process, environment, publishing, sha256, write_adapter

from hubkit import localhub
from hubkit.hub_rules import REGULAR_FILE_MAX
from hubkit.localhub import RunningHub, Switchboard

pytestmark = pytest.mark.soak
SIZE = 12 * MB


@dataclass
class Place:
    """An adapter, a local Hub, and a home for huggingface_hub."""

    root: Path
    directory: Path
    hub: RunningHub
    board: Switchboard

    @property
    def address(self) -> str:
        return f"{self.hub.endpoint}/local/a"

    def command(self) -> list[str]:
        return publishing(self.directory, self.hub.endpoint, self.hub.token, "local/a")

    def publish(self, *, room: int | None = None, **env: str) -> Ended:
        settings = environment(self.root / "home", **env)
        return Process(self.command(), settings, self.root / "client", room).end()

    def assert_published(self, ended: Ended) -> None:
        """One commit, with the right bytes, and no word of a fault."""
        assert ended.code == 0, ended.err
        assert "Traceback" not in ended.err
        api = HfApi(self.hub.endpoint, self.hub.token)
        assert len(api.list_repo_commits("local/a")) == 2
        for found in api.get_paths_info("local/a", list(PUSHED)):
            assert found.size == (self.directory / found.path).stat().st_size
            if found.path == WEIGHTS:
                assert found.lfs.sha256 == sha256(self.directory / WEIGHTS)

    def assert_untouched(self, ended: Ended, code: int = 2) -> str:
        """One line, no commit; gives the line."""
        assert ended.code == code, ended
        assert ended.out == ""
        assert re.fullmatch(r"hubkit: [^\n]+\n", ended.err), ended.err
        api = HfApi(self.hub.endpoint, self.hub.token)
        assert not api.repo_exists("local/a") or len(api.list_repo_commits("local/a")) == 1
        return ended.err


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    board = Switchboard()
    directory = write_adapter(tmp_path / "adapter", SIZE)
    with localhub.start(tmp_path / "hub", switchboard=board) as hub:
        yield Place(tmp_path, directory, hub, board)


def size_of(place: Place, name: str) -> int:
    return (place.directory / name).stat().st_size


def test_with_the_defaults_of_the_client(place: Place) -> None:
    ended = place.publish()
    place.assert_published(ended)
    assert re.fullmatch(
        r"Published local/a in one commit \(\w{12}\): sent [\d.]+ MB by Xet in [\d.]+ s\n", ended.err
    )
    assert place.board.count("PUT") == 0


@pytest.mark.parametrize("value", ["1", "true"])
def test_with_xet_switched_off(value: str, place: Place) -> None:
    ended = place.publish(HF_HUB_DISABLE_XET=value)
    place.assert_published(ended)
    assert " by LFS in " in ended.err
    assert ended.err.count("\n") == 1
    assert place.board.count("GET", "xet-write-token") == 0
    assert place.board.count("PUT") == 1


@pytest.mark.parametrize("off", ["0", "1"])
def test_with_two_large_files(off: str, place: Place) -> None:
    """By LFS one after the other: huggingface_hub would send them in threads that outlive a Ctrl-C."""
    tokenizer = place.directory / "tokenizer.json"
    tokenizer.write_text(json.dumps({"vocab": {f"token {number}": number for number in range(700_000)}}))
    assert tokenizer.stat().st_size > REGULAR_FILE_MAX
    place.assert_published(place.publish(HF_HUB_DISABLE_XET=off))
    found = HfApi(place.hub.endpoint, place.hub.token).get_paths_info("local/a", "tokenizer.json")[0]
    assert found.lfs.sha256 == sha256(tokenizer)
    if off == "1":
        sent = [seen for seen in place.board.log if seen.method == "PUT"]
        assert sum(seen.received for seen in sent) == size_of(place, WEIGHTS) + size_of(place, tokenizer.name)


def test_with_xet_as_fast_as_it_can(place: Place) -> None:
    place.assert_published(place.publish(HF_XET_HIGH_PERFORMANCE="1"))


def test_with_bars_switched_off_the_bytes_are_counted_all_the_same(place: Place) -> None:
    ended = place.publish(HF_HUB_DISABLE_PROGRESS_BARS="1")
    place.assert_published(ended)
    sent = re.search(r"sent ([\d.]+) MB", ended.err)
    assert sent
    assert float(sent[1]) == pytest.approx(SIZE / MB, rel=0.02)


def test_offline_mode_does_not_concern_a_hub_on_this_machine(place: Place) -> None:
    """What it does to a push to another Hub, tests/test_cli_publish.py shows."""
    ended = place.publish(HF_HUB_OFFLINE="1")
    if ended.code:
        assert "HF_HUB_OFFLINE" in place.assert_untouched(ended)
    else:
        place.assert_published(ended)


def test_offline_mode_is_one_line(place: Place) -> None:
    """The Hub itself is not asked."""
    command = publishing(place.directory, "https://hub.invalid", place.hub.token, "local/a")
    env = environment(place.root / "home", HF_HUB_OFFLINE="1")
    line = place.assert_untouched(Process(command, env, place.root / "client").end())
    assert "unset HF_HUB_OFFLINE" in line


@pytest.mark.parametrize("xet", ["0", "1"])
def test_proxies_do_not_stand_between_this_machine_and_itself(xet: str, place: Place) -> None:
    nonsense = "http://127.0.0.1:9"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    place.assert_published(place.publish(HF_HUB_DISABLE_XET=xet, **dict.fromkeys(names, nonsense)))


@pytest.mark.parametrize("xet", ["0", "1"])
@pytest.mark.parametrize("name", ["HF_HOME", "TMPDIR", "HOME"])
def test_a_folder_that_cannot_be_written(name: str, xet: str, place: Place) -> None:
    """In /proc not even root may make one."""
    place.assert_published(place.publish(HF_HUB_DISABLE_XET=xet, **{name: "/proc/nothing-here"}))


def test_a_directory_that_is_only_read(place: Place) -> None:
    """The record beside the weights cannot be written then, and nothing is published."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    place.directory.chmod(0o555)
    try:
        line = place.assert_untouched(place.publish())
    finally:
        place.directory.chmod(0o755)
    assert "cannot write" in line
    place.assert_published(place.publish())


@pytest.mark.parametrize("xet", ["0", "1"])
def test_a_disk_that_is_full_on_the_client(xet: str, place: Place) -> None:
    """By LFS nothing is written but a few bytes. By Xet the client writes, here even the Hub's part."""
    ended = place.publish(room=MB, HF_HUB_DISABLE_XET=xet)
    place.assert_published(ended)
    assert " by LFS in " in ended.err
    assert ("Note: Xet storage failed: the weights went by LFS" in ended.err) == (xet == "0")


def on_a_terminal(place: Place, *more: str, **env: str) -> str:
    """What a publish says on a terminal, which it has for stdout and stderr."""
    command = [part for part in place.command() if part not in ("--token", place.hub.token)]
    settings = environment(place.root / "home", HF_TOKEN=place.hub.token, COLUMNS="100", LINES="30", **env)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], [*command, *more], settings)
    said = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while piece := os.read(terminal, 65_536):
            said += piece
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    return said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("way", ["LFS", "Xet"])
def test_a_terminal_shows_one_bar_that_ends_whole(way: str, place: Place) -> None:
    write_adapter(place.directory, 100 * MB)  # Xet tells how far it is five times a second
    said = on_a_terminal(place, HF_HUB_DISABLE_XET="0" if way == "Xet" else "1")
    drawn = [int(share) for share in re.findall(r"\rUploading \[[# ]{20}\] +(\d+)%", said)]
    assert drawn == sorted(drawn)
    assert len(set(drawn)) > 1
    assert drawn[-1] == 100
    total = (place.directory / WEIGHTS).stat().st_size
    assert f"{total / MB:.1f} MB of {total / MB:.1f} MB" in said
    assert said.count("Uploading") == len(drawn)
    assert "\x1b" not in said
    left = [line.rpartition("\r")[2] for line in said.split("\n")]
    assert [line.split()[0] for line in left if line] == ["Uploading", "Published", place.address]


@pytest.mark.parametrize("off", ["-q", "HF_HUB_DISABLE_PROGRESS_BARS"])
def test_a_terminal_that_wants_no_bar_shows_none(off: str, place: Place) -> None:
    said = on_a_terminal(place, "-q") if off == "-q" else on_a_terminal(place, **{off: "1"})
    assert "Uploading" not in said
    assert place.address in said


def test_python_says_nothing_of_its_own(place: Place) -> None:
    """No warning on the way, whatever Python is asked to show."""
    ended = place.publish(PYTHONWARNINGS="default")
    place.assert_published(ended)
    assert "Warning" not in ended.err
