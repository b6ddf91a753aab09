"""Zeros of a sparse adapter, counted in its saved file."""

from __future__ import annotations

from hubkit import tensor_names
from hubkit.adapter import Adapter


def is_pruned(name: str) -> bool:
    """Whether a parameter is one that is pruned: LoRA's A and B."""
    return any(part in name for part in (".lora_A.", ".lora_B.", ".lora_embedding_A", ".lora_embedding_B"))


def ranks(adapter: Adapter) -> dict[str, int]:
    """The rank of each module of a LoRA in the saved file, where they differ; else nothing."""
    found = {
        tensor_names.module_of(tensor.name).removeprefix("base_model.model."): tensor.shape[0]
        for tensor in adapter.tensors
        if ".lora_A." in tensor.name or ".lora_embedding_A" in tensor.name
    }
    return found if len(set(found.values())) > 1 else {}


def count_zeros(adapter: Adapter) -> tuple[int, float, dict[str, float]]:
    """Non-zero numbers of a saved adapter, the share of exact zeros in its A and B, and that per module."""
    from safetensors import safe_open

    nonzero = zeros = pruned = 0
    by_module: dict[str, list[int]] = {}
    with safe_open(str(adapter.weights), framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            tensor = file.get_tensor(name)
            filled = int((tensor != 0).sum())
            nonzero += filled
            if not is_pruned(name):
                continue
            pruned += tensor.numel()
            zeros += tensor.numel() - filled
            module = name.partition(".lora_")[0].removeprefix("base_model.model.")
            counts = by_module.setdefault(module, [0, 0])
            counts[0] += tensor.numel() - filled
            counts[1] += tensor.numel()
    shares = {module: zero / total for module, (zero, total) in by_module.items()}
    return nonzero, zeros / pruned if pruned else 0.0, shares
