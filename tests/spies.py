"""What tests see of a training from within: the model as it is saved, and the Trainer before it runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hubkit.training import saving, trainer


def logits_at_save(monkeypatch: pytest.MonkeyPatch, ids: Any) -> list[Any]:
    """The logits of each model at the end of its training, in eval mode; filled as adapters are saved."""
    seen: list[Any] = []
    save = saving.save

    def spy(model: Any, *rest: Any, **more: Any) -> Any:
        model.eval()
        with torch.no_grad():
            seen.append(model(input_ids=ids).logits)
        return save(model, *rest, **more)

    monkeypatch.setattr(saving, "save", spy)
    return seen


def watched_by(monkeypatch: pytest.MonkeyPatch, callback: Any) -> None:
    """Every Trainer that is made from now on has the callback too."""
    make = trainer.make

    def with_callback(*given: Any) -> Any:
        made = make(*given)
        made.add_callback(callback)
        return made

    monkeypatch.setattr(trainer, "make", with_callback)
