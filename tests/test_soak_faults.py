"""The fault matrix: every request of every kind of publish fails in every way, by Xet and by LFS.

The requests are those that the switchboard saw of a clean publish. However one of them fails, the end is one
commit with the right bytes, or a clear error and a Hub that is as it was; then the same command, run again,
ends right. What a publish may leave half-way is listed in `Trial.stages`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fault_matrix import LONG_SILENCE, SHORT_SILENCE, STORIES, Bench, Story, Trial, calls, nth
from soaking import LONG

from hubkit import errors
from hubkit.localhub import Fault

pytestmark = pytest.mark.soak

# What goes wrong once, twice in a row, or each time.
KINDS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}},
    "reset": {"kind": "reset"},
    "cut upload": {"kind": "cut_upload", "bytes": 1},
    "cut answer": {"kind": "cut", "bytes": 1},
    "dropped": {"kind": "drop"},
    "hang": {"kind": "hang"},
    "late": {"kind": "late"},
}
# A single fault ends in an error only here. A pull request has no parent that keeps a second one from being
# opened, so it is not asked for again unless the Hub itself has said that it gave up.
NOT_REPEATED = {
    ("propose", "POST /api/models/REPO/commit/main", kind) for kind in ("reset", "cut upload", "hang")
}


@dataclass
class Matrix:
    """The trials of one kind of publish, and how they ended."""

    bench: Bench
    story: Story
    clean: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[int] = field(default_factory=list)  # bytes that each request of the clean publish brought
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def learn(self) -> None:
        """Take the list of requests from a clean publish, and see that another one makes the same."""
        self.bench.hub.patience = self.bench.patience(LONG_SILENCE)
        for _ in range(2):
            trial = self.bench.trial(self.story)
            trial.publish()
            made = calls(trial)
            self.bodies = [seen.received for seen in self.bench.board.log]
            assert trial.state() == trial.wanted(), _difference(trial)
            assert self.clean in ([], made)
            self.clean = made

    def run(self, number: int, name: str, times: int) -> None:
        """One trial; what is wrong with its end is noted."""
        call = " ".join(self.clean[number])
        where = f"{call} {name} x{times}"
        trial = self.bench.trial(self.story)
        silence = SHORT_SILENCE if name in ("hang", "late") else LONG_SILENCE
        self.bench.hub.patience = self.bench.patience(silence)
        self.bench.board.order(Fault(times=times, **KINDS[name], **nth(trial, self.clean, number)))
        try:
            error = self._publish(trial)
            self._check_happened(name, times, where)
            self.bench.board.clear()
            once = times == 1 and (self.story.name, call, name) not in NOT_REPEATED
            if error is None:
                end = "landed"
                self._expect(trial.state() == trial.wanted(), f"{where}: landed, but {_difference(trial)}")
            else:
                end = "refused"
                self._expect(not once, f"{where}: {error}")
                self._expect(trial.state() in trial.stages(), f"{where}: left half: {_difference(trial)}")
                self._expect(_is_a_line(error), f"{where}: {error!r}")
                self._check_said(trial, error, where)
                self._again(trial, where)
        except Exception as crash:
            end = "crashed"
            self.wrong.append(f"{where}: {type(crash).__name__}: {crash}")
        self.ends[name, end] += 1

    def _publish(self, trial: Trial) -> errors.HubError | None:
        try:
            trial.publish()
        except errors.HubError as error:
            return error
        return None

    def _again(self, trial: Trial, where: str) -> None:
        """The same command, when nothing fails any more."""
        again = self._publish(trial)
        self._expect(again is None, f"{where}: again: {again}")
        self._expect(trial.state() == trial.wanted(), f"{where}: again, but {_difference(trial)}")

    def _check_happened(self, name: str, times: int, where: str) -> None:
        happened = [seen for seen in self.bench.board.log if seen.fault]
        self._expect(1 <= len(happened) <= times, f"{where}: happened {len(happened)} times")
        if name == "429" and times == 1:
            self._expect(7.0 in self.bench.pauses or _by_xet_itself(happened[0].path), f"{where}: not heeded")

    def _check_said(self, trial: Trial, error: errors.HubError, where: str) -> None:
        """What is there after an error is what it says."""
        now, before = trial.state(), trial.before
        if now.exists and not before.exists and len(now.main) == 1:
            self._expect("created" in str(error), f"{where}: an empty repo is not told of: {error}")
        if (now.main[1:], now.pull_requests) != (before.main[1:], before.pull_requests):
            told = ("landed", "published", "took", "holds")
            self._expect(any(word in str(error) for word in told), f"{where}: made, not told: {error}")

    def _expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.wrong.append(otherwise)

    def table(self) -> str:
        """The counts by kind of fault."""
        head = f"{self.story.name}, {'xet' if self.bench.xet else 'lfs'}: {len(self.clean)} requests"
        lines = [f"{head}, {sum(self.ends.values())} trials, {len(self.wrong)} wrong"]
        for name in KINDS:
            ends = {end: count for (of, end), count in self.ends.items() if of == name}
            if ends:
                lines.append(
                    f"  {name:<12}" + "".join(f"{end} {count:<6}" for end, count in sorted(ends.items()))
                )
        return "\n".join(lines)


def _by_xet_itself(path: str) -> bool:
    """Whether Xet's own client may have asked, which keeps its own time."""
    return "xet-write-token" in path


def _is_a_line(error: errors.HubError) -> bool:
    return bool(error.hint) and "\n" not in str(error) and "hf_" not in str(error)


def _difference(trial: Trial) -> str:
    """How what is there differs from what was wanted, in counts and paths."""
    there, wanted = trial.state(), trial.wanted()
    pulls = {num: len(made) for num, made in there.pull_requests.items()}
    wrong: set[str] = set()
    if there.main and wanted.main:
        have, want = there.main[-1], wanted.main[-1]
        wrong = {path for path in {*have, *want} if have.get(path) != want.get(path)}
    return (
        f"{len(there.main)} of {len(wanted.main)} commits, pull requests {pulls}, refs {[*there.other_refs]},"
        f" collected {there.collected}, other files {sorted(wrong)}"
    )


@pytest.fixture(scope="module", params=["xet", "lfs"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench"), xet=request.param == "xet")
    yield made
    made.close()


def walk(matrix: Matrix, kinds: list[str], times: int, tell: Callable[[str], None]) -> None:
    """Each request of a clean publish, with each of these faults."""
    matrix.learn()
    wanted = 0
    for name in kinds:
        for number, received in enumerate(matrix.bodies):
            if name != "cut upload" or received > 1:
                matrix.run(number, name, times)
                wanted += 1
    tell(matrix.table())
    assert sum(matrix.ends.values()) == wanted > 0
    assert not matrix.wrong, "\n" + "\n".join(matrix.wrong)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_request_fails_once(story: Story, bench: Bench, tell: Callable[[str], None]) -> None:
    """Whatever fails once, the publish lands, but for what is listed above."""
    walk(Matrix(bench, story), list(KINDS), 1, tell)


@pytest.mark.parametrize("story", STORIES[:3], ids=lambda story: story.name)
def test_each_request_fails_twice(story: Story, bench: Bench, tell: Callable[[str], None]) -> None:
    walk(Matrix(bench, story), ["reset", "dropped", *(["503"] if LONG else [])], 2, tell)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_request_fails_each_time(story: Story, bench: Bench, tell: Callable[[str], None]) -> None:
    walk(Matrix(bench, story), ["500", "dropped", *(["429", "reset"] if LONG else [])], 1000, tell)
