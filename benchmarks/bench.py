"""hubkit beside its peers: the same text scored by each, in turns; time, memory and everyone's answer.

    make bench                                       # all of it, under 20 minutes on 2 cores
    python benchmarks/bench.py DIRECTORY [--quick] [--only GROUP] [--threads N]

DIRECTORY holds models and texts; what is not there is made (inputs.py). Each run is a process of its own, its
evaluation timed after loading, in CPU seconds and in wall time, by default with one thread. A ratio is taken
within a round, in which all run one after the other; the table has the median of the rounds, their least and
their greatest. Writes NAME.md and NAME.json to benchmarks/results/. A target that is missed is no error: the
table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bench_report as report
from bench_rows import AGREEMENT, GROUPS, Group, Run
from peers import Work

HERE = Path(__file__).resolve().parent
Results = dict[str, list[dict[str, Any]]]  # by run, one for each round


def environment(threads: int) -> dict[str, str]:
    """Of a run: no Hub, no progress bars, so many threads."""
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_EVALUATE_OFFLINE": "1",
        "TQDM_DISABLE": "1",
    }
    counted = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **quiet, **counted, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(HERE)}


def once(module: str, argument: str, threads: int) -> Any:
    """What a module of this directory prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", module, argument], env=environment(threads), capture_output=True, text=True
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no word"]
        return {"error": lines[-1][:300]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(group: Group, directory: Path, most: int, seconds: float, threads: int) -> Results:
    """Run a group in turns, as often as its time allows, and once at least."""
    results: Results = {run.name: [] for run in group.runs}
    begun, longest = time.monotonic(), 0.0
    for turn in range(most):
        since = time.monotonic()
        if turn and since - begun + longest > seconds:
            break
        for run in group.runs:
            if turn >= run.rounds:
                continue
            found = once("peers.child", json.dumps(asdict(work_of(group, run, directory))), threads)
            results[run.name].append(found)
            print(f"{group.name}, round {turn + 1}, {run.name}: {told(found)}", file=sys.stderr, flush=True)
        longest = max(longest, time.monotonic() - since)
    return results


def work_of(group: Group, run: Run, directory: Path) -> Work:
    """What a run is handed."""
    names = {"base": group.model, "adapter": f"{group.model}-lora", "text": group.text}
    return Work(
        run.peer,
        **{key: str(directory / name) for key, name in names.items()},
        **{**group.options, **run.options},
    )


def told(found: dict[str, Any]) -> str:
    """A run in a line."""
    if "error" in found:
        return f"failed: {found['error']}"
    return (
        f"{found['cpu']:.1f} CPU s, {found['wall']:.1f} s, {found['perplexity']:.6g}, {found['peak']:.0f} MB"
    )


def write(name: str, report: str, data: dict[str, Any]) -> None:
    """The results as a page and as data, in benchmarks/results."""
    target = HERE / "results"
    target.mkdir(exist_ok=True)
    (target / f"{name}.md").write_text(report, encoding="utf-8")
    (target / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("directory", type=Path, help="models and texts; made if they are not there")
    parser.add_argument("--quick", action="store_true", help="one round of everything")
    parser.add_argument(
        "--only", nargs="+", default=[], help="groups: " + ", ".join(group.name for group in GROUPS)
    )
    parser.add_argument("--minutes", type=float, default=15, help="for the groups together (default: 15)")
    parser.add_argument("--threads", type=int, default=1, help="of each run (default: 1)")
    parser.add_argument(
        "--name", default=datetime.now(UTC).date().isoformat(), help="of the results (default: the date)"
    )
    return parser.parse_args()


def groups(said: argparse.Namespace, directory: Path) -> dict[str, Results]:
    """All groups that were asked for."""
    found = {}
    for group in GROUPS:
        if not said.only or group.name in said.only:
            rounds, seconds = (1 if said.quick else 3), 60 * said.minutes * group.share
            found[group.name] = measured(group, directory, rounds, seconds, said.threads)
    return found


def agreements(directory: Path) -> list[dict[str, Any]]:
    """hubkit's and lm_eval's answers over three models and two texts."""
    found = []
    for model, texts in AGREEMENT.items():
        names = {"base": str(directory / model), "adapter": str(directory / f"{model}-lora")}
        works = [Work("", **names, text=str(directory / text)) for text in texts]
        answers = once("peers.agreement", json.dumps([asdict(work) for work in works]), 1)
        if isinstance(answers, dict):
            print(f"agreement, {model}, failed: {answers['error']}", file=sys.stderr)
            continue
        found += answers
        print(
            *(f"{one['text']}: {one['relative_difference']:.1e} apart" for one in answers),
            sep="\n",
            file=sys.stderr,
        )
    return found


def counting() -> str:
    """What benchmarks/counting.py prints."""
    done = subprocess.run(
        [sys.executable, str(HERE / "counting.py")], env=environment(1), capture_output=True, text=True
    )
    return done.stdout.strip() or (done.stderr.strip().splitlines() or ["counting.py said nothing"])[-1]


def main() -> None:
    """Make what is missing, run, print and write."""
    said, begun = arguments(), time.monotonic()
    directory = said.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, str(HERE / "inputs.py"), str(directory)], env=environment(2), check=True)
    conditions = report.machine(said.threads)
    every = groups(said, directory)
    lines = [
        report.line(every[group.name], row) for group in GROUPS if group.name in every for row in group.rows
    ]
    shares = report.shares(every)
    parts = {
        "Time and memory": report.table(lines),
        "Share of the machine's matrix rate": report.share_table(shares),
    }
    data: dict[str, Any] = {"machine": conditions, "rows": lines, "shares": shares, "runs": every}
    if not said.only:
        data["agreement"] = agreements(directory)
        parts["Answers beside lm_eval's, float32"] = report.agreement_table(data["agreement"])
        parts["Parameters and facts of a base of 110M with its adapter"] = counting()
        data["throughput"] = once("peers.throughput", str(directory / "smollm2"), 1)
        if isinstance(data["throughput"], list):
            parts["Throughput of SmolLM2-135M, float32, one thread"] = report.throughput_table(
                data["throughput"]
            )
    data["minutes"] = round((time.monotonic() - begun) / 60, 1)
    parts = {"Conditions": f"{conditions}. {data['minutes']} minutes in all.", **parts}
    page = "\n\n".join(
        ["# hubkit beside its peers", *(f"## {title}\n\n{text}" for title, text in parts.items())]
    )
    write(said.name, page + "\n", data)
    print(page)


if __name__ == "__main__":
    main()
