"""The four methods side by side: LoRA, Sparse LoRA, QLoRA and HiRA on one base, one text, the same steps.

    make quickstart                           # fetches base and text
    python benchmarks/compare_methods.py      # trains and measures the four, then prints `hubkit compare`

Rank, modules, batch and seed are the same for all four. HiRA has no alpha and wants a higher learning rate,
which is given to it. What is trained and measured already is not done again. Adapters stay in build/compare.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hubkit import extras, runs, settings, stages
from hubkit.cli.main import run

ROOT = Path(__file__).parent.parent
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj"]
METHODS = {
    "lora": {"r": 8, "alpha": 16},
    "sparse-lora": {"r": 8, "alpha": 16, "sparsity": 0.8},
    "qlora": {"r": 8, "alpha": 16},
    "hira": {"r": 8},
}
LEARNING_RATES = {"hira": 1e-2}  # the others train at that of the settings file


def train_and_measure(name: str, arguments: argparse.Namespace) -> Path:
    """One method, trained and measured; its adapter directory."""
    method = {"name": name, "target_modules": MODULES, **METHODS[name]}
    overrides = [
        f"method={json.dumps(method)}",
        f"output_dir={arguments.output_dir / name}",
        f"training.max_steps={arguments.steps}",
        f"training.block_size={arguments.block_size}",
        f"measuring.max_eval_documents={arguments.eval_documents}",
        f"hub.repo_id={json.dumps(f'local/smollm2-python-help-{name}')}",
    ]
    if name in LEARNING_RATES:
        overrides.append(f"training.learning_rate={LEARNING_RATES[name]}")
    prepared = runs.prepare(*settings.load(arguments.config, overrides))
    stages.train(prepared, say)
    return stages.measure(prepared, say)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--config", type=Path, default=ROOT / "examples" / "quickstart.yaml")
    parser.add_argument("--output-dir", type=Path, default=Path("build/compare"))
    parser.add_argument("--steps", type=int, default=45)
    parser.add_argument("--block-size", type=int, default=256)
    parser.add_argument("--eval-documents", type=int, default=12)
    parser.add_argument("--plot", type=Path, help="Draw the comparison into this PNG.")
    arguments = parser.parse_args()
    extras.require_train()
    directories = []
    for name in METHODS:
        say(f"--- {name}")
        directories.append(str(train_and_measure(name, arguments)))
    return run(["compare", *directories, *(["--plot", str(arguments.plot)] if arguments.plot else [])])


if __name__ == "__main__":
    sys.exit(main())
