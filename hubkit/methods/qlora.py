"""QLoRA: LoRA on a base held in 4-bit weights (Dettmers et al. 2023, arXiv:2305.14314).

With `init: loftq` A and B begin with the best approximation of what rounding to 4 bits took from the weight
(Li et al. 2023, arXiv:2310.08659, with one step, so that the 4-bit base stays the one that anybody loads).
"""

from __future__ import annotations

from typing import Any, Literal

from hubkit.methods.lora import lora_config
from hubkit.methods.parameters import ComputeType, LowRank, QuantType, four_bits

NAME = "qlora"
TITLE = "QLoRA"
SUMMARY = "QLoRA trains LoRA matrices on a base model whose linear weights are held in 4 bits."
PAPERS = ("lora", "qlora")
TAGS = ("lora", "qlora", "4-bit", "bitsandbytes")


class Parameters(LowRank, frozen=True):
    """LoRA's parameters and how the base is quantised."""

    rslora: bool = False  # scale by alpha / sqrt(r)
    dora: bool = False  # train the length of each row of the weight too
    init: Literal["default", "gaussian", "loftq"] = "default"  # what A and B are at the start
    quant_type: QuantType = "nf4"
    double_quant: bool = True  # quantise the quantisation constants too
    compute_dtype: ComputeType = "bfloat16"

    def __post_init__(self) -> None:
        """Refuse a start that would change the lengths which DoRA takes from the base."""
        LowRank.__post_init__(self)
        if self.init == "loftq" and self.dora:
            raise ValueError("init: loftq is for LoRA without dora")


def peft_config(parameters: Parameters, task_type: str | None) -> Any:
    """PEFT's configuration of this run; LoftQ's start is put in once the adapter is there."""
    return lora_config(
        parameters,
        task_type,
        use_rslora=parameters.rslora,
        use_dora=parameters.dora,
        init_lora_weights="gaussian" if parameters.init == "gaussian" else True,
    )


def quantization(parameters: Parameters) -> dict[str, Any] | None:
    """What BitsAndBytesConfig is given; dtypes by name."""
    return four_bits(parameters.quant_type, parameters.double_quant, parameters.compute_dtype)
