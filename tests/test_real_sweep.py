"""Sweeps whose runs are real processes: one after another, stopped and gone on with, and on a Ray cluster.

The cluster is Ray's own test cluster: a head and two worker nodes, each a raylet of its own, on the loopback
address. Ray's cluster and its object store take seconds to start, and each run loads torch: minutes in all.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from hubkit import yaml_reading
from hubkit.cli.main import run
from hubkit.sweeping import local, matrix, on_ray
from hubkit.sweeping.matrix import Sweep

pytestmark = [
    pytest.mark.real,
    # Ray's own: sockets and logs of the cluster's processes that it leaves to the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning:ray"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def written(directory: Path, base: Path, *, steps: int = 12, output: str = "out") -> Path:
    """A sweep over two seeds of a tiny model, in a directory; its file."""
    told = tiny.run("causal-lm", base, directory, training__max_steps=steps, training__save_steps=5)
    text = directory / "text.txt"
    plain: dict[str, Any] = {
        "base": {
            "base_model": {"id": tiny.LLAMA_ID, "path": str(base)},
            "task": "causal-lm",
            "method": {"name": "lora", "r": 4, "target_modules": tiny.TARGETS["causal-lm"]},
            "dataset": {"files": [str(text)], "name": "made-up English", "eval_fraction": 0.2},
            "training": {
                "max_steps": told.settings.training.max_steps,
                "batch_size": 2,
                "block_size": 32,
                "learning_rate": 1e-2,
                "precision": "float32",
                "save_steps": 5,
                "threads": 1,
            },
            "measuring": {"throughput": False, "kernels": "plain"},
            "card": {"figures": False},
        },
        "matrix": {"training.seed": [1, 2]},
        "output_dir": str(directory / output),
    }
    path = directory / f"{output}.yaml"
    path.write_text(yaml_reading.dump(plain))
    return path


def weights(sweep: Sweep) -> list[bytes]:
    return [(one.directory / "adapter" / "adapter_model.safetensors").read_bytes() for one in sweep.runs]


def statuses(sweep: Sweep) -> list[local.Status]:
    found = [local.status(one.directory) for one in sweep.runs]
    return [one for one in found if one is not None]


def until(what: Any, seconds: float = 120) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_a_sweep_that_is_stopped_goes_on_to_the_same_weights(
    tmp_path: Path, tiny_llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = written(tmp_path, tiny_llama, steps=60, output="whole")
    assert run(["sweep", str(whole), "--no-probe", "--only-index", "0"]) == 0
    stopped = written(tmp_path, tiny_llama, steps=60, output="stopped")
    sweep = matrix.load(stopped)
    command = [sys.executable, "-m", "hubkit", "sweep", str(stopped), "--no-probe"]
    first = sweep.runs[0].directory
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        until(lambda: list((first / "checkpoints").glob("checkpoint-*")))
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "goes on where it was" in error.splitlines()[-1]
    (status,) = statuses(sweep)
    assert status.state == "stopped"
    assert not (first / "adapter" / "adapter_model.safetensors").exists()
    assert run(["sweep", str(stopped), "--no-probe", "--only-index", "0"]) == 0
    (status,) = statuses(sweep)
    assert (status.state, status.attempts) == ("done", 2)
    there = matrix.load(whole).runs[0].directory
    assert (first / "adapter" / "adapter_model.safetensors").read_bytes() == (
        there / "adapter" / "adapter_model.safetensors"
    ).read_bytes()
    capsys.readouterr()
    # alone, by the command that a failure prints: all is done already
    assert run(["train", str(first / "settings.yaml")]) == 0
    assert "trained already" in capsys.readouterr().err


def test_the_probe_foretells_and_the_array_script_runs_its_task(
    tmp_path: Path, tiny_llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, tiny_llama)
    assert run(["sweep", str(path), "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("probing") == 1
    assert shown.out.count("about") == 3
    assert run(["sweep", str(path), "--print", "slurm"]) == 0
    script = capsys.readouterr().out
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, "-"], input=script, text=True, check=True)
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "1", "PATH": search}
    subprocess.run(["bash", "-c", script], env=environment, check=True, timeout=300)
    sweep = matrix.load(path)
    assert [local.is_done(one) for one in sweep.runs] == [False, True]
    assert not (tmp_path / "out" / "sweep.md").exists()


# --- Ray ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without room for a run, and two nodes with room for one each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    monkeypatch.setenv(on_ray.KEEPS_LOOPBACK, "0")  # before Ray is imported
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    store = {
        "object_store_memory": 80_000_000,
        "include_dashboard": False,
        "node_ip_address": "127.0.0.1",
    }
    started = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **store})
    started.workers = [started.add_node(num_cpus=1, **store) for _ in range(2)]
    started.wait_for_nodes()
    yield started
    started.shutdown()


def test_runs_on_two_nodes_give_the_adapters_of_runs_one_after_another(
    tmp_path: Path, tiny_llama: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = written(tmp_path, tiny_llama, output="here"), written(tmp_path, tiny_llama, output="there")
    assert run(["sweep", str(there), "--no-probe", "--ray", cluster.address]) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    assert "2 machines with room for 2 runs at once" in shown.err
    assert "| LoRA" in shown.out
    nodes = [status.node for status in statuses(matrix.load(there))]
    assert len(set(nodes)) == 2
    assert set(nodes) == {node.node_id for node in cluster.workers}
    assert run(["sweep", str(here), "--no-probe", "-q"]) == 0
    assert weights(matrix.load(here)) == weights(matrix.load(there))


def test_a_run_whose_node_is_lost_goes_on_on_the_other(
    tmp_path: Path, tiny_llama: Path, cluster: Any
) -> None:
    path = written(tmp_path, tiny_llama, steps=150, output="lost")
    sweep = matrix.load(path)
    first = sweep.runs[0]
    command = [sys.executable, "-m", "hubkit", "sweep", str(path), "--no-probe", "--only", first.name]
    with subprocess.Popen([*command, "--ray", cluster.address], stderr=subprocess.PIPE, text=True) as running:
        until(lambda: list((first.directory / "checkpoints").glob("checkpoint-*")))
        (status,) = statuses(sweep)
        lost = next(node for node in cluster.workers if node.node_id == status.node)
        cluster.remove_node(lost, allow_graceful=False)
        _, error = running.communicate(timeout=300)
    assert running.returncode == 0, error
    (status,) = statuses(sweep)
    assert (status.state, status.attempts) == ("done", 2)
    assert status.nodes == [lost.node_id, next(n for n in cluster.workers if n is not lost).node_id]
    assert "going on from" in (first.directory / local.LOG).read_text()


def test_more_than_any_machine_has_is_refused(
    tmp_path: Path, tiny_llama: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, tiny_llama)
    path.write_text(path.read_text() + "resources: {num_gpus: 1}\n")
    assert run(["sweep", str(path), "--no-probe", "--ray", cluster.address]) == 2
    assert "no machine of the cluster has num_cpus: 1 and num_gpus: 1" in capsys.readouterr().err
