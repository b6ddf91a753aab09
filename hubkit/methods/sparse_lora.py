"""Sparse LoRA: LoRA that is pruned while it trains, by single entries of A and B or by whole ranks.

magnitude   the smallest entries of each A and B become zero, more of them as training goes on: at progress
            u a share of s * (1 - (1 - u)^3) (Zhu and Gupta 2017, arXiv:1710.01878, equation 1)
l1          after each optimizer step p = sign(p) * max(|p| - lr * lambda, 0): the proximal step of
            lambda * |p| (Parikh and Boyd 2014, section 6.5.2). How many zeros come of it is seen at the end
rank        whole ranks: a column of B with its row of A. Either those of smallest update, on the schedule
            of `magnitude`, or by the proximal step of the group lasso (Yuan and Lin 2006), or both.
            Dropped ranks are not saved
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import force_setattr

from hubkit.methods.lora import lora_config
from hubkit.methods.parameters import LowRank

NAME = "sparse-lora"
TITLE = "Sparse LoRA"
SUMMARY = (
    "Sparse LoRA is LoRA that is pruned while it trains: single entries of its matrices become exactly zero,"
    " or whole ranks are dropped. Stock PEFT loads what is saved."
)
PAPERS = ("lora",)
PAPERS_BY_PRUNING = {"magnitude": ("gradual-pruning",), "l1": ("proximal",), "rank": ("group-lasso",)}
TAGS = ("lora", "sparse")

DEFAULTS: dict[str, dict[str, float]] = {
    "magnitude": {"sparsity": 0.5, "prune_start": 0.0, "prune_end": 0.7},
    "l1": {},
    "rank": {"prune_start": 0.2, "prune_end": 0.7},  # a rank that is dropped early is dropped by chance
}


class Parameters(LowRank, frozen=True):
    """LoRA's parameters and how it is pruned. What a way of pruning does not use is absent."""

    pruning: Literal["magnitude", "l1", "rank"] = "magnitude"
    # magnitude: share of zeros in each A and B at the end (0.5); rank: share of all ranks that is dropped
    sparsity: Annotated[float, Meta(gt=0, lt=1)] | None = None
    # l1, rank: lambda of the proximal step; an Adam step moves an entry by about lr, so below 1
    strength: Annotated[float, Meta(gt=0, le=1000)] | None = None
    prune_start: Annotated[float, Meta(ge=0, lt=1)] | None = None  # progress at which pruning begins (0.0)
    prune_end: Annotated[float, Meta(gt=0, le=1)] | None = None  # progress from which it is at its end (0.7)

    def __post_init__(self) -> None:
        """Fill in the defaults of this way of pruning, and refuse what belongs to another."""
        LowRank.__post_init__(self)
        scheduled = ("sparsity", "prune_start", "prune_end")
        unused = {"magnitude": ("strength",), "l1": scheduled, "rank": ()}[self.pruning]
        for name in unused:
            if getattr(self, name) is not None:
                raise ValueError(f"pruning: {self.pruning} takes no {name}")
        if self.strength is None and (self.pruning == "l1" or (self.pruning == "rank" and not self.sparsity)):
            other = "" if self.pruning == "l1" else ", or sparsity, the share of ranks to drop"
            raise ValueError(f"pruning: {self.pruning} needs strength, the lambda of its penalty{other}")
        if self.pruning == "rank" and not self.sparsity:
            if self.prune_start is not None or self.prune_end is not None:
                raise ValueError("prune_start and prune_end are of the way to a sparsity, which is not given")
            return
        for name, value in DEFAULTS[self.pruning].items():
            if getattr(self, name) is None:
                force_setattr(self, name, value)
        if self.prune_start is not None and self.prune_end is not None and self.prune_start >= self.prune_end:
            raise ValueError("prune_start must be below prune_end")


def peft_config(parameters: Parameters, task_type: str | None) -> Any:
    """PEFT's configuration of this run: plain LoRA; the zeros come from training."""
    return lora_config(parameters, task_type)


def quantization(parameters: Parameters) -> dict[str, Any] | None:
    """The base stays as it is."""
    return None
