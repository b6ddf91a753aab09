"""One run of one peer in a process of its own: `python -m peers.child WORK`, where WORK is JSON.

Prints one line of JSON: CPU and wall seconds of the evaluation, its answer, and the peak of resident memory
of the process from its start to the end of the evaluation, in MB.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from typing import Any

from peers import Work


def peak_megabytes() -> float:
    """Peak resident memory of this process; Linux counts in KiB, macOS in bytes."""
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    )


def run(work: Work, threads: int) -> dict[str, Any]:
    """Load, evaluate, and say what it cost."""
    import torch

    torch.set_num_threads(threads)
    evaluate = importlib.import_module(f"peers.{work.peer}").prepare(work)
    loading = peak_megabytes()  # hubkit has the system forget it, to know its own
    wall, cpu = time.perf_counter(), time.process_time()
    answer = evaluate()
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    found = {**spent, "perplexity": answer.perplexity, "scored": answer.scored}
    found["peak"] = max(loading, peak_megabytes())
    return {**found, **answer.more, **answer.afterwards()}


if __name__ == "__main__":
    print(json.dumps(run(Work(**json.loads(sys.argv[1])), int(os.environ.get("OMP_NUM_THREADS", "1")))))
