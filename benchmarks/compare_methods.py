"""The four methods side by side: LoRA, Sparse LoRA, QLoRA and HiRA on one base, one text, the same steps.

    make quickstart                           # fetches base and text
    python benchmarks/compare_methods.py      # trains and measures the four, then prints `hubkit compare`
    python benchmarks/compare_methods.py --local-hub build/hub    # publishes them, and a collection

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
COLLECTION = "Four methods on one base, one text and the same steps"
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
        f"hub.repo_id={json.dumps(repo_id(name))}",
    ]
    if name in LEARNING_RATES:
        overrides.append(f"training.learning_rate={LEARNING_RATES[name]}")
    prepared = runs.prepare(*settings.load(arguments.config, overrides))
    stages.train(prepared, say)
    return stages.measure(prepared, say)


def repo_id(name: str) -> str:
    return f"local/smollm2-python-help-{name}"


def publish(directories: dict[str, str], local_hub: Path) -> int:
    """Each adapter in a repo, with a card that sets all four side by side; and a collection of them."""
    for name, directory in directories.items():
        others = [other for other in directories.values() if other != directory]
        compared = [word for other in others for word in ("--compare", other)]
        to = ["--repo-id", repo_id(name)]
        published = [*to, "--local-hub", str(local_hub), "--collection", COLLECTION]
        code = run(["card", "--adapter", directory, *to, *compared])
        code = code or run(["publish", "--adapter", directory, *published])
        if code:
            return code
    return 0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--config", type=Path, default=ROOT / "examples" / "quickstart.yaml")
    parser.add_argument("--output-dir", type=Path, default=Path("build/compare"))
    parser.add_argument("--steps", type=int, default=45)
    parser.add_argument("--block-size", type=int, default=256)
    parser.add_argument("--eval-documents", type=int, default=12)
    parser.add_argument("--local-hub", type=Path, help="Publish the four to a local Hub in this directory.")
    parser.add_argument("--plot", type=Path, help="Draw the comparison into this PNG.")
    arguments = parser.parse_args()
    extras.require_train()
    directories = {}
    for name in METHODS:
        say(f"--- {name}")
        directories[name] = str(train_and_measure(name, arguments))
    plot = ["--plot", str(arguments.plot)] if arguments.plot else []
    code = run(["compare", *directories.values(), *plot])
    return code or (publish(directories, arguments.local_hub) if arguments.local_hub else 0)


if __name__ == "__main__":
    sys.exit(main())
