"""Parameters and card facts of a base of 110M with its adapter: from headers, and by loading with PEFT.

    python benchmarks/counting.py [--rounds 5]

Needs the extra `train`. A BERT-base of zeros and a LoRA adapter of rank 8 are written into a temporary
directory. Each answer comes from a fresh process: hubkit's reads configurations and headers; the peer's does
what PEFT's users do, AutoModel and PeftModel, and counts. Rounds are interleaved; the table has medians of
wall time and CPU seconds of one thread, and the highest resident memory. Ends with exit code 1 when the
answers differ or hubkit misses a target: 0.15 s and 45 MB for the process, and a sixtieth of PEFT's CPU
seconds.
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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hubkit.counting import families

MOST_SECONDS, MOST_MEGABYTES, LEAST_RATIO = 0.15, 45.0, 60.0
HUBKIT = """
import sys
from pathlib import Path
from hubkit import counting
from hubkit.card import facts
from hubkit.counting import base_files
base, adapter = map(Path, sys.argv[1:])
found = facts.gather(adapter, base_config=base / "config.json")
counted = counting.count(found.adapter, base_files.local(base), found.task, found.sha256)
print(counted.trainable, counted.total)
"""
PEFT = """
import sys
import torch
from peft import PeftModel
from transformers import AutoModelForMaskedLM
torch.set_num_threads(1)
base = AutoModelForMaskedLM.from_pretrained(sys.argv[1])
model = PeftModel.from_pretrained(base, sys.argv[2], is_trainable=True)
print(*model.get_nb_trainable_parameters())
"""
CARD = """
import sys
from hubkit.cli.main import run
base, adapter = sys.argv[1:]
sys.exit(run(["card", "--adapter", adapter, "--base-path", base, "--stdout", "-q", "--no-figures"]))
"""
# Starts a command and reports what it used: a small process, as the memory of a process that starts another
# counts as the other's until exec.
LAUNCHER = """
import os, sys, time
start = time.perf_counter()
child = os.fork()
if not child:
    os.dup2(os.open(os.devnull, os.O_RDWR), 2)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
cost = time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
print("USED", os.waitstatus_to_exitcode(status), *cost)
"""


@dataclass
class Runs:
    """What a process said and used, run by run."""

    said: str = ""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)


def write_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros; the file system need not store them."""
    header, at = {}, 0
    for name, shape in shapes.items():
        length = 4
        for extent in shape:
            length *= extent
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + length]}
        at += length
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def write_inputs(directory: Path) -> tuple[Path, Path]:
    """BERT-base with its masked-LM head, and LoRA of rank 8 on query, key and value."""
    base, adapter = directory / "base", directory / "adapter"
    base.mkdir()
    adapter.mkdir()
    config = {"model_type": "bert", "architectures": ["BertForMaskedLM"]}
    (base / "config.json").write_text(json.dumps(config))
    shapes = families.shapes(config, "AutoModelForMaskedLM", None, None).tensors
    write_tensors(base / "model.safetensors", shapes)
    modules = [
        f"base_model.model.bert.encoder.layer.{layer}.attention.self.{name}"
        for layer in range(12)
        for name in ("key", "query", "value")
    ]
    halves = {"lora_A": (8, 768), "lora_B": (768, 8)}
    matrices = {f"{name}.{half}.weight": shape for name in modules for half, shape in halves.items()}
    write_tensors(adapter / "adapter_model.safetensors", matrices)
    settings = {
        "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["key", "query", "value"],
        "base_model_name_or_path": "google-bert/bert-base-uncased",
        "auto_mapping": {
            "base_model_class": "BertForMaskedLM",
            "parent_library": "transformers.models.bert.modeling_bert",
        },
    }  # fmt: skip
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    return base, adapter


def run(code: str, base: Path, adapter: Path, runs: Runs) -> None:
    """Run a program once in a fresh process. Exits with its status where it fails."""
    command = [sys.executable, "-c", LAUNCHER, sys.executable, "-c", code, str(base), str(adapter)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    said, _, used = done.stdout.rpartition("USED ")
    status, wall, cpu, megabytes = used.split()
    if status != "0":
        raise SystemExit(f"a process ended with {status}: {done.stderr}")
    runs.said = said.strip()
    runs.wall.append(float(wall))
    runs.cpu.append(float(cpu))
    runs.megabytes.append(float(megabytes))


def main() -> int:
    """Measure, print the table, and hold it to the targets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    names = {"hubkit, facts and counts": HUBKIT, "hubkit card, whole command": CARD, "PEFT, loading": PEFT}
    results = {name: Runs() for name in names}
    with tempfile.TemporaryDirectory(prefix="hubkit-counting-") as folder:
        base, adapter = write_inputs(Path(folder))
        for code in names.values():
            run(code, base, adapter, Runs())  # files into the page cache, code compiled
        for _ in range(rounds):
            for name, code in names.items():
                run(code, base, adapter, results[name])
    print(f"{'':28}{'wall s':>9}{'low-high':>16}{'CPU s':>8}{'peak MB':>9}  trainable, total")
    for name, runs in results.items():
        wall = statistics.median(runs.wall)
        spread = f"{min(runs.wall):.3f}-{max(runs.wall):.3f}"
        answer = runs.said if name != "hubkit card, whole command" else "a card"
        cpu, most = statistics.median(runs.cpu), max(runs.megabytes)
        print(f"{name:28}{wall:9.3f}{spread:>16}{cpu:8.3f}{most:9.1f}  {answer}")
    return judged(results["hubkit, facts and counts"], results["PEFT, loading"])


def judged(own: Runs, peer: Runs) -> int:
    """Say whether the targets are reached; 1 where one is not."""
    seconds, cpu = statistics.median(own.wall), statistics.median(own.cpu)
    ratio = statistics.median(peer.cpu) / cpu
    checks = {
        "the answers are the same": own.said == peer.said,
        f"under {MOST_SECONDS} s ({seconds:.3f})": seconds < MOST_SECONDS,
        f"under {MOST_MEGABYTES:.0f} MB ({max(own.megabytes):.1f})": max(own.megabytes) < MOST_MEGABYTES,
        f"PEFT's loading takes {LEAST_RATIO:.0f} times the CPU seconds ({ratio:.0f})": ratio >= LEAST_RATIO,
    }
    for check, holds in checks.items():
        print(f"{'yes' if holds else 'NO '}  {check}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
