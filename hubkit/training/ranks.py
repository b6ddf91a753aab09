"""Pruning of whole ranks: a column of B with its row of A, dropped together and left out of the saved file.

The update of a module is s * B A, the sum over its ranks k of s * b_k a_k^T. Two ways to drop ranks:

    strength   the proximal step of the group lasso (Yuan and Lin 2006, equation 2.1, with weight sqrt(p_k)):
               w_k = (b_k, a_k) has p_k = out + in entries, and w_k *= max(0, 1 - lr * lambda * sqrt(p_k) /
               ||w_k||_2): the root mean square of a rank's entries shrinks by lr * lambda
    sparsity   the ranks of smallest update over all modules, by the root mean square of its entries:
               ||s b_k a_k^T||_F / sqrt(out * in) = s ||b_k||_2 ||a_k||_2 / sqrt(out * in). By the norm alone
               small modules would lose all of theirs first, for their size

A rank at zero stays there. No gradient reaches it (b's holds a as a factor, a's holds b), and what an
optimizer would still move by its memory is set back. So what was dropped is read off the weights: both b_k
and a_k are zero, which no start of LoRA makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from hubkit.errors import TrainingError

if TYPE_CHECKING:
    from hubkit.methods.sparse_lora import Parameters


@dataclass(frozen=True)
class Module:
    """A module that LoRA adapts: A of shape (ranks, in, ...), B of shape (out, ranks, ...), and its scale."""

    name: str
    a: Any
    b: Any
    scale: float

    @property
    def groups(self) -> tuple[Any, Any]:
        """Row k of each: the entries that rank k has in A, and in B."""
        return self.a.flatten(1), self.b.transpose(0, 1).flatten(1)

    def alive(self) -> Any:
        """Which ranks are not at zero; shape (ranks,)."""
        a, b = self.groups
        return (a != 0).any(1) | (b != 0).any(1)

    def updates(self) -> Any:
        """The root mean square of the entries of each rank's update, s b_k a_k^T; shape (ranks,)."""
        a, b = self.groups
        size = a.shape[1] * b.shape[1]
        return self.scale * a.norm(dim=1) * b.norm(dim=1) / size**0.5

    def entries(self) -> Any:
        """The root mean square of each rank's entries; shape (ranks,)."""
        a, b = self.groups
        size = a.shape[1] + b.shape[1]
        return ((a.square().sum(1) + b.square().sum(1)) / size).sqrt()

    def shrink(self, by: Any) -> None:
        """Multiply each rank's entries by a number; shape of `by` (ranks,)."""
        self.a.mul_(by.view(-1, *[1] * (self.a.dim() - 1)))
        self.b.mul_(by.view(1, -1, *[1] * (self.b.dim() - 2)))


def modules(model: Any, adapter: str = "default") -> Iterator[Module]:
    """The modules that a PEFT model adapts by LoRA."""
    from peft.tuners.lora import LoraLayer

    for name, layer in model.named_modules():
        if not isinstance(layer, LoraLayer) or adapter not in layer.scaling:
            continue
        if adapter in layer.lora_A:
            a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        else:  # an embedding's are parameters themselves
            a, b = layer.lora_embedding_A[adapter], layer.lora_embedding_B[adapter]
        yield Module(name, a.data, b.data, layer.scaling[adapter])


def group_threshold(module: Module, by: float) -> None:
    """The proximal step of the group lasso: each rank's root mean square shrinks by `by`, at most to zero."""
    norms = module.entries()
    module.shrink((1 - by / norms.clamp(min=1e-38)).clamp(min=0))


def drop_smallest(found: list[Module], dropped: int) -> None:
    """Set ranks to zero until so many are there, over all modules: those of smallest update first.

    Where updates are equal (all are zero while B is), those of smallest entries.
    """
    import torch

    alive = torch.cat([module.alive() for module in found])
    missing = dropped - int((~alive).sum())
    if missing <= 0:
        return
    updates = torch.cat([module.updates() for module in found]).tolist()
    entries = torch.cat([module.entries() for module in found]).tolist()
    living = alive.nonzero().flatten().tolist()
    chosen = sorted(living, key=lambda k: (updates[k], entries[k], k))[:missing]
    kept = torch.ones(len(alive), device=alive.device)
    kept[chosen] = 0
    for module, by in zip(found, kept.split([len(module.a) for module in found]), strict=True):
        module.shrink(by)


class RankPruning(TrainerCallback):
    """Drops ranks after each optimizer step. `target` tells the share of all ranks at a progress."""

    def __init__(self, parameters: Parameters, target: Callable[[float], float] | None = None) -> None:
        self.strength = parameters.strength
        self.target = target
        self.found: list[Module] = []
        self.dead: list[Any] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        """What is at zero now is so after the step."""
        self.found = list(modules(model))
        self.dead = [~module.alive() for module in self.found]

    def on_optimizer_step(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **rest: Any
    ) -> None:
        """Set back what the optimizer moved of dropped ranks, shrink, and drop. Raises TrainingError."""
        import torch

        with torch.no_grad():
            for module, dead in zip(self.found, self.dead, strict=True):
                module.shrink((~dead).to(module.a.dtype))
                if self.strength:
                    group_threshold(module, self.strength * float(optimizer.param_groups[0]["lr"]))
            if self.target:
                count = sum(len(module.a) for module in self.found)
                share = self.target((state.global_step + 1) / state.max_steps)
                drop_smallest(self.found, min(round(share * count), count - 1))
        if not any(bool(module.alive().any()) for module in self.found):
            raise TrainingError(
                f"no rank was left at step {state.global_step + 1}: the penalty took them all",
                "lower method.strength",
            )
