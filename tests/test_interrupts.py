"""Signals: the first stops a command in order, the second at once, and a commit in flight is waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import fake_adapter
import pytest
from huggingface_hub import HfApi

from hubkit import hub_commit, interrupts, localhub
from hubkit.errors import HubkitError, Interrupted
from hubkit.hub import Hub
from hubkit.hub_client import Patience
from hubkit.interrupts import Signalled
from hubkit.localhub import Fault, RunningHub, Switchboard
from hubkit.publishing import stopping
from hubkit.publishing.apply import apply
from hubkit.publishing.plan import plan

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def send(number: int = signal.SIGINT) -> None:
    """A signal to this process, as a terminal or a supervisor sends it."""
    os.kill(os.getpid(), number)


def stopped_in(work: Callable[[], object]) -> Signalled:
    """The exception by which a signal ended some work."""
    with pytest.raises(Signalled) as caught, interrupts.handled():
        work()
    return caught.value


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_the_first_signal_raises(number: int, code: int) -> None:
    before = signal.getsignal(number)
    assert interrupts.exit_code(stopped_in(lambda: send(number))) == code
    assert signal.getsignal(number) is before


def test_a_ctrl_c_that_python_raised_is_one_too() -> None:
    assert interrupts.exit_code(KeyboardInterrupt()) == 130


def test_a_signal_that_was_ignored_stays_so() -> None:
    """As nohup does with SIGHUP, and a shell with SIGINT for its jobs in the background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.handled():
            send(signal.SIGHUP)
            assert not interrupts.came()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_beside_the_main_thread_signals_are_left_alone() -> None:
    done = []

    def work() -> None:
        with interrupts.handled():
            done.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [before]


@pytest.mark.parametrize("fails", [False, True])
def test_a_held_signal_waits_for_the_end_of_its_block(fails: bool, capfd: pytest.CaptureFixture[str]) -> None:
    reached = []

    def work() -> None:
        with interrupts.held("it may be done"):
            send()
            reached.append(interrupts.came())
            if fails:
                raise HubkitError("this matters no more")
        reached.append(False)

    stopped_in(work)
    assert reached == [True]
    assert capfd.readouterr().err == "hubkit: stopping when the Hub has answered; once more stops at once\n"


def test_the_second_signal_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def held() -> None:
        with interrupts.held("it may be done"):
            send()
            send(signal.SIGTERM)

    stopped_in(held)
    assert codes == [143]
    assert "hubkit: interrupted; it may be done" in capfd.readouterr().err.splitlines()

    def stubborn() -> None:
        with contextlib.suppress(Signalled):
            send()
        send()

    stopped_in(stubborn)
    assert codes == [143, 130]
    assert capfd.readouterr().err == ""


@pytest.fixture
def board() -> Switchboard:
    return Switchboard()


@pytest.fixture
def hub(tmp_path: Path, board: Switchboard) -> Iterator[RunningHub]:
    with localhub.start(tmp_path / "hub", switchboard=board) as running:
        yield running


def interrupted_push(directory: Path, running: RunningHub, board: Switchboard) -> Interrupted:
    """Push, and send a signal when the commit is in flight."""
    fake_adapter.write(directory)
    hub = Hub(running.endpoint, running.token, patience=Patience(answer_seconds=1.0, attempts=2))
    planned = plan(directory, "local/a", hub)

    def watch() -> None:
        while not board.count("POST", "/commit/"):
            time.sleep(0.001)
        send()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(Interrupted) as caught, interrupts.handled(), stopping.told(hub):
        apply(planned, hub)
    watcher.join()
    return caught.value


def count(running: RunningHub) -> int:
    return len(HfApi(running.endpoint, running.token).list_repo_commits("local/a")) - 1


@pytest.mark.parametrize("kind", ["delay", "drop", pytest.param("late", marks=pytest.mark.soak)])
def test_a_commit_that_landed_is_said_to_have(
    kind: str, tmp_path: Path, hub: RunningHub, board: Switchboard
) -> None:
    """Whether its answer comes late, is lost, or never comes."""
    board.order(Fault(kind, "POST", "/commit/", seconds=0.2))  # type: ignore[arg-type]
    stop = interrupted_push(tmp_path / "a", hub, board)
    head = HfApi(hub.endpoint, hub.token).model_info("local/a").sha or ""
    assert stop.message == f"interrupted; commit {head[:12]} of local/a landed"
    assert stop.exit_code == 130
    assert count(hub) == 1
    assert board.count("POST", "/commit/") == 1


@pytest.mark.parametrize("kind", ["status", "hang"])  # status: 500
def test_a_commit_that_never_landed_is_not_sent_again(
    kind: str, tmp_path: Path, hub: RunningHub, board: Switchboard
) -> None:
    board.order(Fault(kind, "POST", "/commit/"))  # type: ignore[arg-type]
    stop = interrupted_push(tmp_path / "a", hub, board)
    refused = "nothing was published: local/a was created, and no commit was made"
    known = {"status": refused, "hang": "the commit was sent and has not landed so far"}
    assert stop.message == f"interrupted; {known[kind]}"
    assert stop.hint == "run the same command again; it goes on"
    assert count(hub) == 0
    assert board.count("POST", "/commit/") == 1


def test_a_commit_of_which_nothing_is_known_is_said_to_be_in_doubt(
    tmp_path: Path, hub: RunningHub, board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_commit, "SHORT", 0.1)
    board.order(Fault("drop", "POST", "/commit/"), Fault("hang", "GET", "/commits/", times=9))
    stop = interrupted_push(tmp_path / "a", hub, board)
    assert stop.message == "interrupted; the commit was sent, and whether it landed is not known"
    assert board.count("GET", "/commits/") == 1  # somebody is waiting


def test_a_pause_ends_with_a_signal(tmp_path: Path, hub: RunningHub, board: Switchboard) -> None:
    """The Hub asks for two minutes of patience before the commit; nobody waits for them."""
    board.order(Fault("status", "POST", "/commit/", status=429, headers={"Retry-After": "120"}))
    stop = interrupted_push(tmp_path / "a", hub, board)
    assert "no commit was made" in stop.message
    assert (count(hub), board.count("POST", "/commit/")) == (0, 1)


def test_an_interruption_before_anything_was_made(
    tmp_path: Path, hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_hub = Hub(hub.endpoint, hub.token)
    with pytest.raises(Interrupted) as caught, stopping.told(at_hub, "weights are in a", "hubkit publish"):
        raise Signalled(signal.SIGTERM)
    assert caught.value.message == "interrupted; nothing was published; weights are in a"
    assert (caught.value.hint, caught.value.exit_code) == ("hubkit publish", 143)
    at_hub.outcome = replace(at_hub.outcome, created="local/a", landed="commit abc of local/a")
    with pytest.raises(Interrupted, match="commit abc of local/a landed"), stopping.told(at_hub):
        raise KeyboardInterrupt
