"""Time, bytes and memory of a push, beside those of a bare `create_commit` of the same files.

    python benchmarks/publish.py                  50 MB and 200 MB, three runs each, in turn
    python benchmarks/publish.py --sizes 1500     in MB

Each run has a local Hub of its own, as a process (`hubkit serve`), and an empty cache. Memory is the most
that a process held at once (VmHWM of Linux); seconds are those of the whole command, the median of the runs.
Bytes are those of the weights that came to the Hub. What hubkit does more: it looks for numbers that are none
in the weights, holds the card to the audit, and sees afterwards that the Hub holds what was planned.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

import soaking  # noqa: E402
from soaking import MB, WEIGHTS  # noqa: E402


@dataclass
class Run:
    seconds: float
    sent: int
    client: int
    server: int


def push(who: str, way: str, directory: Path, place: Path) -> Run:
    """One push to a Hub that has nothing yet."""
    with soaking.serving(place / "hub", place / "server") as (server, endpoint, token):
        command = soaking.publishing(directory, endpoint, token, "local/a")
        if who == "bare":
            command = soaking.creating_a_commit(directory, endpoint, token, "local/a")
        off = {"HF_HUB_DISABLE_XET": "1"} if way == "LFS" else {}
        ended = soaking.Process(command, soaking.environment(place / "home", **off), place / "client").end()
        if ended.code:
            sys.exit(ended.err)
        peak = soaking.peak_of(server.popen.pid)
    lfs = place / "hub" / "objects" / "lfs"
    by_lfs = sum(path.stat().st_size for path in lfs.glob("??/*"))
    sent = soaking.xet_bytes(place / "hub") if way == "Xet" else by_lfs
    shutil.rmtree(place)
    return Run(ended.seconds, sent, ended.peak, peak)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200], help="of the weights, in MB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where there is room (default: the system's own)")
    options = parser.parse_args()
    print("weights  way  who      seconds  ratio  MB sent  peak of client (least to most)  peak of the Hub")
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        for size in options.sizes:
            directory = soaking.write_adapter(Path(folder) / f"{size}", size * MB)
            for way in ("LFS", "Xet"):
                show(size, way, measure(way, directory, Path(folder), options.runs))
            (directory / WEIGHTS).unlink()


def measure(way: str, directory: Path, folder: Path, count: int) -> dict[str, list[Run]]:
    """Runs of both, in turn, so that what else the machine does falls on both."""
    runs: dict[str, list[Run]] = {"bare": [], "hubkit": []}
    for number in range(count):
        for who, found in runs.items():
            found.append(push(who, way, directory, folder / f"{way}-{who}-{number}"))
    return runs


def show(size: int, way: str, runs: dict[str, list[Run]]) -> None:
    bare = statistics.median(run.seconds for run in runs["bare"])
    for who, found in runs.items():
        seconds = statistics.median(run.seconds for run in found)
        peaks = sorted(run.client / MB for run in found)
        peak = f"{peaks[0]:.0f} to {peaks[-1]:.0f} MB"
        sent, server = found[-1].sent / MB, max(run.server for run in found) / MB
        first = f"{size:4} MB  {way}  {who:6}  {seconds:8.2f}  {seconds / bare:5.2f}"
        print(f"{first}  {sent:7.1f}  {peak:30}  {server:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
