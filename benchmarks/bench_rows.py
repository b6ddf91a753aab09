"""The rows of the benchmark: what is run beside what, and what ratio is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Run:
    """One way to do a group's work; `rounds` is the most that it is repeated."""

    name: str
    peer: str
    options: dict[str, Any] = field(default_factory=dict)
    rounds: int = 3


@dataclass(frozen=True)
class Row:
    """A line of the table: hubkit's run beside a peer's, and the ratio of their times that is aimed at."""

    work: str
    ours: str
    theirs: str
    target: float | None = None
    megabytes: int | None = None  # the most memory that hubkit's run may take


@dataclass(frozen=True)
class Group:
    """Runs over one text with one model, in turns, and the rows that they make; `share` is of the time."""

    name: str
    model: str
    text: str
    options: dict[str, Any]
    runs: list[Run]
    rows: list[Row]
    share: float


BF16 = {"dtype": "bfloat16"}
OURS, OURS_BF16 = "hubkit", "hubkit, bf16"
EVALUATE, ROLLING, TASK = "evaluate", "lm_eval, rolling log-likelihood", "lm_eval, simple_evaluate"
SMOLLM2 = "causal perplexity, SmolLM2-135M + LoRA, 4,096 tokens"
LLAMA = "causal perplexity, Llama of 11M with 32,000 words + LoRA, 4,096 tokens"
STRIDED = "strided perplexity (512 of 1,024), SmolLM2-135M + LoRA, 2,560 tokens"
MASKED = "masked perplexity, BERT-base + LoRA, 32 blocks of 128"

GROUPS = [
    Group(
        "smollm2",
        "smollm2",
        "smollm2-topics-4096.txt",
        {},
        [
            Run(OURS, "hubkit_itself"),
            Run(EVALUATE, "evaluate_metric"),
            Run(ROLLING, "lm_eval_rolling"),
            Run(OURS_BF16, "hubkit_itself", BF16),
            Run(TASK, "lm_eval_task", rounds=2),
            Run(f"{EVALUATE}, bf16", "evaluate_metric", BF16, rounds=2),
            Run(f"{ROLLING}, bf16", "lm_eval_rolling", BF16, rounds=2),
        ],
        [
            Row(f"{SMOLLM2}, fp32", OURS, EVALUATE, 2.4, 1700),
            Row(f"{SMOLLM2}, fp32", OURS, ROLLING, 1.8, 1700),
            Row(f"{SMOLLM2}, fp32", OURS, TASK, 1.8, 1700),
            Row(f"{SMOLLM2}, bf16, peers in fp32", OURS_BF16, EVALUATE, 3.3),
            Row(f"{SMOLLM2}, bf16, peers in fp32", OURS_BF16, ROLLING, 2.3),
            Row(f"{SMOLLM2}, bf16, peers in fp32", OURS_BF16, TASK, 2.3),
            Row(f"{SMOLLM2}, both in bf16", OURS_BF16, f"{EVALUATE}, bf16"),
            Row(f"{SMOLLM2}, both in bf16", OURS_BF16, f"{ROLLING}, bf16"),
        ],
        0.55,
    ),
    Group(
        "llama-11m",
        "llama-11m",
        "llama-11m-sources-4096.txt",
        {},
        [
            Run(OURS, "hubkit_itself"),
            Run(EVALUATE, "evaluate_metric"),
            Run(ROLLING, "lm_eval_rolling"),
            Run(TASK, "lm_eval_task"),
        ],
        [
            Row(f"{LLAMA}, fp32", OURS, EVALUATE, 5.3),
            Row(f"{LLAMA}, fp32", OURS, ROLLING, 3.0),
            Row(f"{LLAMA}, fp32", OURS, TASK, 3.0),
        ],
        0.15,
    ),
    Group(
        "strided",
        "smollm2",
        "smollm2-topics-2560.txt",
        {"stride": 512, **BF16},
        [Run(OURS_BF16, "hubkit_itself"), Run("the documentation's loop, bf16", "documentation_loop")],
        [Row(f"{STRIDED}, both in bf16", OURS_BF16, "the documentation's loop, bf16", 2.4)],
        0.12,
    ),
    Group(
        "bert-base",
        "bert-base",
        "bert-base-topics-4032.txt",
        {"task": "masked-lm", "context": 128, "batch": 8},
        [
            Run(OURS, "hubkit_itself"),
            Run("Trainer.evaluate", "trainer"),
            Run(OURS_BF16, "hubkit_itself", BF16),
            Run("Trainer.evaluate, bf16", "trainer", BF16, rounds=2),
        ],
        [
            Row(f"{MASKED}, fp32", OURS, "Trainer.evaluate", 3.0),
            Row(f"{MASKED}, bf16, peer in fp32", OURS_BF16, "Trainer.evaluate", 4.8),
            Row(f"{MASKED}, both in bf16", OURS_BF16, "Trainer.evaluate, bf16"),
        ],
        0.18,
    ),
]
ROOFLINE = [  # group, run, dtype, least share
    ("smollm2", OURS, "fp32", 0.60),
    ("smollm2", OURS_BF16, "bf16", 0.50),
    ("bert-base", OURS, "fp32", 0.60),
    ("bert-base", OURS_BF16, "bf16", 0.50),
]
AGREEMENT = {
    model: [f"{model}-topics-1500.txt", f"{model}-sources-1500.txt"]
    for model in ("smollm2", "llama-11m", "gpt2-13m")
}
