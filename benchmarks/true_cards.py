"""Adapters of every PEFT kind on tiny bases, measured by hubkit, each with the card that hubkit writes.

    python benchmarks/true_cards.py FOLDER      makes them in FOLDER/NAME

Four are trained by hubkit (LoRA, Sparse LoRA, QLoRA, HiRA), and so have a training section; the others are
made by stock PEFT. Kinds that hubkit can measure carry perplexity with its intervals, pseudo-perplexity,
throughput at several batch sizes and merged, parameters and sizes.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
AUTHOR = (
    "--license", "apache-2.0", "--language", "en", "--intended-use", "To try cards on.",
    "--author", "Ada Example", "--contact", "https://example.org/ada",
)  # fmt: skip
SETTINGS = """\
base_model: {{id: zoo/llama, path: zoo/llama}}
task: causal-lm
method: {{name: {method}, r: 4, target_modules: [q_proj, v_proj]}}
dataset: {{files: [text.txt], name: Words in any order, license: cc0-1.0}}
output_dir: {method}
training: {{epochs: 1, batch_size: 4, block_size: 32, log_steps: 2, threads: 1}}
measuring:
  context: 32
  speed:
    {{min_seconds: 0, repeats: 3, warmup: 1, sequence_length: 16, new_tokens: 4, batch_sizes: [2, 3]}}
"""
FAST = "min_seconds=0 repeats=3 warmup=1 sequence_length=16 new_tokens=4 batch_sizes=[2,3]".split()
METHODS = ("lora", "sparse-lora", "qlora", "hira")


def make(folder: Path, most: int = 50) -> None:
    """Make them, by way of the working directory, where ids such as `zoo/llama` are directories too."""
    os.chdir(folder)
    (folder / "HOME").mkdir()
    os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=str(folder / "HOME"))
    sys.path.insert(0, str(REPOSITORY / "tests"))
    warnings.simplefilter("ignore")
    import peft_zoo
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for base, (kind, config) in peft_zoo.BASES.items():
        kind(config).save_pretrained(f"zoo/{base}")
        tokenizer = peft_zoo.tokenizer(peft_zoo.WORDS)
        if base == "bert":
            tokenizer.cls_token = tokenizer.sep_token = "<s>"  # what blocks of masked models stand between
        tokenizer.save_pretrained(f"zoo/{base}")
    write_text(peft_zoo.WORDS[5:])
    for method in METHODS:
        Path(f"{method}.yaml").write_text(SETTINGS.format(method=method), encoding="utf-8")
        hubkit("train", f"{method}.yaml", "-q")
        hubkit("measure", f"{method}.yaml", "--adapter", f"{method}/adapter", "-q")
        os.rename(f"{method}/adapter", f"zoo/hubkit-{method}")
    for name in list(peft_zoo.CASES)[: most - len(METHODS)]:
        peft_zoo.adapter(name)
        measured(f"zoo/{name}", peft_zoo.CASES[name][0])
    cards(folder)


def cards(folder: Path) -> None:
    """Write the card of each, and put them side by side in the folder."""
    for directory in sorted(Path("zoo").glob("*")):
        if not (directory / "adapter_config.json").is_file():
            continue
        (directory / "README.md").unlink(missing_ok=True)  # PEFT's own
        hubkit("card", "--adapter", str(directory), "--repo-id", f"ada/{directory.name}", *AUTHOR, "-q")
        os.rename(directory, folder / directory.name)


def write_text(words: list[str]) -> None:
    """Documents of a few words, no two alike."""
    from random import Random

    draw = Random(0)
    documents = [" ".join(draw.choices(words, k=draw.randint(8, 30))) for _ in range(120)]
    Path("text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")


def measured(directory: str, base: str) -> None:
    """Measure an adapter; where hubkit cannot measure its kind, leave it as it is."""
    tasks = {"llama": "causal-lm", "bert": "masked-lm"}
    if base in tasks:
        pseudo = ["--pseudo-perplexity", "--set", "measuring.pseudo_tokens=40"] if base == "bert" else []
        options = [part for setting in FAST for part in ("--set", f"measuring.speed.{setting}")]
        hubkit(
            "measure", "--adapter", directory, "--base-model", f"zoo/{base}", "--base-path", f"zoo/{base}",
            "--task", tasks[base], "--text", "text.txt", "--context", "32", "-q", *options, *pseudo,
            may_fail=True,
        )  # fmt: skip


def hubkit(*arguments: str, may_fail: bool = False) -> None:
    """Run one command of hubkit's in this process."""
    from hubkit.cli.main import run

    code = run(list(arguments))
    if code and not may_fail:
        raise SystemExit(f"hubkit {' '.join(arguments)} ended with {code}")


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    target.mkdir(parents=True)
    make(target)
