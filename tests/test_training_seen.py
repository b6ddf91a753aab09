"""What is seen of a training while it runs, in lines, charts and the record's history."""

from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from transformers.trainer_callback import TrainerState

from hubkit import record, stages
from hubkit.errors import MissingExtra
from hubkit.record import LogPoint
from hubkit.training import trackers
from hubkit.training.facts import thinned
from hubkit.training.progress import EVERY, Progress, duration, perplexity


class Seen:
    """A progress without a terminal, at a time that the test sets, and what it said."""

    def __init__(self, *, step: int = 0, log: list[dict[str, float]] | None = None, **more: Any) -> None:
        self.now, self.said = 100.0, list[str]()
        told: dict[str, Any] = {"watched": False, "is_language": True, "tokens_a_step": 64} | more
        self.progress = Progress(self.said.append, **told)
        self.progress.course.clock = lambda: self.now
        self.state = TrainerState(global_step=step, max_steps=100, log_history=log or [])
        self.progress.on_train_begin(None, self.state, None)

    def step(self, seconds: float, **logs: float) -> None:
        self.now += seconds
        self.state.global_step += 1
        self.progress.on_step_end(None, self.state, None)
        if logs:
            self.progress.on_log(None, self.state, None, logs=logs)


def test_a_line_at_the_first_log_then_every_so_often_and_at_the_end() -> None:
    seen = Seen()
    seen.step(2, loss=2.0)
    assert seen.said == ["step 1 of 100, loss 2.0000, perplexity 7.39, 32 tokens/s, 3 min 18 s left"]
    seen.step(2, loss=1.9)
    assert len(seen.said) == 1
    seen.step(EVERY, loss=1.8, eval_loss=1.0)
    assert seen.said[1].startswith("step 3 of 100, loss 1.8000, ")
    assert "eval loss 1.0000, eval perplexity 2.72" in seen.said[1]
    seen.state.global_step = 99
    seen.step(1)
    seen.progress.on_train_end(None, seen.state, None)
    assert seen.said[2].startswith("step 100 of 100, loss 1.8000")
    assert "left" in seen.said[1]
    assert "left" not in seen.said[2]


def test_time_left_after_a_stop_is_by_the_pace_of_this_leg() -> None:
    seen = Seen(step=90)
    seen.step(5, loss=2.0)
    assert seen.said == ["step 91 of 100, loss 2.0000, perplexity 7.39, 13 tokens/s, 45 s left"]


def test_speed_is_that_of_the_last_minute() -> None:
    seen = Seen()
    for _ in range(20):
        seen.step(10)
    for _ in range(60):
        seen.step(1)
    assert seen.progress.course.tokens_per_second() == 64
    assert len(seen.progress.course.marks) <= 62


def test_a_classifier_has_no_perplexity() -> None:
    seen = Seen(is_language=False)
    seen.step(2, loss=0.5)
    assert "perplexity" not in seen.said[0]


def test_a_loss_far_beyond_the_first_is_said_once() -> None:
    seen = Seen(log=[{"step": 1, "loss": 2.0}], step=5)
    seen.step(1, loss=20.0)
    assert not any("more than" in line for line in seen.said)
    seen.step(1, loss=21.0)
    seen.step(1, loss=500.0)
    told = [line for line in seen.said if "more than 10 times the first (2)" in line]
    assert told == [
        "the loss is 21 at step 7, more than 10 times the first (2): training.learning_rate may be too high;"
        " training goes on"
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59, "59 s"), (60, "1 min 00 s"), (3725, "1 h 02 min"), (200_000, "2 d 7 h")],
)
def test_times_in_words(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_perplexity_that_says_nothing_is_not_written_out() -> None:
    assert perplexity(0.0) == "1.00"
    assert perplexity(5000.0) == "above 1,000,000"


def test_a_tracker_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"training\.report_to: trackio is not installed") as caught:
        trackers.check(["trackio"])
    assert caught.value.hint == "pip install trackio"


def test_charts_get_finite_numbers_and_perplexity() -> None:
    logs = {"loss": 1.0, "eval_loss": 800.0, "grad_norm": math.inf, "epoch": 1.0, "train_runtime": 3.0}
    assert trackers.numbers(logs, True) == {
        "train/loss": 1.0, "eval/loss": 800.0, "train/perplexity": math.e,
    }  # fmt: skip
    assert trackers.numbers(logs, False) == {"train/loss": 1.0, "eval/loss": 800.0}


