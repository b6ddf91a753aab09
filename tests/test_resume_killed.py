"""Training that is ended by SIGKILL at any moment goes on to the very end of one that nothing ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import killed
import pytest
import tiny
from killed import ended

from hubkit import record, stages

pytestmark = pytest.mark.soak
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"name": "lora", "dropout": 0.1},
    "sparse-lora": {"name": "sparse-lora", "dropout": 0.1},
    "qlora": {"name": "qlora", "dropout": 0.1},
    "hira": {"name": "hira", "dropout": 0.1},
}
TASKS = ["causal-lm", "masked-lm", "text-classification"]


def changes(task: str, method: str, directory: Path, name: str) -> dict[str, Any]:
    """Settings of a run in `name`."""
    told: dict[str, Any] = {
        "method": METHODS[method],
        "training": killed.SETTINGS,
        "output_dir": str(directory / name),
    }
    return told | {"dataset__max_documents": 20 if task == "text-classification" else 8}


def base_of(task: str, request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue("tiny_llama" if task == "causal-lm" else "tiny_bert")
    return path


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", TASKS)
def test_a_killed_training_ends_as_one_that_was_not(
    task: str, method: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base = base_of(task, request)
    whole = killed.run_of(task, base, tmp_path, changes(task, method, tmp_path, "whole"))
    assert killed.train(whole) == 0
    expected = ended(tmp_path / "whole" / "adapter")
    assert [point.step for point in expected[2] if point.eval_loss is not None] == [5, 10, 12]
    for number, moment in enumerate(
        killed.MOMENTS if (task, method) == ("causal-lm", "lora") else killed.FEW
    ):
        name = f"killed-{number}"
        run = killed.run_of(task, base, tmp_path, changes(task, method, tmp_path, name))
        assert killed.train(run, moment) == killed.KILLED, moment
        stages.train(run(), tiny.quiet)
        assert ended(tmp_path / name / "adapter") == expected, moment
        assert not (tmp_path / name / "checkpoints").exists(), moment


def test_what_a_training_found_out_is_kept_through_a_kill(tmp_path: Path, tiny_llama: Path) -> None:
    training = {name: value for name, value in killed.SETTINGS.items() if name != "gradient_accumulation"}
    found_out = {"batch_size": "auto", "effective_batch": 4, "gradient_checkpointing": "auto"}
    ends = []
    for name in ("whole", "killed"):
        told = changes("causal-lm", "lora", tmp_path, name)
        told["training"] = training | found_out | {"documents": "apart"}
        run = killed.run_of("causal-lm", tiny_llama, tmp_path, told)
        if name == "killed":
            assert killed.train(run, ("between steps", 8)) == killed.KILLED
        assert killed.train(run) == 0
        ends.append(ended(tmp_path / name / "adapter"))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("task", TASKS)
def test_killed_again_and_again(task: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    base = base_of(task, request)
    expected = ended(
        stages.train(tiny.run(task, base, tmp_path, **changes(task, "lora", tmp_path, "whole")), tiny.quiet)
    )
    run = killed.run_of(task, base, tmp_path, changes(task, "lora", tmp_path, "killed"))
    for moment in (("between steps", 5), ("in the optimizer's file", 2), ("between steps", 4)):
        assert killed.train(run, moment) == killed.KILLED
    directory = stages.train(run(), tiny.quiet, must_resume=True)
    assert ended(directory) == expected
    facts = record.read(directory).training
    assert facts is not None
    assert facts.resumed == 3
