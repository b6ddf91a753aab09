"""What is to be trained, as the rooms of training hand it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hubkit.models import corpus
from hubkit.settings import Training
from hubkit.training import checkpoints


@dataclass(frozen=True)
class Job:
    """What to train: the parts of the settings, checked."""

    training: Training
    task: ModuleType
    task_parameters: Any
    method: ModuleType
    method_parameters: Any
    text: corpus.Corpus
    output_dir: Path
    settings_sha256: str
    watched: bool = False
    say: Callable[[str], None] = print  # to the person who runs it

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go."""
        return self.output_dir / checkpoints.FOLDER
