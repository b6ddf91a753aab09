"""Training beside the plain Trainer: seconds a step, the same losses, and what the products alone take.

    python benchmarks/training.py build/bench [--quick] [--only bert-base|smollm2]

Two works, LoRA of rank 8: masked language modeling with BERT-base (random weights, 16 blocks of 128 tokens a
step) and causal language modeling with SmolLM2-135M (8 blocks of 128). Each is trained by transformers'
Trainer in float32 and with bf16=True, and by hubkit's with a base in float32 and in bfloat16: the same model,
blocks, hidden tokens, dropout and optimizer. Each run is a process of its own with one thread, in turns; a
step is timed in CPU seconds of the process, the first one left out. The table has the median step of all
rounds. DIRECTORY holds what examples/real_inputs.py fetches; what is missing is fetched.

The ceiling is the time that the matrix products of hubkit's step would take (as torch's flop_registry
counts them) at the fastest rate that a square product reaches on this machine. Writes results/training.md and
results/training.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import HERE, environment
from bench_report import machine

LENGTH = 128
WORKS = {  # blocks a step, modules with an adapter, targets: times as fast in float32 and in bfloat16
    "bert-base": (16, ["query", "key", "value"], (1.7, 3.2)),
    "smollm2": (8, ["q_proj", "k_proj", "v_proj"], (1.5, 2.5)),
}
VARIANTS = {
    "plain": "Trainer, float32",
    "plain-bf16": "Trainer, bf16=True",
    "hubkit": "hubkit, float32",
    "hubkit-bf16": "hubkit, base in bfloat16",
}


def model_of(directory: Path, work: str, dtype: str) -> Any:
    """The model with a fresh adapter, the same for all."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    if work == "bert-base":
        base: Any = BertForMaskedLM(BertConfig()).to(getattr(torch, dtype))
    else:
        base = AutoModelForCausalLM.from_pretrained(directory / work, dtype=getattr(torch, dtype))
    return get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=WORKS[work][1]))


def rows_of(directory: Path, work: str, count: int) -> list[dict[str, Any]]:
    """Blocks with labels, the same for all."""
    from transformers import AutoTokenizer

    from hubkit import tasks

    tokenizer = AutoTokenizer.from_pretrained(directory / ("minilm" if work == "bert-base" else work))
    lines = (directory / "topics.jsonl").read_text(encoding="utf-8").splitlines()
    text = "\n\n".join(json.loads(line)["text"] for line in lines)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    task = tasks.get("masked-lm" if work == "bert-base" else "causal-lm")
    collate = task.collator(tokenizer, task.Parameters())
    rows = []
    for number in range(count):
        block = ids[number * LENGTH : (number + 1) * LENGTH]
        batch = collate([{"input_ids": block, "draw": number}])
        rows.append({name: value[0] for name, value in batch.items()})
    return rows


