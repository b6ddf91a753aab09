"""Gradual magnitude pruning of LoRA's A and B while they train.

At progress u the target is s * (1 - (1 - u)^3) between the start and the end of pruning (Zhu and Gupta 2017,
arXiv:1710.01878, equation 1, from zero). The entries of smallest magnitude of each tensor are set to zero
after each optimizer step. From `prune_end` on the set of zeros is frozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from hubkit.measures.sparsity import is_pruned

if TYPE_CHECKING:
    from hubkit.methods.sparse_lora import Parameters


def target_at(progress: float, parameters: Parameters) -> float:
    """The share of zeros that each tensor should have at a progress between 0 and 1."""
    span = parameters.prune_end - parameters.prune_start
    done = min(max((progress - parameters.prune_start) / span, 0.0), 1.0)
    return parameters.sparsity * float(1 - (1 - done) ** 3)


def zeros_for(sparsity: float, numel: int) -> int:
    """How many of `numel` entries are zero at a sparsity."""
    return round(sparsity * numel)


def prune(tensor: Any, zeros: int) -> Any:
    """The mask (1 kept, 0 dropped) that keeps all but exactly `zeros` entries of smallest magnitude."""
    import torch

    mask = torch.ones_like(tensor)
    if zeros:
        smallest = tensor.detach().abs().flatten().topk(zeros, largest=False).indices
        mask.view(-1)[smallest] = 0
    return mask


class GradualPruning(TrainerCallback):
    """Applies the schedule after each optimizer step.

    What is zero is read from the weights themselves, so that training goes on from a checkpoint as it was.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.masks: dict[str, Any] = {}

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        """After a restart: what the checkpoint has at zero was masked."""
        if state.global_step and not self.masks:
            self.masks = {n: (p != 0).to(p.dtype) for n, p in model.named_parameters() if is_pruned(n)}

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        """Set the smallest entries to zero; keep those that are frozen at zero there."""
        import torch

        progress = (state.global_step + 1) / state.max_steps
        # The first step at or past the end prunes to the full target; those after it keep its zeros.
        frozen = state.global_step / state.max_steps >= self.parameters.prune_end
        target = target_at(progress, self.parameters)
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                if not is_pruned(name):
                    continue
                if not frozen or name not in self.masks:
                    self.masks[name] = prune(tensor, zeros_for(target, tensor.numel()))
                tensor.mul_(self.masks[name])
