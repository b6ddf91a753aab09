"""Claims against the record: results, versions and settings of training, and how the base was quantized."""

from __future__ import annotations

from pathlib import Path

import pytest
from card_cases import CASES

from hubkit.audit import rules, subject

FALSE = {
    "perplexity": ("HK408", "- Perplexity: 16.06"),
    "generation": ("HK408", "- Throughput: 99.9 tokens/s (batch 1, cpu)"),
    "total": ("HK212", "- Total parameters: 134,999,999"),
    "share": ("HK213", "- Trainable parameters: 18,432 of 134,533,440 (0.14%)"),
    "transformers": ("HK411", "- Transformers: 5.22.0"),
    "python": ("HK411", "- Python: 3.12.1"),
    "epochs": ("HK412", "- Epochs: 3"),
    "learning-rate": ("HK412", "- Learning rate: 2e-4"),
    "seed": ("HK412", "- Seed: 43"),
    "batch": ("HK412", "- Batch size: 16"),
    "optimizer": ("HK412", "- Optimizer: SGD"),
    "scheduler": ("HK412", "- LR scheduler: linear"),
    "warm-up": ("HK412", "- Warmup steps: 100"),
    "four-bits": ("HK207", "- Quantization: 4-bit NF4"),
    "released": ("HK410", "- PyTorch: 2.x"),
}
TRUE = {
    "perplexity": "- Test perplexity: 15.06",
    "perplexity-rounded": "- Test perplexity: 15.1",
    "perplexity-of-base": "- Base perplexity: 35.42 on the test split",
    "perplexity-on-other-text": "- Perplexity: 88.1 on another corpus",
    "generation": "- Throughput: 21.4 tokens/s (batch 1, cpu)",
    "total": "- Total parameters: 134.5M",
    "share": "- Trainable parameters: 18,432 of 134,533,440 (0.014%)",
    "transformers": "- Transformers: 5.23.0",
    "transformers-short": "- Transformers: 5.23",
    "torch-build": "- PyTorch: 2.13.0+cpu",
    "epochs": "- Epochs: 2.0",
    "learning-rate": "- Learning rate: 0.0003",
    "learning-rate-scientific": "- Learning rate: 3e-4 (peak)",
    "optimizer": "- Optimizer: AdamW (torch)",
    "scheduler": "- LR scheduler: cosine with warmup",
    "unquantized": "- Quantization: none",
    "gguf": "- GGUF quantization: 4-bit",
}
MEASURED = {
    "bits": "- Bits per byte: 0.9838",
    "byte-perplexity": "- Byte perplexity: 1.90",
    "word-perplexity": "- Word perplexity: 67.9",
    "in-a-table": "| | Base alone | With this adapter |\n| - | - | - |\n| Perplexity | 35.42 | 16.06 |",
    "speed": "- Throughput: 400 tokens/s (batch 32, cpu)",
}
TRULY = {
    "bits": "- Bits per byte: 0.964",
    "byte-perplexity": "- Byte perplexity: 1.95",
    "word-perplexity": "- Word perplexity: 252.35 for the base",
    "in-a-table": "| | Base alone | With this adapter |\n| - | - | - |\n| Perplexity | 35.42 | 15.06 |",
    "merged": "- Throughput: 25.3 tokens/s (merged, batch 1, cpu)",
    "batch": "- Throughput: 302 tokens/s (batch 32, cpu)",
}
FALSE_IN_4_BITS = ["8-bit", "4-bit FP4", "none", "4-bit NF4, compute dtype float16"]
TRUE_IN_4_BITS = [
    "4-bit",
    "NF4",
    "4-bit NormalFloat (NF4)",
    "bitsandbytes",
    "4-bit NF4, compute dtype bfloat16",
]


def codes(directory: Path, card: str) -> set[str]:
    (directory / "README.md").write_text(card)
    return {f.code for f in rules.findings(subject.load(directory / "README.md")) if f.code[2] in "234"}


@pytest.mark.parametrize("case", FALSE)
def test_what_the_record_denies_is_found(case: str, tmp_path: Path) -> None:
    code, text = FALSE[case]
    directory = CASES["causal-lora"](tmp_path / "adapter")
    assert code in codes(directory, f"# Notes\n\n## Training and tests\n\n{text}\n")


@pytest.mark.parametrize("case", TRUE)
def test_what_the_record_says_is_left_alone(case: str, tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    assert codes(directory, f"# Notes\n\n## Training and tests\n\n{TRUE[case]}\n") <= {"HK311"}


@pytest.mark.parametrize("case", MEASURED)
def test_all_that_was_measured_is_known(case: str, tmp_path: Path) -> None:
    directory = CASES["causal-measured"](tmp_path / "adapter")
    assert "HK408" in codes(directory, f"# Notes\n\n## Results on the test set\n\n{MEASURED[case]}\n")


@pytest.mark.parametrize("case", TRULY)
def test_all_that_was_measured_may_be_said(case: str, tmp_path: Path) -> None:
    directory = CASES["causal-measured"](tmp_path / "adapter")
    assert codes(directory, f"# Notes\n\n## Results on the test set\n\n{TRULY[case]}\n") <= {"HK311"}


def test_pseudo_perplexity_is_told_from_perplexity(tmp_path: Path) -> None:
    directory = CASES["masked-measured"](tmp_path / "adapter")
    head = "# Notes\n\n## Results on the test set\n\n"
    assert "HK408" in codes(directory, f"{head}- Pseudo-perplexity: 6.207\n")
    assert "HK408" not in codes(directory, f"{head}- Pseudo-perplexity: 4.90\n- Perplexity: 6.21\n")


@pytest.mark.parametrize("said", FALSE_IN_4_BITS)
def test_4_bits_that_were_others(said: str, tmp_path: Path) -> None:
    directory = CASES["masked-qlora"](tmp_path / "adapter")
    assert "HK207" in codes(directory, f"# Notes\n\n## Training\n\n- Quantization: {said}\n")


@pytest.mark.parametrize("said", TRUE_IN_4_BITS)
def test_4_bits_as_they_were(said: str, tmp_path: Path) -> None:
    directory = CASES["masked-qlora"](tmp_path / "adapter")
    assert codes(directory, f"# Notes\n\n## Training\n\n- Quantization: {said}\n") <= {"HK311"}


def test_a_record_of_other_weights_denies_nothing(tmp_path: Path) -> None:
    """Its numbers are of another adapter: what it says is no truth about this one."""
    directory = CASES["causal-lora"](tmp_path / "adapter")
    path = directory / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert not codes(directory, "# Notes\n\n## Training\n\n- Epochs: 3\n- Perplexity: 16.06 (test)\n") & {
        "HK408",
        "HK412",
    }