def child(directory: Path, work: str, variant: str, steps: int) -> dict[str, Any]:
    """Train for so many steps, and one before them."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from hubkit.training.losses import Losses
    from hubkit.training.quick import Quick

    torch.set_num_threads(1)
    ours, batch = variant.startswith("hubkit"), WORKS[work][0]
    model = model_of(directory, work, "bfloat16" if variant == "hubkit-bf16" else "float32")
    rows, times = rows_of(directory, work, batch * (steps + 1)), list[float]()

    class Times(TrainerCallback):
        def on_step_end(self, *given: Any, **named: Any) -> None:
            times.append(time.process_time())

    with tempfile.TemporaryDirectory() as scratch:
        told = TrainingArguments(
            output_dir=scratch, per_device_train_batch_size=batch, max_steps=steps + 1, learning_rate=1e-4,
            logging_steps=1, report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no", seed=0,
            bf16=variant == "plain-bf16", label_names=["labels"],
        )  # fmt: skip
        kind: Any = Quick if ours else Trainer
        trainer = kind(model=model, args=told, train_dataset=rows, callbacks=[Times()])
        begun, way = time.process_time(), "plain"
        if ours:
            losses = Losses(model.train(), "masked" if work == "bert-base" else "causal", "auto", print)
            losses.look({name: torch.stack([row[name] for row in rows[:4]]) for name in rows[0]})
            trainer.losses, way = losses, losses.name
        looked = time.process_time() - begun
        trainer.train()
    taken = [after - before for before, after in itertools.pairwise(times)]
    curve = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return {"steps": taken, "losses": curve, "look": looked, "way": way}


def ceiling(directory: Path, work: str) -> dict[str, Any]:
    """Operations of a step's products, and the machine's rates in GFLOP/s."""
    import roofline
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    from hubkit.training.losses import Losses

    class Counter(TorchDispatchMode):
        """Adds up the operations of products, forward and backward."""

        total = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            if count := flop_registry.get(func._overloadpacket):
                self.total += count(*args, **(kwargs or {}), out_val=found)
            return found

    torch.set_num_threads(1)
    model, batch, some = model_of(directory, work, "float32").train(), WORKS[work][0], 4
    rows = rows_of(directory, work, some)
    given = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    losses = Losses(model, "masked" if work == "bert-base" else "causal", "auto", print)
    losses.kernels = None  # whose products the counter does not know
    losses.look(given)
    counted = {}
    for name, loss_of in (("hubkit", losses.probed), ("plain", lambda batch: model(**batch).loss)):
        with Counter() as counter:
            loss_of(given).backward()
        counted[name] = counter.total * batch / some
    rates = {dtype: roofline.measured(dtype) for dtype in ("float32", "bfloat16")}
    return {"operations": counted, "rates": rates}


def apart(work: str, *given: Any) -> Any:
    """What this script prints in a process of its own."""
    command = [sys.executable, __file__, *map(str, given), "--child", work]
    done = subprocess.run(command, env=environment(1), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(work: str, found: dict[str, Any]) -> str:
    """The table of one work."""
    runs, bound = found["runs"], found["ceiling"]
    step = {name: statistics.median(t for run in of for t in run["steps"]) for name, of in runs.items()}
    plain = runs["plain"][0]["losses"]
    lines = [
        f"### {work}: {WORKS[work][0]} x {LENGTH} tokens a step\n",
        "| | s a step | times as fast | target | ceiling | largest difference in loss | found by |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, title in VARIANTS.items():
        low = name.endswith("bf16")
        target = f"{WORKS[work][2][low]:.1f}" if name.startswith("hubkit") else ""
        least = bound["operations"]["hubkit"] / bound["rates"]["bfloat16" if low else "float32"] / 1e9
        most = f"{step['plain'] / least:.2f}" if target else ""
        off = max(abs(a - b) for a, b in zip(runs[name][0]["losses"], plain, strict=True))
        told = "" if name == "plain" else f"{off:.1e}"
        ratio = f"{step['plain'] / step[name]:.2f}"
        lines.append(
            f"| {title} | {step[name]:.2f} | {ratio} | {target} | {most} | {told} | {runs[name][0]['way']} |"
        )
    operations, rates = bound["operations"], bound["rates"]
    look = statistics.median(run["look"] for run in runs["hubkit"])
    return "\n".join(lines) + (
        f"\n\nProducts of a step: {operations['plain'] / 1e9:,.0f} GFLOP plain,"
        f" {operations['hubkit'] / 1e9:,.0f} by hubkit; a square product runs at"
        f" {rates['float32']:.0f} GFLOP/s in float32 and"
        f" {rates['bfloat16']:.0f} in bfloat16. Looking for the way took {look:.1f} s, once. Losses of"
        f" {len(plain)} steps, from {plain[0]:.3f} to {plain[-1]:.3f}.\n"
    )


def arguments() -> argparse.Namespace:
    """What was said on the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("directory", type=Path, help="models and texts; fetched if they are not there")
    parser.add_argument("variant", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="one round of two steps")
    parser.add_argument("--only", choices=WORKS, help="this work; the other's results are kept")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--child", choices=WORKS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Make what is missing, run in turns, write, and print."""
    said = arguments()
    directory = said.directory.resolve()
    if said.child:
        one = said.variant
        found = (
            ceiling(directory, said.child)
            if one == "ceiling"
            else child(directory, said.child, one, said.steps)
        )
        print(json.dumps(found))
        return
    directory.mkdir(parents=True, exist_ok=True)
    examples = HERE.parent / "examples" / "real_inputs.py"
    for name in ("smollm2", "minilm", "topics"):
        target = directory / (f"{name}.jsonl" if name == "topics" else name)
        subprocess.run([sys.executable, str(examples), name, str(target)], check=True)
    rounds, steps = (1, 2) if said.quick else (2, said.steps)
    file = HERE / "results" / "training.json"
    data = json.loads(file.read_text()) if said.only and file.exists() else {}
    for work in [said.only] if said.only else WORKS:
        runs: dict[str, list[Any]] = {name: [] for name in VARIANTS}
        for _ in range(rounds):
            for name, of in runs.items():
                of.append(apart(work, directory, name, "--steps", steps))
                print(f"{work}, {name}: {min(of[-1]['steps']):.2f} s a step", file=sys.stderr, flush=True)
        data[work] = {"runs": runs, "ceiling": apart(work, directory, "ceiling")}
    tables = "\n".join(table(work, data[work]) for work in WORKS if work in data)
    page = f"# Training\n\n{machine(1)}\n\n{tables}"
    file.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
