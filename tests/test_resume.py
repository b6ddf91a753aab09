"""A stop changes neither what is trained nor what is told of it, and evaluation moves no random number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import tiny
import torch
from killed import SETTINGS, ended

from hubkit import stages
from hubkit.errors import TrainingError
from hubkit.training import checkpoints, guard, legs
from hubkit.training.legs import Legs
from hubkit.training.steady import unmoved


class Crash(BaseException):
    """Ends a process at once, for a test that stays in its own."""


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def begins(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == step:
            raise Crash

    monkeypatch.setattr(guard.Guard, "on_step_begin", begins)


@pytest.fixture
def run_of(tiny_llama: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(name: str, **training: Any) -> Any:
        return tiny.run(
            "causal-lm",
            tiny_llama,
            tmp_path,
            method={"dropout": 0.1},
            dataset__max_documents=8,
            training=SETTINGS | training,
            output_dir=str(tmp_path / name),
        )

    return run


def test_stops_change_no_weight_and_no_loss(
    run_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ended(stages.train(run_of("whole"), tiny.quiet))
    assert [point.step for point in expected[2]] == [1, 2, 4, 5, 6, 8, 10, 10, 12, 12]
    for step in (4, 9):
        with monkeypatch.context() as patch:
            crash_at(step, patch)
            with pytest.raises(Crash):
                stages.train(run_of("stopped", save_steps=3 if step == 4 else 4), tiny.quiet)
    folder = tmp_path / "stopped" / "checkpoints"
    found = sorted(path.name for path in folder.glob("checkpoint-*"))
    assert found == ["checkpoint-4", "checkpoint-8"]  # save_steps is as it is set now
    said: list[str] = []
    assert ended(stages.train(run_of("stopped"), said.append, must_resume=True)) == expected
    assert said[0] == f"going on from {folder / 'checkpoint-8'}"


@pytest.mark.real
def test_evaluation_changes_no_weight(run_of: Callable[..., Any]) -> None:
    few = {"max_steps": 4, "gradient_accumulation": 1}
    one = ended(stages.train(run_of("one", **few, eval_steps=None), tiny.quiet))
    other = ended(stages.train(run_of("other", **few, eval_steps=1), tiny.quiet))
    assert one[0] == other[0]
    assert [point.loss for point in one[2]] == [p.loss for p in other[2] if p.loss is not None]


def test_what_is_drawn_apart_moves_nothing() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with unmoved():
        torch.rand(5)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.real
def test_a_checkpoint_runs_no_code(
    run_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harm",))

    with monkeypatch.context() as patch:
        crash_at(4, patch)
        with pytest.raises(Crash):
            stages.train(run_of("stopped"), tiny.quiet)
    checkpoint = tmp_path / "stopped" / "checkpoints" / "checkpoint-3"
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        kept = (checkpoint / name).read_bytes()
        torch.save({"state": Harm()}, checkpoint / name)
        legs.write(checkpoint, legs.read(checkpoint))  # so that no digest finds it
        with pytest.raises(TrainingError, match="training stopped at step") as caught:
            stages.train(run_of("stopped"), tiny.quiet)
        assert "\n" not in str(caught.value)
        (checkpoint / name).write_bytes(kept)
    assert not (tmp_path / "harm").exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two whole checkpoints."""
    (tmp_path / checkpoints.STAMP).write_text("a" * 64)
    for step in (4, 8):
        path = tmp_path / f"checkpoint-{step}"
        path.mkdir()
        for name in (*checkpoints.PARTS, "rng_state.pth"):
            (path / name).write_bytes(b"{}" + bytes(100) if name.endswith(("pt", "pth")) else b"{}")
        legs.write(path, Legs("2020-01-02", threads=3))
    return tmp_path


def find(folder: Path, say: Callable[[str], None], *, must_resume: bool = False) -> Path | None:
    return checkpoints.find(folder, "a" * 64, say, fresh=False, must_resume=must_resume)


@pytest.mark.parametrize("name", [*checkpoints.PARTS, "rng_state.pth"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_checkpoint_is_passed_over(name: str, how: str, folder: Path) -> None:
    path = folder / "checkpoint-8" / name
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if how == "cut" else bytes([content[0] ^ 1]) + content[1:])
    said: list[str] = []
    assert find(folder, said.append) == folder / "checkpoint-4"
    assert not (folder / "checkpoint-8").exists()
    if how == "flipped" and name not in (legs.NAME, checkpoints.STATE):
        assert said == [
            f"{folder / 'checkpoint-8'} is damaged ({name} is not what was written) and was removed"
        ]


def test_where_all_are_damaged_training_begins_anew_unless_it_must_resume(folder: Path) -> None:
    for step in (4, 8):
        (folder / f"checkpoint-{step}" / "optimizer.pt").write_bytes(b"torn")
    said: list[str] = []
    with pytest.raises(TrainingError, match="no checkpoint in"):
        find(folder, said.append, must_resume=True)
    assert len(said) == 2
    assert find(folder, said.append) is None


def test_another_count_of_threads_or_torch_is_said(folder: Path) -> None:
    clock = checkpoints.Clock(folder / "checkpoint-8")
    now = torch.get_num_threads()
    expected = None if now == 3 else f"threads 3 before, {now} now: losses may differ in their last digits"
    assert clock.changes() == expected
    clock.on_train_begin(None, Mock(), None)
    told = clock.legs()
    assert (told.threads, told.torch) == (now, torch.__version__)


def test_legs_of_another_version_can_be_read(folder: Path) -> None:
    path = folder / "checkpoint-8" / legs.NAME
    path.write_text('{"started": "2020-01-02", "weather": "fine"}')
    assert legs.read(path.parent) == Legs("2020-01-02")
    assert legs.damage(path.parent) is None
