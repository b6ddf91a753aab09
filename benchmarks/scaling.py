"""Cost per token and peak memory of perplexity as the text grows: both are to stay as they are.

    python benchmarks/scaling.py DIRECTORY                              11M Llama, 4,096 to 409,600 tokens
    python benchmarks/scaling.py DIRECTORY --model smollm2 --tokens 4096 16384 40960

DIRECTORY is that of bench.py. Each length is a process of its own, with one thread, in turns, the text the
sources of Python's standard library; time is counted from after loading. Writes scaling-MODEL.md and .json to
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bench
import bench_report
import inputs
from peers import Work

TOKENS = [4096, 16_384, 65_536, 163_840, 409_600]


def measured(directory: Path, said: argparse.Namespace) -> dict[int, list[dict[str, Any]]]:
    """Each length, as often as asked."""
    found: dict[int, list[dict[str, Any]]] = {count: [] for count in said.tokens}
    names = {"base": str(directory / said.model), "adapter": str(directory / f"{said.model}-lora")}
    for _ in range(said.rounds):
        for count in said.tokens:
            text = inputs.text_file(directory, said.model, "sources", count)
            work = Work("hubkit_itself", **names, text=str(text), dtype=said.dtype)
            one = bench.once("peers.child", json.dumps(asdict(work)), 1)
            if "error" in one:
                sys.exit(f"{count:,} tokens failed: {one['error']}")
            found[count].append(one)
            print(f"{count:,} tokens: {bench.told(one)}", file=sys.stderr, flush=True)
    return found


def table(found: dict[int, list[dict[str, Any]]]) -> str:
    """Medians by length, in Markdown."""
    lines = ["| tokens | CPU s | ms a token | peak memory (MB) |", "| ---: | ---: | ---: | ---: |"]
    for count, runs in found.items():
        seconds, peak = (statistics.median(run[key] for run in runs) for key in ("cpu", "peak"))
        lines.append(f"| {count:,} | {seconds:.1f} | {1000 * seconds / count:.3f} | {peak:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("directory", type=Path, help="models, as bench.py makes them")
    parser.add_argument("--model", default="llama-11m")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=1)
    said = parser.parse_args()
    conditions = bench_report.machine(1)
    found = measured(said.directory.resolve(), said)
    page = f"# Scaling, {said.model}, {said.dtype}\n\n{conditions}.\n\n{table(found)}\n"
    bench.write(f"scaling-{said.model}", page, {"machine": conditions, "runs": found})
    print(page)


if __name__ == "__main__":
    main()
