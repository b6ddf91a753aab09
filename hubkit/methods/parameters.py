"""Parameters that several methods share: where an adapter sits, its rank, its scale, and a base in 4 bits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from hubkit.settings import NotNegative, Positive, Section

QuantType = Literal["nf4", "fp4"]
ComputeType = Literal["bfloat16", "float16", "float32"]


class Targets(Section, frozen=True):
    """Which modules are adapted, and at which rank."""

    r: Positive = 8
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    target_modules: str | list[str] | None = (
        None  # names, a pattern, "all-linear"; default: PEFT's for the model
    )
    exclude_modules: str | list[str] | None = None  # of those, names or a pattern of what is left alone
    layers_to_transform: list[NotNegative] | None = None  # numbers of the layers, from 0; default: all
    modules_to_save: list[str] = []  # modules trained whole and saved with the adapter, such as a new head

    def __post_init__(self) -> None:
        """Refuse layers for modules that are given by a pattern: PEFT takes either."""
        if self.layers_to_transform is not None and isinstance(self.target_modules, str):
            raise ValueError("layers_to_transform needs target_modules as a list of names")

    @property
    def targets(self) -> str | list[str] | None:
        """`target_modules` in the form that PEFT takes."""
        return _names(self.target_modules)

    @property
    def places(self) -> dict[str, Any]:
        """Where the adapter sits and at which rank, as keywords of PEFT's configurations."""
        return {
            "r": self.r,
            "target_modules": self.targets,
            "exclude_modules": _names(self.exclude_modules),
            "layers_to_transform": list(self.layers_to_transform) if self.layers_to_transform else None,
            "modules_to_save": list(self.modules_to_save) or None,
        }


class LowRank(Targets, frozen=True):
    """The parameters of LoRA and its relatives: updates are scaled by alpha / r."""

    alpha: Positive = 16
    rank_pattern: dict[str, Positive] = {}  # other ranks: the end of a module's name, or a pattern, to a rank
    alpha_pattern: dict[str, Positive] = {}  # other alphas, by module in the same way
    bias: Literal["none", "all", "lora_only"] = "none"


def four_bits(quant_type: str | None, double_quant: bool | None, compute_dtype: str | None) -> dict[str, Any]:
    """What BitsAndBytesConfig is given, dtypes by name; None stands for QLoRA's own choice."""
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": quant_type or "nf4",
        "bnb_4bit_use_double_quant": double_quant is not False,
        "bnb_4bit_compute_dtype": compute_dtype or "bfloat16",
    }


def _names(given: str | list[str] | None) -> str | list[str] | None:
    return list(given) if isinstance(given, list) else given
