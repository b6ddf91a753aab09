"""HiRA: W + W * (B A), elementwise, so that the update can have high rank (Huang et al., ICLR 2025).

There is no alpha, the adapter does nothing at the start, and it wants a higher learning rate than LoRA.
The base may be held in 4 bits; W is then what these stand for. There is no rank pattern: PEFT 0.21 follows
HiRA's on a 4-bit base and passes over it on any other, so that one adapter would not fit both.
"""

from __future__ import annotations

from typing import Any, Literal

from hubkit.methods.parameters import ComputeType, QuantType, Targets, four_bits

NAME = "hira"
TITLE = "HiRA"
SUMMARY = (
    "HiRA multiplies each adapted weight elementwise by a trained low-rank matrix and adds the result to it,"
    " so that the update can have a higher rank than the trained matrices."
)
PAPERS = ("hira",)
TAGS = ("hira",)


class Parameters(Targets, frozen=True):
    """Rank, where the adapter sits, and how the base is held."""

    init: Literal["default", "gaussian"] = "default"  # of A; B begins at zero
    bits: Literal[4] | None = None  # hold the base's linear weights in 4 bits, as QLoRA does
    quant_type: QuantType | None = None  # with bits: 4; default nf4
    double_quant: bool | None = None  # with bits: 4, quantise the quantisation constants too; default true
    compute_dtype: ComputeType | None = None  # with bits: 4; default bfloat16

    def __post_init__(self) -> None:
        """Refuse what says how to hold a base in 4 bits where it is not held so."""
        Targets.__post_init__(self)
        for name in ("quant_type", "double_quant", "compute_dtype"):
            if self.bits is None and getattr(self, name) is not None:
                raise ValueError(f"{name} is for a base in 4 bits; add bits: 4")


def peft_config(parameters: Parameters, task_type: str | None) -> Any:
    """PEFT's configuration of this run."""
    from peft import HiraConfig

    return HiraConfig(
        task_type=task_type,
        hira_dropout=parameters.dropout,
        init_weights=True if parameters.init == "default" else parameters.init,
        **parameters.places,
    )


def quantization(parameters: Parameters) -> dict[str, Any] | None:
    """What BitsAndBytesConfig is given where the base is held in 4 bits; else it stays as it is."""
    if parameters.bits is None:
        return None
    return four_bits(parameters.quant_type, parameters.double_quant, parameters.compute_dtype)
