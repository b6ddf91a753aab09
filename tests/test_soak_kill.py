"""A publish is killed at any moment, and run again: it ends right, and sends no more than it must."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from huggingface_hub import HfApi
from soaking import (
    LONG,
    MB,
    PUSHED,
    WEIGHTS,
    Process,
    assert_store_is_whole,
    environment,
    lfs_objects,
    publishing,
    sha256,
    write_adapter,
    xet_bytes,
    xet_files,
)

from hubkit import localhub
from hubkit.localhub import Fault, Switchboard

pytestmark = pytest.mark.soak
SIZE = 50 * MB
MOMENTS = 50 if LONG else 8
SMALL = MB  # what the rest of a push takes: requests, card, record, shards
SEED = int(os.environ.get("HUBKIT_SOAK_SEED") or random.SystemRandom().randrange(1 << 32))
CODES = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}

Moment = Callable[["Trial", Process], bool]


@dataclass
class Trial:
    """One adapter and one Hub, both fresh, to publish to as often as need be."""

    place: Path
    xet: bool
    board: Switchboard = field(default_factory=Switchboard)
    repo: str = "local/killed"
    runs: int = 0

    def __enter__(self) -> Trial:
        self.place.mkdir()
        self.directory = write_adapter(self.place / "adapter", SIZE)
        self.digest, self.size = sha256(self.directory / WEIGHTS), (self.directory / WEIGHTS).stat().st_size
        self.hub = localhub.start(self.place / "hub", xet=self.xet, switchboard=self.board)
        return self

    def __exit__(self, *_: object) -> None:
        self.hub.close()
        assert_store_is_whole(self.place / "hub")
        for path in sorted(self.place.rglob("*"), reverse=True):  # 100 MB a trial
            path.rmdir() if path.is_dir() else path.unlink()

    def publish(self) -> Process:
        """Start a publish; huggingface_hub has nothing in its caches."""
        self.runs += 1
        command = publishing(self.directory, self.hub.endpoint, self.hub.token, self.repo)
        return Process(command, environment(self.place / "home"), self.place / f"run-{self.runs}")

    def sent(self) -> int:
        """Bytes of the weights that were sent so far, in whatever way."""
        return xet_bytes(self.place / "hub") + sum(seen.received for seen in self.board.log)

    def began(self) -> bool:
        """Whether a request has come."""
        return len(self.board.log) > 0

    def settle(self) -> None:
        """Wait until the Hub has read what was under way when the client died."""
        seen = -1
        while seen != (seen := self.sent()):
            time.sleep(0.1)

    def is_there(self) -> bool:
        """Whether the Hub holds the weights as a whole."""
        hub = self.place / "hub"
        return self.digest in lfs_objects(hub) | xet_files(hub)

    def titles(self) -> list[str]:
        api = HfApi(self.hub.endpoint, self.hub.token)
        exists = api.repo_exists(self.repo)
        return [commit.title for commit in api.list_repo_commits(self.repo)][::-1] if exists else []

    def assert_right(self) -> None:
        """One commit beside the first one, with the bytes of this directory."""
        assert self.titles() == ["initial commit", "Add adapter and model card"]
        api = HfApi(self.hub.endpoint, self.hub.token)
        for path in PUSHED:
            found = api.get_paths_info(self.repo, path)[0]
            assert found.size == (self.directory / path).stat().st_size, path
            if path == WEIGHTS:
                assert found.lfs.sha256 == self.digest
            else:
                served = Path(api.hf_hub_download(self.repo, path, force_download=True))
                assert served.read_bytes() == (self.directory / path).read_bytes(), path


@pytest.fixture(params=["lfs", "xet"])
def xet(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "xet")


@pytest.fixture
def trials(tmp_path: Path, xet: bool) -> Iterator[Callable[[], Trial]]:
    """A source of fresh trials."""
    made: list[Trial] = []

    def another() -> Trial:
        made.append(Trial(tmp_path / str(len(made)), xet))
        return made[-1]

    yield another
    threads = [thread.name for thread in threading.enumerate() if "hubkit" in thread.name]
    assert len(threads) <= 1, threads  # at most that of another fixture's Hub


class Clean(NamedTuple):
    """A push that nobody stopped: its seconds from its first request on, and all its requests."""

    seconds: float
    requests: list[str]


KNOWN: dict[bool, Clean] = {}


def clean(trial: Trial) -> Clean:
    """Push undisturbed, once for LFS and once for Xet."""
    if trial.xet in KNOWN:
        return KNOWN[trial.xet]
    with trial:
        process = trial.publish()
        process.until(trial.began)
        started = time.monotonic()
        ended = process.end()
        seconds = time.monotonic() - started
        assert ended.code == 0, ended.err
        trial.assert_right()
        requests = [f"{seen.method} {seen.path}" for seen in trial.board.log]
        assert trial.size * 0.9 < trial.sent() < trial.size + SMALL
    KNOWN[trial.xet] = Clean(seconds, requests)
    return KNOWN[trial.xet]


def stop(trial: Trial, number: int, moment: Moment) -> tuple[bool, int, int, bool]:
    """Stop a push at a moment, run it again, and see that all is right.

    Gives whether it ran by then, the bytes that the first and the second run sent, and whether the Hub had
    the whole file before the second one.
    """
    first = trial.publish()
    ran = moment(trial, first)
    first.signal(number)
    ended = first.end()
    if ran and ended.code != 0:  # it may have been over when the signal came
        assert ended.code == CODES[signal.Signals(number)], ended
        assert number == signal.SIGKILL or says_what_is_known(ended.err, trial), ended
    trial.settle()
    complete, before = trial.is_there(), trial.sent()
    again = trial.publish().end()
    assert again.code == 0, again
    trial.assert_right()
    sent = trial.sent() - before
    assert sent < (SMALL if complete else trial.size + SMALL), (sent, complete, before)
    if LONG:
        third = trial.publish().end()
        assert third.code == 0, third
        assert "Nothing to change" in third.err
        assert len(trial.titles()) == 2
    return ran, before, sent, complete


def says_what_is_known(err: str, trial: Trial) -> bool:
    """Whether the last line is true, and the only one that is not a note."""
    lines = [line for line in err.splitlines() if not line.startswith(("Note: ", "hubkit: stopping"))]
    landed = len(trial.titles()) == 2
    said = lines[-1].startswith("hubkit: interrupted")
    return said and len(lines) == 1 and (" landed" in lines[0]) == landed and "Traceback" not in err


def after_seconds(seconds: float) -> Moment:
    """So many seconds after the first request."""

    def moment(trial: Trial, process: Process) -> bool:
        process.until(trial.began)
        until = time.monotonic() + seconds
        return process.until(lambda: time.monotonic() >= until)

    return moment


def after_request(number: int) -> Moment:
    """Right after the request with this number was seen."""
    return lambda trial, process: process.until(lambda: len(trial.board.log) > number)


def after_bytes(count: int) -> Moment:
    """When so many bytes of the weights have been sent."""
    return lambda trial, process: process.until(lambda: trial.sent() >= count)


def report(
    tell: Callable[[str], None], xet: bool, what: str, done: list[tuple[bool, int, int, bool]]
) -> None:
    """Say what was sent."""
    stopped = [(before, sent, whole) for ran, before, sent, whole in done if ran]
    first, again = [before for before, _, _ in stopped], [sent for _, sent, _ in stopped]
    whole = [sent for _, sent, whole in stopped if whole]
    lines = [
        f"\n{'Xet' if xet else 'LFS'}, {what} (seed {SEED}):",
        f"{len(done)} pushes of {SIZE / MB:.0f} MB, {len(stopped)} of them stopped on the way;",
        f"sent before the stop {sum(first) / MB:.1f} MB, after it {sum(again) / MB:.1f} MB,",
        f"by one second run {max(again, default=0) / MB:.2f} MB at most;",
        f"where the Hub had the whole file already ({len(whole)}), {sum(whole) / MB:.2f} MB in all",
    ]
    tell(" ".join(lines))


def test_killed_at_any_moment(trials: Callable[[], Trial], xet: bool, tell: Callable[[str], None]) -> None:
    seconds, _ = clean(trials())
    chance = random.Random(SEED)
    done = []
    for number in range(MOMENTS):
        share = (number + chance.random()) / MOMENTS
        with trials() as trial:
            done.append(stop(trial, signal.SIGKILL, after_seconds(seconds * share)))
        if not done[-1][0]:  # it was over by then: this machine has become faster
            seconds *= 0.8
    report(tell, xet, "killed at random moments", done)
    assert sum(ran for ran, *_ in done) >= MOMENTS // 2


def test_killed_after_each_request(
    trials: Callable[[], Trial], xet: bool, tell: Callable[[str], None]
) -> None:
    """The requests are those of a push that nobody stopped; the last ones may be over before the signal."""
    requests = clean(trials()).requests
    commit = next(number for number, request in enumerate(requests) if "/commit/" in request)
    chosen = range(len(requests)) if LONG else (commit - 1, commit, commit + 1)
    done = []
    for number in chosen:
        with trials() as trial:
            done.append(stop(trial, signal.SIGKILL, after_request(number)))
    report(tell, xet, "killed right after a request", done)
    assert sum(ran for ran, *_ in done) >= len(done) // 2


def test_killed_while_the_weights_are_sent(
    trials: Callable[[], Trial], xet: bool, tell: Callable[[str], None]
) -> None:
    done = []
    for share in (0.02, 0.3, 0.6, 0.9) if LONG else (0.5,):
        with trials() as trial:
            done.append(stop(trial, signal.SIGKILL, after_bytes(int(SIZE * share))))
    report(tell, xet, "killed while the weights are sent", done)
    assert any(ran for ran, *_ in done)


def test_a_second_ctrl_c_ends_at_once(trials: Callable[[], Trial]) -> None:
    """The commit is in flight, its answer never comes, and the user has no patience left."""
    with trials() as trial:
        trial.board.order(Fault("late", "POST", "/commit/"))
        process = trial.publish()
        process.until(lambda: trial.board.count("POST", "/commit/") > 0)
        process.signal(signal.SIGINT)
        process.until(lambda: "once more stops at once" in process.err)
        process.signal(signal.SIGINT)
        ended = process.end()
        assert ended.code == 130
        assert ended.err.splitlines()[1].startswith("hubkit: interrupted; the commit was sent, and may have")
        assert ended.err.count("\n") == 2
        assert trial.publish().end().code == 0
        trial.assert_right()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_order(
    number: int, trials: Callable[[], Trial], xet: bool, tell: Callable[[str], None]
) -> None:
    """A Ctrl-C or a SIGTERM: the same, and one line that says whether a commit was made."""
    seconds, requests = clean(trials())
    commit = next(place for place, request in enumerate(requests) if "/commit/" in request)
    moments = [after_request(commit), after_request(0)]
    if LONG:
        chance = random.Random(SEED)
        moments += [after_request(place) for place in range(1, len(requests))]
        moments += [after_seconds(seconds * chance.random()) for _ in range(10)]
    done = []
    for moment in moments:
        with trials() as trial:
            done.append(stop(trial, number, moment))
    report(tell, xet, f"stopped by {signal.Signals(number).name}", done)
    assert any(ran for ran, *_ in done)
