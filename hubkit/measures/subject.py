"""What is measured, on what, and how: handed to every measure."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hubkit.adapter import Adapter
from hubkit.models.corpus import Corpus
from hubkit.settings import Base, Measuring


@dataclass(frozen=True)
class Subject:
    """What to measure, on what, and how."""

    adapter: Adapter
    base: Base
    task: ModuleType
    task_parameters: Any
    quantization: dict[str, Any] | None
    settings: Measuring
    context: int  # tokens, where the settings name none
    text: Corpus | None = None  # without it, perplexity is left out
    labels: tuple[str, ...] = ()  # of a classifier, in the order of its head's rows
