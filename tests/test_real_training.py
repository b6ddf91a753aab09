"""Training by two processes under torchrun, on tiny models; off by default, as each start takes seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny
from safetensors.torch import load_file, save_file
from test_real_processes import ENVIRONMENT, TORCHRUN

from hubkit import record
from hubkit.cli.main import run as command

pytestmark = pytest.mark.real

LONG = ["--set", "training.max_steps=400", "--set", "training.save_steps=20"]


def written(task: str, base: Path, directory: Path, **changes: Any) -> Path:
    """A settings file of a short run."""
    run = tiny.run(task, base, directory, training__save_steps=2, training__max_steps=6, **changes)
    file = directory / "run.json"
    file.write_bytes(msgspec.json.encode(run.settings))
    return file


def together(config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TORCHRUN, "train", str(config), *more],
        capture_output=True, text=True, timeout=300, env=ENVIRONMENT, check=False,
    )  # fmt: skip


def said(stderr: str) -> list[str]:
    """hubkit's own last lines, without the launcher's."""
    return [line for line in stderr.splitlines() if line.startswith("hubkit: ")]


def trained(directory: Path) -> tuple[record.Training, dict[str, Any]]:
    facts = record.read(directory / "adapter").training
    assert facts
    return facts, load_file(directory / "adapter" / "adapter_model.safetensors")


def without_dropout(base: Path, directory: Path) -> Path:
    """The same model; what is dropped depends on who draws it."""
    shutil.copytree(base, directory)
    config = json.loads((base / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
@pytest.mark.parametrize("kernels", ["auto", "plain"])
def test_two_processes_train_as_one_with_twice_the_batch(
    task: str, kernels: str, tiny_llama: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    base = tiny_llama if task == "causal-lm" else without_dropout(tiny_bert, tmp_path / "bert")
    config = written(task, base, tmp_path, training__kernels=kernels)
    done = together(config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "run" / "adapter")]
    assert done.stderr.splitlines().count("2 processes share every step") == 1
    alone = ["--set", f"output_dir={tmp_path}/one", "--set", "training.batch_size=4", "-q"]
    assert command(["train", str(config), *alone]) == 0
    (two, weights), (one, others) = trained(tmp_path / "run"), trained(tmp_path / "one")
    assert (two.processes, two.batch_size, two.effective_batch_size) == (2, 2, 4)
    assert (one.processes, one.batch_size, one.effective_batch_size) == (None, 4, 4)
    assert (two.steps, two.epochs, two.tokens_seen) == (one.steps, one.epochs, one.tokens_seen)
    losses = [[point.loss for point in facts.history] for facts in (two, one)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(set(losses[0])) == len(losses[0]) == 6
    for name, tensor in weights.items():
        assert (tensor - others[name]).abs().max() < 1e-5, name


def test_what_two_have_trained_one_finds_trained(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written("causal-lm", tiny_llama, tmp_path)
    assert together(config).returncode == 0
    assert command(["train", str(config)]) == 0
    assert "trained already with these settings" in capsys.readouterr().err
    again = together(config)
    assert (again.returncode, again.stdout.splitlines()) == (0, [str(tmp_path / "run" / "adapter")])
    assert again.stderr.count("trained already with these settings") == 1


def started(config: Path) -> subprocess.Popen[str]:
    """A long training, with its first checkpoints written."""
    at_work = subprocess.Popen(
        [*TORCHRUN, "train", str(config), *LONG],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True,
    )  # fmt: skip
    folder = config.parent / "run" / "checkpoints"
    until = time.monotonic() + 120
    while not list(folder.glob("checkpoint-*/hubkit_legs.json")):
        assert at_work.poll() is None
        assert time.monotonic() < until, "no checkpoint"
        time.sleep(0.02)
    return at_work


def workers(launcher: int) -> list[int]:
    """The processes that torchrun started, by number."""
    import psutil

    def rank(process: Any) -> int:
        return int(process.environ().get("RANK", "-1"))

    found = [one for one in psutil.Process(launcher).children(recursive=True) if rank(one) >= 0]
    return [one.pid for one in sorted(found, key=rank)]


def kill_all(at_work: subprocess.Popen[str]) -> None:
    for pid in [at_work.pid, *workers(at_work.pid)]:
        os.kill(pid, signal.SIGKILL)


def kill_the_second(at_work: subprocess.Popen[str]) -> None:
    os.kill(workers(at_work.pid)[1], signal.SIGKILL)


def interrupt(at_work: subprocess.Popen[str]) -> None:
    at_work.send_signal(signal.SIGINT)


@pytest.mark.parametrize("stop", [kill_all, kill_the_second, interrupt])
def test_after_a_stop_two_go_on_to_the_same_adapter(
    stop: Callable[[subprocess.Popen[str]], None], tiny_llama: Path, tmp_path: Path
) -> None:
    config = written("causal-lm", tiny_llama, tmp_path, method__dropout=0.1)
    at_work = started(config)
    stop(at_work)
    rest = at_work.communicate(timeout=120)[1]
    assert at_work.returncode != 0
    if stop is interrupt:
        assert len([line for line in said(rest) if line.startswith("hubkit: stopped at step ")]) == 1, rest
    going_on = together(config, *LONG)
    assert going_on.returncode == 0, going_on.stderr
    assert going_on.stderr.count("going on from ") == 1
    whole = together(config, *LONG, "--set", f"output_dir={tmp_path}/whole")
    assert whole.returncode == 0, whole.stderr
    (resumed, weights), (once, others) = trained(tmp_path / "run"), trained(tmp_path / "whole")
    assert (resumed.resumed, once.resumed) == (1, 0)
    assert [point.loss for point in resumed.history] == [point.loss for point in once.history]
    assert all(bool((tensor == others[name]).all()) for name, tensor in weights.items())


def test_another_number_of_processes_does_not_go_on(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written("causal-lm", tiny_llama, tmp_path)
    at_work = started(config)
    kill_all(at_work)
    at_work.communicate(timeout=60)
    assert command(["train", str(config), *LONG]) == 2
    assert "holds checkpoints of other settings" in capsys.readouterr().err


def said_once(done: subprocess.CompletedProcess[str], line: str, directory: Path) -> None:
    assert done.returncode != 0
    assert len(said(done.stderr)) == 1, done.stderr
    assert line in said(done.stderr)[0]
    assert not (directory / "run" / "adapter").exists()


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("training.optimizer=adamw_none", "is no optimizer of transformers"),
        ("base_model.path=/nowhere", "/nowhere"),
    ],
)
def test_what_is_wrong_is_said_once(more: str, line: str, tiny_llama: Path, tmp_path: Path) -> None:
    done = together(written("causal-lm", tiny_llama, tmp_path), "--set", more)
    said_once(done, line, tmp_path)


def test_a_loss_that_is_no_number_stops_both(tiny_llama: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_llama, tmp_path / "broken")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"].fill_(3e38)
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    done = together(written("causal-lm", base, tmp_path))
    said_once(done, "the loss is not finite at step", tmp_path)


def test_accelerate_launch_on_a_cpu_is_one_process(tiny_llama: Path, tmp_path: Path) -> None:
    """accelerate says nothing of it; the record does."""
    config = written("causal-lm", tiny_llama, tmp_path)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    done = subprocess.run(
        [*launch, "-m", "hubkit", "train", str(config)],
        capture_output=True, text=True, timeout=300, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert trained(tmp_path / "run")[0].processes is None
