"""hubkit beside its peers: the same text scored by each, in turns; time, memory and everyone's answer.

    make bench                                       # all of it, under 20 minutes on 2 cores
    python benchmarks/bench.py DIRECTORY [--quick] [--only PART...] [--threads N]

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
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
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
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **quiet, **counted, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": path}


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


def agreements(directory: Path) -> list[dict[str, Any]]:
    """hubkit's and lm_eval's answers over three models and two texts."""
    found = []
    for model, texts in AGREEMENT.items():
        names = {"base": str(directory / model), "adapter": str(directory / f"{model}-lora")}
        works = [Work("", **names, text=str(directory / text)) for text in texts]
        answers = once("peers.agreement", json.dumps([asdict(work) for work in works]), 1)
        if isinstance(answers, dict):
            answers = [{"text": model, **answers}]
        found += answers
        for one in answers:
            print(f"agreement, {one['text']}: {report.apart(one)}", file=sys.stderr, flush=True)
    return found


def counting(directory: Path) -> str:
    """What benchmarks/counting.py prints."""
    command = [sys.executable, str(HERE / "counting.py")]
    done = subprocess.run(command, env=environment(1), capture_output=True, text=True)
    said = done.stdout.strip() or (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return f"```text\n{said}\n```"


def throughput(directory: Path) -> Any:
    """SmolLM2's speed by hubkit and by optimum-benchmark."""
    return once("peers.throughput", str(directory / "smollm2"), 1)


OTHERS = {"agreement": agreements, "counting": counting, "throughput": throughput}


def write(name: str, page: str, data: dict[str, Any]) -> None:
    """The results as a page and as data, in benchmarks/results."""
    target = HERE / "results"
    target.mkdir(exist_ok=True)
    (target / f"{name}.md").write_text(page, encoding="utf-8")
    (target / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def known(said: argparse.Namespace) -> dict[str, Any]:
    """What a run of parts adds to: the results of the same name. A run of everything begins anew."""
    file = HERE / "results" / f"{said.name}.json"
    if said.only and file.exists():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    return {"groups": {}, "minutes": {}}


def arguments() -> argparse.Namespace:
    """What was said on the command line."""
    names = [*(group.name for group in GROUPS), *OTHERS]
    today = datetime.now(UTC).date().isoformat()
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("directory", type=Path, help="models and texts; made if they are not there")
    parser.add_argument("--quick", action="store_true", help="one round of everything")
    parser.add_argument("--only", nargs="+", choices=names, default=[], help="these parts; others are kept")
    parser.add_argument("--minutes", type=float, default=14, help="for rounds after the first (default: 14)")
    parser.add_argument("--threads", type=int, default=1, help="of each run (default: 1)")
    parser.add_argument("--name", default=today, help="of the results (default: the date)")
    return parser.parse_args()


def main() -> None:
    """Make what is missing, run part by part, write after each, and print."""
    said = arguments()
    directory = said.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(HERE / "inputs.py"), str(directory)]
    subprocess.run(command, env=environment(2), check=True)
    data = known(said) | {"machine": report.machine(said.threads)}

    def part(name: str, run: Callable[[], Any], into: dict[str, Any]) -> None:
        if said.only and name not in said.only:
            return
        begun, load = time.monotonic(), os.getloadavg()[0]
        into[name] = run()
        data["minutes"][name] = round((time.monotonic() - begun) / 60, 1)
        data.setdefault("load", {})[name] = round(load, 1)
        write(said.name, report.page(data), data)

    for group in GROUPS:
        rounds, seconds = (1 if said.quick else 3), 60 * said.minutes * group.share
        part(group.name, partial(measured, group, directory, rounds, seconds, said.threads), data["groups"])
    for name, run in OTHERS.items():
        part(name, partial(run, directory), data)
    print(report.page(data))


if __name__ == "__main__":
    main()
