"""The head of a classifier: trained whole, in float32, and saved with the adapter."""

from __future__ import annotations

from typing import Any

from hubkit.models import loading
from hubkit.training.job import Job


def to_save(loaded: loading.Loaded, job: Job) -> tuple[str, ...]:
    """The modules of a classifier's head that are trained whole beside what the settings name.

    All that the base has no weights for, which is more than PEFT saves by itself: BERT's pooler, where the
    base was made for masked language modeling.
    """
    always = tuple(getattr(job.task, "ALWAYS_SAVED", ()))
    if not always:
        return ()
    there = {name.rpartition(".")[2] for name, _ in loaded.model.named_modules()}
    own = tuple(name for name in always if name in there)
    named = (*own, *job.method_parameters.modules_to_save)
    return (*own, *sorted(new for new in loaded.new_modules if not loading.is_within(new, named)))


def said(loaded: loading.Loaded, job: Job) -> str | None:
    """What is trained whole, in words; None where the adapter is all."""
    names = to_save(loaded, job)
    return f"trained whole and saved too: {', '.join(names)}" if names else None


def in_float32(model: Any) -> None:
    """Train what is trained whole in float32, on a base in 16 bits; its inputs are cast.

    Small updates of 16-bit weights would be rounded away. The adapter's matrices are in float32 already.
    """
    import torch
    from peft.utils import ModulesToSaveWrapper

    def cast(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            given.float() if torch.is_tensor(given) and given.is_floating_point() else given
            for given in inputs
        )

    for module in list(model.modules()):
        if isinstance(module, ModulesToSaveWrapper):
            for copy in module.modules_to_save.values():
                copy.float().register_forward_pre_hook(cast)
