"""QLoRA: LoRA on a base held in 4-bit weights (Dettmers et al. 2023, arXiv:2305.14314)."""

from __future__ import annotations

from typing import Any, Literal

from hubkit.methods.lora import lora_config
from hubkit.methods.parameters import LowRank

NAME = "qlora"
TITLE = "QLoRA"
SUMMARY = "QLoRA trains LoRA matrices on a base model whose linear weights are held in 4 bits."
PAPERS = ("lora", "qlora")
TAGS = ("lora", "qlora", "4-bit", "bitsandbytes")


class Parameters(LowRank, frozen=True):
    """LoRA's parameters and how the base is quantised."""

    quant_type: Literal["nf4", "fp4"] = "nf4"
    double_quant: bool = True  # quantise the quantisation constants too
    compute_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"


def peft_config(parameters: Parameters, task_type: str | None) -> Any:
    """PEFT's configuration of this run."""
    return lora_config(parameters, task_type)


def quantization(parameters: Parameters) -> dict[str, Any] | None:
    """What BitsAndBytesConfig is given; dtypes by name."""
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": parameters.quant_type,
        "bnb_4bit_use_double_quant": parameters.double_quant,
        "bnb_4bit_compute_dtype": parameters.compute_dtype,
    }
