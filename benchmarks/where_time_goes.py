"""Where the time of a perplexity goes, by torch's profiler: self CPU time of its operators, by kind.

    python benchmarks/where_time_goes.py DIRECTORY [--model smollm2] [--dtype float32] [--tokens 4096]

DIRECTORY is that of bench.py. One thread; all that a user waits for after loading. What is no operator of
torch (Python, tokenizing) is the difference to the CPU time of the process. The profiler itself costs some
per cent.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import inputs
from peers import Work, hubkit_itself

KINDS = {  # by a part of the operator's name; the first that fits
    "attention": ("scaled_dot_product", "flash", "softmax", "baddbmm", "bmm"),
    "matrix products": ("addmm", "aten::mm", "linear", "matmul", "mkldnn"),
    "cross-entropy": ("log_softmax", "nll_loss", "cross_entropy", "logsumexp", "gather"),
    "copies": (
        "copy_",
        "aten::to",
        "cat",
        "contiguous",
        "clone",
        "index",
        "empty",
        "transpose",
        "view",
        "slice",
    ),
    "activations, norms, positions": (
        "silu",
        "gelu",
        "mul",
        "add",
        "rsqrt",
        "pow",
        "mean",
        "norm",
        "neg",
        "tanh",
    ),
}


def kind(operator: str) -> str:
    """What an operator is of."""
    for name, parts in KINDS.items():
        if any(part in operator for part in parts):
            return name
    return "other operators"


def profiled(work: Work) -> tuple[dict[str, float], float]:
    """Seconds by kind, and CPU seconds in all."""
    import torch

    torch.set_num_threads(1)
    evaluate = hubkit_itself.prepare(work)
    begun = time.process_time()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        evaluate()
    whole = time.process_time() - begun
    found: dict[str, float] = {}
    rows: Any = profile.key_averages()
    for row in rows:
        found[kind(row.key)] = found.get(kind(row.key), 0.0) + row.self_cpu_time_total / 1e6
    return found, whole


def main() -> None:
    """Profile once and print the kinds, the largest first."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--source", default="topics")
    said = parser.parse_args()
    directory = said.directory.resolve()
    masked = {"task": "masked-lm", "context": 128, "batch": 8} if said.model.startswith("bert") else {}
    text = inputs.text_file(directory, said.model, said.source, said.tokens)
    names = {"base": str(directory / said.model), "adapter": str(directory / f"{said.model}-lora")}
    found, whole = profiled(Work("", **names, text=str(text), dtype=said.dtype, **masked))
    found["Python, tokenizing"] = max(0.0, whole - sum(found.values()))
    print("| kind | share |\n| --- | ---: |")
    for name, seconds in sorted(found.items(), key=lambda pair: -pair[1]):
        print(f"| {name} | {seconds / sum(found.values()):.0%} |")


if __name__ == "__main__":
    main()
