"""Leaves the ranks that were dropped out of a saved LoRA: it is smaller, and computes the same in stock PEFT.

r, rank_pattern         of each module what it kept; r is the most that any kept
alpha_pattern           so that alpha / r of each module, or alpha / sqrt(r), stays what it was in training
exclude_modules         modules that kept no rank: PEFT knows no r below 1
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hubkit import adapter as adapters
from hubkit import files, tensor_names
from hubkit.record import Ranks

PREFIX = "base_model.model."


def leave_out(directory: Path) -> Ranks:
    """Rewrite the weights and the configuration of a saved LoRA without ranks whose A and B are all zero.

    Returns how many ranks there were and are. One is left at least: training ends where the last one goes.
    """
    from safetensors.torch import load_file, save

    config = adapters.read_config(directory / adapters.CONFIG_NAME)
    tensors = load_file(directory / adapters.WEIGHTS_NAME)
    smaller, kept, ranks = without_dropped(tensors, may_lose_all=config.get("bias", "none") == "none")
    told = described(config, kept, ranks)
    files.write_atomically(directory / adapters.WEIGHTS_NAME, save(smaller, {"format": "pt"}))
    text = json.dumps(told, indent=2, sort_keys=True) + "\n"
    files.write_atomically(directory / adapters.CONFIG_NAME, text.encode())
    left = sum(not rank for rank in kept.values())
    return Ranks(
        trained=sum(ranks.values()), kept=sum(kept.values()), modules=len(kept), modules_left_out=left
    )


def without_dropped(
    tensors: dict[str, Any], *, may_lose_all: bool
) -> tuple[dict[str, Any], dict[str, int], dict[str, int]]:
    """The tensors without dropped ranks, the ranks that each module kept, and those that it had.

    Biases that were trained with a module are loaded with its LoRA: then the first rank stays, at zero. So it
    does where another module's name ends in this one's, for PEFT would leave out both.
    """
    smaller, kept, ranks = dict(tensors), {}, {}
    names = {tensor_names.module_of(name).removeprefix(PREFIX) for name in tensors}
    for a_name, a in tensors.items():
        if "lora_A" not in a_name and "lora_embedding_A" not in a_name:
            continue
        b_name = a_name.replace("lora_A", "lora_B").replace("lora_embedding_A", "lora_embedding_B")
        b = tensors[b_name]
        module = tensor_names.module_of(a_name).removeprefix(PREFIX)
        alive = (a != 0).flatten(1).any(1) | (b != 0).transpose(0, 1).flatten(1).any(1)
        if not alive.any() and (not may_lose_all or _ends_another(module, names)):
            alive[0] = True
        ranks[module], kept[module] = len(alive), int(alive.sum())
        if kept[module]:
            smaller[a_name], smaller[b_name] = a[alive].contiguous(), b[:, alive].contiguous()
        else:
            del smaller[a_name], smaller[b_name]
    return smaller, kept, ranks


def described(config: dict[str, Any], kept: dict[str, int], ranks: dict[str, int]) -> dict[str, Any]:
    """The configuration of an adapter that kept so many ranks in each module, of so many."""
    of_rank = math.sqrt if config.get("use_rslora") else float
    scales = {name: _of(config, "alpha_pattern", "lora_alpha", name) / of_rank(ranks[name]) for name in kept}
    left = {name: rank for name, rank in kept.items() if rank}
    alphas = {name: _number(scales[name] * of_rank(rank)) for name, rank in left.items()}
    most = max(left.values())
    alpha = next(alphas[name] for name, rank in left.items() if rank == most)
    keys = {name: _key(name, ranks) for name in left}
    return {
        **config,
        "r": most,
        "lora_alpha": alpha,
        "rank_pattern": {keys[name]: rank for name, rank in left.items() if rank != most},
        "alpha_pattern": {keys[name]: own for name, own in alphas.items() if own != alpha},
        **_places(config, left, [name for name in kept if name not in left]),
    }


def _of(config: dict[str, Any], pattern: str, default: str, module: str) -> float:
    """What PEFT takes for a module: of the pattern's keys, the first that its name ends in."""
    from peft.utils.other import get_pattern_key

    own = config.get(pattern) or {}
    value = own.get(get_pattern_key(own.keys(), module), config[default])
    return float(value)


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _key(module: str, names: Iterable[str]) -> str:
    """A key of PEFT's patterns for this module alone: they take the end of a name."""
    return f"^{module}" if _ends_another(module, names) else module


def _ends_another(module: str, names: Iterable[str]) -> bool:
    return any(name.endswith(f".{module}") for name in names)


def _places(config: dict[str, Any], left: dict[str, int], lost: list[str]) -> dict[str, Any]:
    """Which modules are adapted: without those that lost all. A name that adapts none any more goes."""
    targets, excluded = config.get("target_modules"), config.get("exclude_modules")
    if isinstance(targets, list):
        targets = [one for one in targets if any(name == one or name.endswith(f".{one}") for name in left)]
        lost = [name for name in lost if any(name == one or name.endswith(f".{one}") for one in targets)]
    if not lost:
        return {"target_modules": targets}
    if isinstance(excluded, str):
        named = "|".join(name.replace(".", r"\.") for name in lost)
        return {"target_modules": targets, "exclude_modules": f"{excluded}|{named}"}
    return {"target_modules": targets, "exclude_modules": [*(excluded or []), *lost]}
