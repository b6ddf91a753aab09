"""Sparse LoRA: LoRA whose A and B hold real zeros, by gradual magnitude pruning.

The schedule is that of Zhu and Gupta 2017 (arXiv:1710.01878): at progress u the sparsity is
s * (1 - (1 - u)^3), and the smallest magnitudes of each tensor are set to zero.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from hubkit.methods.lora import lora_config
from hubkit.methods.parameters import LowRank

NAME = "sparse-lora"
TITLE = "Sparse LoRA"
SUMMARY = (
    "Sparse LoRA is LoRA whose matrices are pruned by magnitude while they train, so that a set share of"
    " their entries is exactly zero. The file is saved dense: stock PEFT loads it, and it is no smaller."
)
PAPERS = ("lora", "gradual-pruning")
TAGS = ("lora", "sparse")


class Parameters(LowRank, frozen=True):
    """LoRA's parameters and the pruning schedule."""

    sparsity: Annotated[float, Meta(gt=0, lt=1)] = 0.5  # share of zeros in each A and B at the end
    prune_start: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # progress at which pruning begins
    prune_end: Annotated[float, Meta(gt=0, le=1)] = 0.7  # progress from which the mask is frozen

    def __post_init__(self) -> None:
        if self.prune_start >= self.prune_end:
            raise ValueError("prune_start must be below prune_end")


def peft_config(parameters: Parameters, task_type: str | None) -> Any:
    """PEFT's configuration of this run: plain LoRA; the zeros come from training."""
    return lora_config(parameters, task_type)


def quantization(parameters: Parameters) -> dict[str, Any] | None:
    """The base stays as it is."""
    return None
