"""Parameters that several methods share: where an adapter sits, its rank and its scale."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from hubkit.settings import Positive, Section


class Targets(Section, frozen=True):
    """Which modules are adapted, and at which rank."""

    r: Positive = 8
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    target_modules: str | list[str] | None = (
        None  # names, a pattern, "all-linear"; default: PEFT's for the model
    )
    modules_to_save: list[str] = []  # modules trained whole and saved with the adapter, such as a new head

    @property
    def targets(self) -> str | list[str] | None:
        """The same in the form that PEFT takes."""
        return list(self.target_modules) if isinstance(self.target_modules, list) else self.target_modules


class LowRank(Targets, frozen=True):
    """The parameters of LoRA and its relatives: updates are scaled by alpha / r."""

    alpha: Positive = 16
    bias: Literal["none", "all", "lora_only"] = "none"
