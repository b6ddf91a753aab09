"""What a command costs before it does anything: CPU seconds and peak memory of start-up.

    python benchmarks/startup.py                          this Python's hubkit
    python benchmarks/startup.py --python VENV/bin/python another one's, such as a base install without torch

Runs of the commands are interleaved, so that a busy machine is unfair to none of them; the table has medians.
CPU seconds are user and system time of the process. Ends with exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Starts a command and reports what it used. It is a small process itself, because Linux counts the memory of
# a process that starts another one as the other's until exec: a large parent would be measured instead.
LAUNCHER = """
import os, sys
child = os.fork()
if not child:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        os.execv(sys.argv[1], sys.argv[1:])
    finally:
        os._exit(127)
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
LOADS_TORCH = "import sys; from hubkit.cli.main import run; run({}); sys.exit('torch' in sys.modules)"


@dataclass(frozen=True)
class Case:
    """A command to measure, and what it may cost."""

    name: str
    command: list[str]
    most_seconds: float | None = None
    most_megabytes: float | None = None


@dataclass(frozen=True)
class Result:
    """Medians over the runs of a case."""

    seconds: float
    megabytes: float


def write_adapter(directory: Path) -> None:
    """A LoRA adapter of BERT-base's size (1.8 MB, 72 tensors) with a full record."""
    from hubkit import adapter, record

    tensors, position = {}, 0
    for layer in range(12):
        for module in ("query", "key", "value"):
            for matrix, shape in (("lora_A", [8, 768]), ("lora_B", [768, 8])):
                name = f"base_model.model.bert.encoder.layer.{layer}.attention.self.{module}.{matrix}.weight"
                end = position + 4 * shape[0] * shape[1]
                tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [position, end]}
                position = end
    header = json.dumps(tensors).encode()
    weights = struct.pack("<Q", len(header)) + header + os.urandom(position)
    (directory / adapter.WEIGHTS_NAME).write_bytes(weights)
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["query", "key", "value"]}
    (directory / adapter.CONFIG_NAME).write_text(json.dumps(config))
    (directory / record.RECORD_NAME).write_text(json.dumps(plain_record(adapter.read(directory).sha256())))


def plain_record(sha256: str) -> dict[str, object]:
    """A record with measures on these weights and a history of training."""
    machine = {
        "python": "3.11.7",
        "platform": "Linux x86_64",
        "libraries": {"torch": "2.13.0", "peft": "0.21.2"},
    }
    training = {
        "settings_sha256": "0" * 64, "epochs": 3, "steps": 1000, "batch_size": 16, "gradient_accumulation": 1,
        "effective_batch_size": 16, "block_size": 128, "tokens_seen": 2048000, "learning_rate": 3e-4,
        "scheduler": "linear", "warmup_steps": 100, "weight_decay": 0.01, "max_grad_norm": 1,
        "optimizer": "adamw_torch", "seed": 42, "precision": "float32", "seconds": 600,
        "started": "2026-11-24", "environment": machine,
        "history": [{"step": step, "loss": 3 - step / 1000} for step in range(0, 1000, 10)],
    }  # fmt: skip
    perplexity = {
        "adapter_sha256": sha256, "definition": "masked", "value": 5.5, "base_value": 6.5,
        "tokens_scored": 1000, "tokens_total": 9000, "documents": 10, "documents_kept": "packed",
        "context": 128, "stride": 126, "batch_size": 8, "dtype": "float32", "device": "cpu",
        "dataset_sha256": "0" * 64, "dataset_name": "text", "environment": machine,
    }  # fmt: skip
    return {
        "schema_version": 1,
        "repo_id": "ada/bert-lora",
        "task": "masked-lm",
        "method": {"name": "lora", "parameters": {"r": 8}},
        "base_model": {"id": "google-bert/bert-base-uncased", "source": "hub"},
        "training": training,
        "measures": {"perplexity": perplexity},
    }


def cases(python: Path, adapter: Path) -> list[Case]:
    """What is measured: hubkit's commands, and others to compare with."""
    here = python.parent
    found = [
        Case("`python -c pass`", [str(python), "-c", "pass"]),
        Case("`hubkit --help`", [str(here / "hubkit"), "--help"], most_seconds=0.12),
        Case(
            "`hubkit card` with a record",
            [str(here / "hubkit"), "card", "--adapter", str(adapter)],
            most_seconds=0.3,
            most_megabytes=60,
        ),
        Case("`hf --help`", [str(here / "hf"), "--help"]),
    ]
    if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
        found.append(Case('`python -c "import torch"`', [str(python), "-c", "import torch"]))
    return found


def measured(every: list[Case], card: Path, runs: int) -> dict[str, Result]:
    """Run the cases in turn, `runs` times, after one round that fills the caches."""
    seconds: dict[str, list[float]] = {case.name: [] for case in every}
    memory: dict[str, list[float]] = {case.name: [] for case in every}
    for turn in range(runs + 1):
        for case in every:
            card.unlink(missing_ok=True)  # so that it is written each time
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", LAUNCHER, *case.command],
                capture_output=True,
                text=True,
                check=True,
            )
            code, used, kilobytes = done.stdout.split()
            if code != "0":
                sys.exit(f"{' '.join(case.command)} ended with exit code {code}")
            if turn:
                seconds[case.name].append(float(used))
                memory[case.name].append(float(kilobytes) * 1024 / 1e6)
    return {
        name: Result(statistics.median(seconds[name]), statistics.median(memory[name])) for name in seconds
    }


def table(every: list[Case], results: dict[str, Result]) -> str:
    """A Markdown table of the medians."""
    lines = ["| command | CPU seconds | peak memory (MB) | target |", "| --- | ---: | ---: | --- |"]
    for case in every:
        said = [f"{case.most_seconds} s"] if case.most_seconds else []
        said += [f"{case.most_megabytes:.0f} MB"] if case.most_megabytes else []
        result = results[case.name]
        lines.append(
            f"| {case.name} | {result.seconds:.3f} | {result.megabytes:.0f} | {', '.join(said) or '-'} |"
        )
    return "\n".join(lines)


def missed(every: list[Case], results: dict[str, Result]) -> list[str]:
    """The cases that cost more than they may."""
    return [
        case.name
        for case in every
        if results[case.name].seconds > (case.most_seconds or float("inf"))
        or results[case.name].megabytes > (case.most_megabytes or float("inf"))
    ]


def loading_torch(python: Path, adapter: Path) -> list[str]:
    """The commands that load torch though they need not."""
    commands = {"hubkit --help": ["--help"], "hubkit card": ["card", "--adapter", str(adapter)]}
    return [
        f"{name} loads torch"
        for name, arguments in commands.items()
        if subprocess.run([python, "-c", LOADS_TORCH.format(arguments)], capture_output=True).returncode
    ]


def main() -> None:
    """Measure, print the table, and say what is wrong."""
    parser = argparse.ArgumentParser(description="Measure what the start of hubkit costs.")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="whose hubkit is measured")
    parser.add_argument("--runs", type=int, default=11, help="runs of each command (default: 11)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        adapter = Path(scratch)
        write_adapter(adapter)
        every = cases(given.python, adapter)
        results = measured(every, adapter / "README.md", given.runs)
        print(table(every, results))
        wrong = missed(every, results) + loading_torch(given.python, adapter)
    if wrong:
        sys.exit(f"missed: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
