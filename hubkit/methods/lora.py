"""LoRA: W + (alpha / r) * B A, with B and A trained and W frozen (Hu et al. 2021, arXiv:2106.09685)."""

from __future__ import annotations

from typing import Any

from hubkit.methods.parameters import LowRank

NAME = "lora"
TITLE = "LoRA"
SUMMARY = "LoRA trains two small matrices beside each adapted weight, and leaves that weight as it is."
PAPERS = ("lora",)
TAGS = ("lora",)


class Parameters(LowRank, frozen=True):
    """Rank, scale and where the adapter sits."""

    rslora: bool = False
    dora: bool = False


def peft_config(parameters: Parameters, task_type: str | None) -> Any:
    """PEFT's configuration of this run."""
    return lora_config(parameters, task_type, use_rslora=parameters.rslora, use_dora=parameters.dora)


def lora_config(parameters: LowRank, task_type: str | None, **more: Any) -> Any:
    """The LoraConfig that LoRA, Sparse LoRA and QLoRA share."""
    from peft import LoraConfig

    return LoraConfig(
        task_type=task_type,
        r=parameters.r,
        lora_alpha=parameters.alpha,
        lora_dropout=parameters.dropout,
        target_modules=parameters.targets,
        modules_to_save=list(parameters.modules_to_save) or None,
        bias=parameters.bias,
        **more,
    )


def quantization(parameters: Parameters) -> dict[str, Any] | None:
    """The base stays as it is."""
    return None
