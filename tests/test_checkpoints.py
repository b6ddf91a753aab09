"""Checkpoints: nothing that is somebody else's is removed, and no stop loses the last whole one."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import tiny
import torch
from safetensors.torch import save_file

from hubkit import adapter, files, record, stages
from hubkit.errors import HubkitError, TrainingError
from hubkit.training import checkpoints, fit, legs, running
from hubkit.training.legs import Legs

SHA = "a" * 64


def whole(folder: Path, step: int) -> Path:
    """A checkpoint that looks whole."""
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    for name in checkpoints.PARTS:
        (made / name).write_text("{}")
    legs.write(made, Legs("2020-01-02"))
    return made


def stamped(folder: Path) -> Path:
    """A folder that training has begun."""
    folder.mkdir()
    (folder / checkpoints.STAMP).write_text(SHA)
    return folder


def found(folder: Path, *, fresh: bool = False) -> Path | None:
    return checkpoints.find(folder, SHA, tiny.quiet, fresh=fresh, must_resume=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_somebody_else_is_refused(fresh: bool, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    whole(folder, 1)
    (folder / "best.pt").write_text("mine")
    with pytest.raises(TrainingError, match="not of hubkit's training") as caught:
        found(folder, fresh=fresh)
    assert "another output_dir" in (caught.value.hint or "")
    checkpoints.drop(folder)
    assert names(folder) == ["best.pt", "checkpoint-1"]


def test_an_empty_folder_and_what_a_stop_left_of_a_stamp_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".{checkpoints.STAMP}.x1").write_text("")
    assert found(tmp_path) is None
    checkpoints.stamp(tmp_path, SHA)
    checkpoints.drop(tmp_path)
    assert not tmp_path.exists()


def test_only_what_training_wrote_is_dropped(tmp_path: Path) -> None:
    folder = stamped(tmp_path / "checkpoints")
    whole(folder, 2)
    (folder / "best.pt").write_text("mine")
    (folder / "checkpoint-best").mkdir()
    checkpoints.drop(folder)
    assert names(folder) == ["best.pt", "checkpoint-best"]


def test_training_leaves_what_lay_beside_its_checkpoints(tiny_llama: Path, tmp_path: Path) -> None:
    folder = stamped_run(tmp_path)
    (folder / "best.pt").write_text("mine")
    stages.train(tiny.run("causal-lm", tiny_llama, tmp_path), tiny.quiet)
    assert names(folder) == ["best.pt"]


def stamped_run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return stamped(tmp_path / "run" / "checkpoints")


@pytest.mark.parametrize("missing", checkpoints.PARTS)
def test_a_checkpoint_that_lacks_a_part_is_removed(missing: str, tmp_path: Path) -> None:
    folder = stamped(tmp_path / "checkpoints")
    good, cut_off = whole(folder, 4), whole(folder, 12)
    (cut_off / missing).unlink()
    assert found(folder) == good
    assert not cut_off.exists()


@pytest.mark.parametrize("part", [checkpoints.STATE, checkpoints.LEGS])
@pytest.mark.parametrize("content", ["", '{"log'])
def test_a_checkpoint_with_a_cut_off_part_is_removed(part: str, content: str, tmp_path: Path) -> None:
    folder = stamped(tmp_path / "checkpoints")
    good, cut_off = whole(folder, 4), whole(folder, 12)
    (cut_off / part).write_text(content)
    assert found(folder) == good
    assert not cut_off.exists()


@pytest.mark.real
def test_a_full_disk_while_saving_leaves_the_checkpoint_before_it(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write_atomically

    def full(path: Path, content: bytes) -> None:
        if path == folder / "checkpoint-3" / checkpoints.LEGS:
            raise HubkitError("cannot write") from OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    folder = tmp_path / "run" / "checkpoints"
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__save_steps=1)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomically", full)
        with pytest.raises(HubkitError, match="cannot write"):
            stages.train(run, tiny.quiet)
    said: list[str] = []
    facts = record.read(stages.train(run, said.append)).training
    assert said[0].endswith("checkpoint-2")
    assert facts is not None
    assert (facts.steps, facts.resumed) == (4, 1)


@pytest.mark.real
def test_the_last_two_checkpoints_are_kept_while_training(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    kept = checkpoints._all
    monkeypatch.setattr(fit, "finish", lambda job: seen.append(sorted(p.name for p in kept(job.checkpoints))))
    stages.train(tiny.run("causal-lm", tiny_llama, tmp_path, training__save_steps=1), tiny.quiet)
    assert seen == [["checkpoint-3", "checkpoint-4"]]


@pytest.mark.real
def test_a_training_whose_record_failed_is_not_trained_further(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise HubkitError("cannot write the record")

    whole_run = tiny.run("causal-lm", tiny_llama, tmp_path, output_dir=str(tmp_path / "whole"))
    expected = stages.train(whole_run, tiny.quiet)
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(record, "write", fail)
        with pytest.raises(HubkitError, match="cannot write the record"):
            stages.train(run, tiny.quiet)
    taken = json.loads((tmp_path / "run/checkpoints/checkpoint-4" / checkpoints.LEGS).read_text())
    (tmp_path / "run/adapter" / adapter.WEIGHTS_NAME).unlink()
    directory = stages.train(run, tiny.quiet)
    for name in (adapter.WEIGHTS_NAME, adapter.CONFIG_NAME):
        assert (directory / name).read_bytes() == (expected / name).read_bytes()
    facts, other = record.read(directory).training, record.read(expected).training
    assert facts is not None
    assert other is not None
    assert (facts.steps, facts.tokens_seen, facts.epochs) == (4, other.tokens_seen, other.epochs)
    assert facts.history == other.history
    assert (facts.resumed, facts.seconds) == (0, round(taken["seconds"], 1))
    assert not (tmp_path / "run/checkpoints").exists()


def test_the_highest_memory_of_all_legs_is_kept_with_its_kind(tmp_path: Path) -> None:
    before = whole(tmp_path, 2)
    told = {"started": "2020-01-02", "seconds": 5.0, "peak_memory_bytes": 2**60, "memory_kind": "before"}
    (before / checkpoints.LEGS).write_text(json.dumps(told))
    clock = checkpoints.Clock(before)
    assert (clock.legs().seconds, clock.legs().resumed) == (5.0, 0)
    clock.on_train_begin(None, Mock(), None)
    assert (clock.legs().peak_memory_bytes, clock.legs().memory_kind) == (2**60, "before")
    (before / checkpoints.LEGS).write_text(json.dumps(told | {"peak_memory_bytes": 1}))
    clock = checkpoints.Clock(before)
    clock.on_train_begin(None, Mock(), None)
    legs = clock.legs()
    assert legs.resumed == 1
    assert (legs.peak_memory_bytes or 0) > 1
    assert legs.memory_kind != "before"


@pytest.mark.real
def test_the_record_says_what_the_peak_memory_is_of(tiny_llama: Path, tmp_path: Path) -> None:
    facts = record.read(stages.train(tiny.run("causal-lm", tiny_llama, tmp_path), tiny.quiet)).training
    assert facts is not None
    assert facts.peak_memory_bytes
    assert "peak" in (facts.memory_kind or "")


def test_a_broken_loss_leaves_the_last_checkpoint_with_finite_weights(tmp_path: Path) -> None:
    folder = stamped(tmp_path / "checkpoints")
    for step, value in ((2, 1.0), (4, float("inf"))):
        save_file({"a": torch.tensor([0.5, value])}, whole(folder, step) / adapter.WEIGHTS_NAME)
    error = running._broken("the loss is", 5, folder)
    assert "not finite at step 5" in error.message
    assert error.message.endswith("checkpoint-2")
    assert names(folder) == ["checkpoint-2", checkpoints.STAMP]
    save_file({"a": torch.tensor([float("nan")])}, folder / "checkpoint-2" / adapter.WEIGHTS_NAME)
    assert "checkpoint" not in running._broken("the loss is", 5, folder).message
    assert not folder.exists()
