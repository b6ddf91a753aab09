"""Pruning of LoRA's single entries while they train: gradually by magnitude, or by a proximal step.

What is at zero because it was pruned is written beside each checkpoint and is never read off the weights: B
begins at zero, and an entry may come to zero by itself.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from hubkit import adapter, files, zeros
from hubkit.measures.sparsity import count_zeros, is_pruned
from hubkit.training.ranks import RankPruning

if TYPE_CHECKING:
    from hubkit.methods.sparse_lora import Parameters
    from hubkit.record import Training
    from hubkit.training.job import Job

MASKS = "pruned.safetensors"  # in a checkpoint: true where an entry was pruned for good


def target_at(progress: float, parameters: Parameters) -> float:
    """The share that is pruned at a progress between 0 and 1: s * (1 - (1 - u)^3).

    u runs from 0 at `prune_start` to 1 at `prune_end` (Zhu and Gupta 2017, arXiv:1710.01878, equation 1, from
    zero).
    """
    start, end, sparsity = (
        parameters.prune_start or 0.0,
        parameters.prune_end or 1.0,
        parameters.sparsity or 0.0,
    )
    done = min(max((progress - start) / (end - start), 0.0), 1.0)
    return sparsity * float(1 - (1 - done) ** 3)


def zeros_for(sparsity: float, numel: int) -> int:
    """How many of `numel` entries are zero at a sparsity."""
    return round(sparsity * numel)


def smallest(tensor: Any, count: int) -> Any:
    """A mask of the tensor's shape, true for exactly `count` entries of smallest magnitude.

    Of equal ones the first, in the order of memory, so that the same tensor has the same mask anywhere.
    """
    import torch

    magnitude = tensor.detach().abs().flatten()
    if count == 0:
        return torch.zeros_like(tensor, dtype=torch.bool)
    bound = magnitude.kthvalue(count).values
    mask = magnitude < bound
    equal = (magnitude == bound).nonzero().flatten()
    mask[equal[: count - int(mask.sum())]] = True
    return mask.view(tensor.shape)


def soft_threshold(tensor: Any, by: float) -> Any:
    """sign(p) * max(|p| - by, 0), entry for entry: the proximal step of an l1 penalty.

    (Parikh and Boyd 2014, Proximal Algorithms, section 6.5.2.)
    """
    return tensor.sign() * (tensor.abs() - by).clamp(min=0)


def pruning(job: Job) -> list[TrainerCallback]:
    """What prunes after each optimizer step, where the method does."""
    return [pruner(job.method_parameters)] if job.method.NAME == "sparse-lora" else []


def drops_ranks(job: Job) -> bool:
    """Whether training drops whole ranks."""
    return job.method.NAME == "sparse-lora" and job.method_parameters.pruning == "rank"


def left(parameters: Parameters, adapter_dir: Path, run: Training) -> str:
    """What pruning left in the saved file, in a line; where that is next to nothing, what to raise."""
    if parameters.pruning == "rank" and run.ranks:
        told = f"pruning kept {run.ranks.kept:,} of {run.ranks.trained:,} ranks"
        if run.ranks.kept < run.ranks.trained:
            return told
    else:
        share = count_zeros(adapter.read(adapter_dir))[1]
        told = f"pruning left {100 * share:.3g}% of A and B at zero"
        if zeros.is_sparse(share, run):
            return told
    name = "method.sparsity" if parameters.strength is None else "method.strength"
    return f"{told}, so that the card calls it no sparse adapter; raise {name}, or train longer"


def pruner(parameters: Parameters) -> TrainerCallback:
    """What prunes so after each optimizer step."""
    if parameters.pruning == "magnitude":
        return GradualPruning(parameters)
    if parameters.pruning == "l1":
        return SoftThreshold(parameters)
    return RankPruning(parameters, partial(target_at, parameters=parameters) if parameters.sparsity else None)


def _pruned(model: Any) -> dict[str, Any]:
    return {name: tensor for name, tensor in model.named_parameters() if is_pruned(name)}


class GradualPruning(TrainerCallback):
    """Sets the smallest entries of each tensor to zero, exactly as many as the schedule says.

    An entry that was pruned may come back while pruning goes on. From the first step at or past `prune_end`
    the set of zeros stays as it is.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.masks: dict[str, Any] = {}  # true where pruned

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Go on with the zeros of the checkpoint."""
        from safetensors.torch import load_file

        path = _masks_of(args, state)
        self.masks = load_file(path) if state.global_step and path.is_file() else {}

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Write the zeros into the checkpoint, before its last file says that it is whole."""
        from safetensors.torch import save

        if args.should_save and self.masks:
            files.write_atomically(_masks_of(args, state), save(self.masks))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        """Prune to what the schedule says after this step; once it is at its end, keep the zeros."""
        import torch

        # The first step at or past the end prunes to the full target; those after it keep its zeros.
        frozen = state.global_step / state.max_steps >= (self.parameters.prune_end or 0)
        target = target_at((state.global_step + 1) / state.max_steps, self.parameters)
        with torch.no_grad():
            for name, tensor in _pruned(model).items():
                mask = self.masks.get(name) if frozen else None
                if mask is None:
                    mask = smallest(tensor, zeros_for(target, tensor.numel()))
                self.masks[name] = mask.to(tensor.device)
                tensor.masked_fill_(self.masks[name], 0)


def _masks_of(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}" / MASKS


def learning_rates(optimizer: Any) -> dict[int, float]:
    """The rate that the optimizer's last step took, by the id of each parameter."""
    return {id(p): float(group["lr"]) for group in optimizer.param_groups for p in group["params"]}


class SoftThreshold(TrainerCallback):
    """The proximal step of an l1 penalty after each optimizer step, by its learning rate times `strength`.

    Nothing is held at zero: what the next gradients move far enough comes back.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.strength = parameters.strength or 0.0

    def on_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **rest: Any
    ) -> None:
        """Move every entry towards zero, and not past it."""
        import torch

        rates = learning_rates(optimizer)
        with torch.no_grad():
            for tensor in _pruned(model).values():
                tensor.copy_(soft_threshold(tensor, rates[id(tensor)] * self.strength))
