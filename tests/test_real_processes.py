"""The whole command under torchrun, on tiny models; off by default, as each start takes seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny

from hubkit import record, stages
from hubkit.cli.main import run as command

pytestmark = pytest.mark.real

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "hubkit"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TORCHRUN, *arguments], capture_output=True, text=True, timeout=300, env=ENVIRONMENT, check=False
    )


def trained(task: str, base: Path, directory: Path) -> list[str]:
    """An adapter without a record, and the options that measure it."""
    made = stages.train(tiny.run(task, base, directory, training__max_steps=2), tiny.quiet)
    (made / record.RECORD_NAME).unlink()
    options = ["--base-model", tiny.LLAMA_ID if task == "causal-lm" else tiny.BERT_ID]
    options += ["--base-path", str(base), "--task", task, "--text", str(directory / "text.txt")]
    timed = "{warmup: 0, repeats: 3, min_seconds: 0, sequence_length: 8, new_tokens: 4}"
    options += ["--context", "32", "--documents", "apart", "--set", f"measuring.speed={timed}"]
    return ["measure", "--adapter", str(made), *options]


def perplexity(directory: Path) -> Any:
    found = record.read(directory).measures
    assert found.throughput
    return found.perplexity


@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
def test_two_processes_write_the_record_of_one(
    task: str, tiny_llama: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    line = trained(task, tiny_llama if task == "causal-lm" else tiny_bert, tmp_path)
    assert command([*line, "-q"]) == 0
    alone = perplexity(tmp_path / "run" / "adapter")
    done = torchrun(*line, "--again")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "run" / "adapter" / record.RECORD_NAME)]
    said = done.stderr.splitlines()
    for once in ("2 processes share the documents", "measuring perplexity with the adapter"):
        assert said.count(once) == 1
    shared = perplexity(tmp_path / "run" / "adapter")
    assert (alone.processes, shared.processes) == (None, 2)
    for name in ("value", "base_value", "nll_sum", "base_nll_sum"):
        assert getattr(shared, name) == pytest.approx(getattr(alone, name), rel=1e-6)
    for name in ("tokens_scored", "tokens_total", "tokens_sha256", "documents", "dataset_sha256"):
        assert getattr(shared, name) == getattr(alone, name)
    for name in ("interval", "change_interval"):
        mine, one = getattr(shared, name), getattr(alone, name)
        assert (mine.low, mine.high) == pytest.approx((one.low, one.high), rel=1e-6, abs=1e-6)
    held = torchrun("measure", "--adapter", str(tmp_path / "run" / "adapter"), *line[3:], "--again", "--json")
    assert held.stdout.count('"perplexity": {') == 1


def test_an_error_is_said_once_and_ends_all(tmp_path: Path) -> None:
    done = torchrun("measure", "--adapter", str(tmp_path / "none"))
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("hubkit: ")]
    assert said == [
        f"hubkit: there is no directory {tmp_path / 'none'}. Next: give the directory that holds"
        " adapter_config.json"
    ]
    reasons = [line for line in done.stderr.splitlines() if line.strip().startswith("traceback :")]
    assert any(said[0] in line for line in reasons)  # the launcher's summary ends with it
    assert "exitcode  : 2" in done.stderr


def test_publishing_is_refused_once(tmp_path: Path) -> None:
    done = torchrun("publish", "--adapter", str(tmp_path))
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("hubkit: ")]
    assert len(said) == 1
    assert "runs in one process" in said[0]


def test_a_signal_ends_all_processes(tiny_llama: Path, tmp_path: Path) -> None:
    line = trained("causal-lm", tiny_llama, tmp_path)
    at_work = subprocess.Popen(
        [*TORCHRUN, *line, "--set", "measuring.speed.min_seconds=600"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True,
    )  # fmt: skip
    assert at_work.stderr
    said = ""
    while "measuring throughput" not in said:
        said = at_work.stderr.readline()
        assert said, "it ended before"
    os.killpg(at_work.pid, signal.SIGINT)
    rest = at_work.communicate(timeout=60)[1]
    assert rest.splitlines().count("hubkit: interrupted") == 1
    assert at_work.returncode != 0
    until = time.monotonic() + 20
    while time.monotonic() < until and _is_alive(at_work.pid):
        time.sleep(0.1)
    assert not _is_alive(at_work.pid)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