def test_a_tracker_that_fails_is_said_and_left_out(tmp_path: Path) -> None:
    class Failing(trackers.Tracker):
        name = "mine"
        written = 0

        def open(self, step: int, settings: dict[str, Any]) -> str:
            print("hello")
            return "here"

        def write(self, values: dict[str, float], step: int) -> None:
            self.written += 1
            raise OSError("No space left on device\nmore")

    said: list[str] = []
    tracker = Failing(tmp_path, True, said.append)
    state = TrainerState(global_step=1)
    args: Any = type("Args", (), {"learning_rate": 1.0, "seed": 1, "max_steps": 2})()
    tracker.on_train_begin(args, state, None)
    for _ in range(2):
        tracker.on_log(args, state, None, logs={"loss": 1.0})
    tracker.on_train_end(args, state, None)
    assert said == [
        "mine: numbers go to here",
        "mine failed, and training goes on without it: No space left on device",
    ]
    assert tracker.written == 1


@pytest.mark.real
@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_trackers_hold_the_losses_of_the_record(
    name: str,
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "run" / "logs" / "trackio"))
    for variable in trackers.ELSEWHERE:
        monkeypatch.delenv(variable, raising=False)
    training = {"report_to": [name], "max_steps": 6, "eval_steps": 3}
    said: list[str] = []
    directory = stages.train(tiny.run("causal-lm", tiny_llama, tmp_path, training=training), said.append)
    assert any(line.startswith(f"{name}: numbers go to {tmp_path / 'run' / 'logs'}") for line in said)
    assert not any("failed" in line for line in said)
    assert capsys.readouterr().out == ""
    facts = record.read(directory).training
    assert facts is not None
    found = (_events if name == "tensorboard" else _runs)(tmp_path / "run" / "logs")
    for chart, field in (("train/loss", "loss"), ("eval/loss", "eval_loss")):
        expected = {p.step: getattr(p, field) for p in facts.history if getattr(p, field) is not None}
        assert found[chart] == pytest.approx(expected, rel=1e-6)
    assert found["train/perplexity"] == pytest.approx(
        {p.step: math.exp(p.loss) for p in facts.history if p.loss is not None}, rel=1e-6
    )


def _events(folder: Path) -> dict[str, dict[int, float]]:
    """The scalars of TensorBoard's event file, read by TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {chart: {e.step: e.value for e in read.Scalars(chart)} for chart in read.Tags()["scalars"]}


def _runs(folder: Path) -> dict[str, dict[int, float]]:
    """The numbers of trackio's one run, read by trackio."""
    from trackio.sqlite_storage import SQLiteStorage

    assert os.environ["TRACKIO_DIR"] == str(folder / "trackio")
    found: dict[str, dict[int, float]] = {}
    for line in SQLiteStorage.get_logs("hubkit", "run"):
        for chart in line.keys() - {"step", "timestamp"}:
            found.setdefault(chart, {})[line["step"]] = line[chart]
    return found


@given(st.integers(0, 400), st.integers(0, 90), st.integers(3, 50))
def test_a_long_history_is_thinned_to_a_bound(logs: int, looks: int, most: int) -> None:
    history = [LogPoint(step=at, loss=float(at), learning_rate=1.0) for at in range(1, logs + 1)]
    history += [LogPoint(step=at, eval_loss=float(at)) for at in range(4, 4 * looks + 1, 4)]
    history.sort(key=lambda point: point.step)
    kept = thinned(history, most)
    for name in ("loss", "eval_loss"):
        before = [point for point in history if getattr(point, name) is not None]
        after = [point for point in kept if getattr(point, name) is not None]
        assert len(after) <= max(most, 0)
        assert after[:1] == before[:1]
        assert after[-1:] == before[-1:]
        assert len(before) > most or after == before
    assert [point.step for point in kept] == sorted(point.step for point in kept)


def test_thinned_losses_are_the_means_of_those_that_they_stand_for() -> None:
    history = [LogPoint(step=at, loss=float(at)) for at in range(1, 11)]
    assert [(p.step, p.loss) for p in thinned(history, 4)] == [(1, 1.0), (5, 3.5), (9, 7.5), (10, 10.0)]
