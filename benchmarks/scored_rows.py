"""Perplexity with the head at scored positions alone, and with faster kernels: memory, time, answer.

    python examples/real_inputs.py smollm2 build/smollm2
    python examples/real_inputs.py topics build/topics.jsonl
    python benchmarks/scored_rows.py build/smollm2 build/topics.jsonl

Beside the model's own logits by torch's own kernels. Each run is a process of its own, the ways in turns,
with one thread of torch: 4,096 tokens in windows of 1,024. Exit code 1 when the answers differ by more than
NEAR, relative.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

WAYS = ("the model's own logits", "scored rows", "with faster kernels")
NEAR = {"float32": 1e-6, "bfloat16": 3e-3}  # faster kernels round bfloat16 in other places
TOKENS, CONTEXT, BATCH = 4096, 1024, 4


def one(base: str, text: str, dtype: str, way: str) -> None:
    """Score once, and print perplexity, CPU seconds of scoring, and the process's peak memory in MB."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from hubkit.measures import scored_rows, scoring, windows

    torch.set_num_threads(1)
    if way == WAYS[0]:
        scored_rows.ScoredRows._heads = lambda _: []  # type: ignore[method-assign, assignment]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    tokenizer = AutoTokenizer.from_pretrained(base)
    lines = Path(text).read_text(encoding="utf-8").splitlines()[:200]
    whole = windows.streams(tokenizer, [json.loads(line)["text"] for line in lines], "packed")[0]
    stream = windows.Stream(whole.ids[:TOKENS], whole.documents[:TOKENS])
    cut = windows.causal_windows(stream, windows.prefix_token(tokenizer), CONTEXT, CONTEXT)
    begun = time.process_time()
    found = scoring.score(model, cut, BATCH, len(lines), "auto" if way == WAYS[-1] else "plain")
    spent = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps([found.perplexity, spent, peak]))


def main() -> int:
    """Run the ways in turns and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("base")
    parser.add_argument("text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("DTYPE", "WAY"), help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.one:
        one(said.base, said.text, *said.one)
        return 0
    failed = False
    print("| dtype | way | perplexity | CPU s | peak memory (MB) |\n| --- | --- | ---: | ---: | ---: |")
    for dtype in ("float32", "bfloat16"):
        rows: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for _ in range(said.rounds):
            for way in WAYS:
                command = [sys.executable, __file__, said.base, said.text, "--one", dtype, way]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                rows[way].append(json.loads(output.splitlines()[-1]))
        for way in WAYS:
            value, spent, peak = (statistics.median(column) for column in zip(*rows[way], strict=True))
            print(f"| {dtype} | {way} | {value:.6f} | {spent:.1f} | {peak:,.0f} |", flush=True)
        own, *others = (rows[way][0][0] for way in WAYS)
        failed |= any(abs(other / own - 1) > NEAR[dtype] for other in others)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
