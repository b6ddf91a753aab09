"""HiRA: W + W * (B A), elementwise, so that the update can have high rank (Huang et al., ICLR 2025).

There is no alpha, the adapter does nothing at the start, and it wants a higher learning rate than LoRA.
"""

from __future__ import annotations

from typing import Any

from hubkit.methods.parameters import Targets

NAME = "hira"
TITLE = "HiRA"
SUMMARY = (
    "HiRA multiplies each adapted weight elementwise by a trained low-rank matrix and adds the result to it,"
    " so that the update can have a higher rank than the trained matrices."
)
PAPERS = ("hira",)
TAGS = ("hira",)


class Parameters(Targets, frozen=True):
    """Rank and where the adapter sits."""


def peft_config(parameters: Parameters, task_type: str | None) -> Any:
    """PEFT's configuration of this run."""
    from peft import HiraConfig

    return HiraConfig(
        task_type=task_type,
        r=parameters.r,
        hira_dropout=parameters.dropout,
        target_modules=parameters.targets,
        modules_to_save=list(parameters.modules_to_save) or None,
    )


def quantization(parameters: Parameters) -> dict[str, Any] | None:
    """The base stays as it is."""
    return None
