"""LoRA: W + (alpha / r) * B A, with B and A trained and W frozen (Hu et al. 2021, arXiv:2106.09685).

Its variants: rsLoRA scales by alpha / sqrt(r) (Kalajdzievski 2023, arXiv:2312.03732); DoRA trains the length
of each row of the weight apart from its direction (Liu et al. 2024, arXiv:2402.09353); PiSSA (Meng et al.
2024, arXiv:2404.02948) and OLoRA (Büyükakyüz 2024, arXiv:2406.01775) begin with a part of W, taken out of W.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from hubkit.methods.parameters import LowRank

NAME = "lora"
TITLE = "LoRA"
SUMMARY = "LoRA trains two small matrices beside each adapted weight, and leaves that weight as it is."
PAPERS = ("lora",)
TAGS = ("lora",)

Start = Annotated[
    str,
    Meta(
        pattern=r"^(default|gaussian|pissa|pissa_niter_[1-9][0-9]{0,2}|olora)$",
        description="default, gaussian, pissa, pissa_niter_N (N from 1 to 999) or olora",
        examples=["default", "gaussian", "pissa", "pissa_niter_16", "olora"],
    ),
]


class Parameters(LowRank, frozen=True):
    """Rank, scale, variant and where the adapter sits."""

    rslora: bool = False  # scale by alpha / sqrt(r)
    dora: bool = False  # train the length of each row of the weight too
    init: Start = "default"  # or gaussian, pissa, pissa_niter_N, olora: what A and B are at the start


def peft_config(parameters: Parameters, task_type: str | None) -> Any:
    """PEFT's configuration of this run."""
    return lora_config(
        parameters,
        task_type,
        use_rslora=parameters.rslora,
        use_dora=parameters.dora,
        init_lora_weights=True if parameters.init == "default" else parameters.init,
    )


def changes_base(init: str) -> bool:
    """Whether this start takes a part out of the base's weights."""
    return init.startswith(("pissa", "olora"))


def lora_config(parameters: LowRank, task_type: str | None, **more: Any) -> Any:
    """The LoraConfig that LoRA, Sparse LoRA and QLoRA share."""
    from peft import LoraConfig

    return LoraConfig(
        task_type=task_type,
        lora_alpha=parameters.alpha,
        rank_pattern=dict(parameters.rank_pattern),
        alpha_pattern=dict(parameters.alpha_pattern),
        lora_dropout=parameters.dropout,
        bias=parameters.bias,
        **parameters.places,
        **more,
    )


def quantization(parameters: Parameters) -> dict[str, Any] | None:
    """The base stays as it is."""
    return None
