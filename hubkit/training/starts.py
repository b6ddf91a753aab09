"""What an adapter's matrices begin with, where that is more than a draw at random.

PiSSA and OLoRA move a part of each adapted weight into the adapter: the base becomes W - s B0 A0, and A and B
begin as A0 and B0. What is trained so fits no base but that one. So A0 and B0 are kept beside the
checkpoints: a training that goes on takes the same part out of the base again, and what is saved is

    s (B A - B0 A0) = s [B, -B0] [A; A0],

a plain LoRA of twice the rank for the base as it is published, with the same scale s.

LoftQ (Li et al. 2023, arXiv:2310.08659) leaves the base as it is, Q(W) in 4 bits, and begins with the best
s B A for W - Q(W).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hubkit import adapter as adapters
from hubkit import files
from hubkit.errors import TrainingError
from hubkit.methods.lora import changes_base
from hubkit.training.checkpoints import START as FILE
from hubkit.training.job import Job

Start = dict[str, Any]  # A0 and B0, by the names that the adapter's file has for A and B


def takes_from_base(job: Job) -> bool:
    """Whether the adapter begins with a part of the base's weights, taken out of them."""
    return changes_base(getattr(job.method_parameters, "init", "default"))


def kept(folder: Path) -> Start:
    """The start of a training that goes on. Raises TrainingError where it is not there, or cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(folder / FILE))
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{folder / FILE} cannot be read, and without it the checkpoints beside it fit no base",
            "--fresh drops them and starts anew",
        ) from error


def check(model: Any, init: str) -> None:
    """Refuse places where a start from the base's weights cannot be. Raises TrainingError.

    A rank above the smaller side of a weight has no singular vectors left. PEFT starts other layers than
    linear ones at random. And a weight that two modules share would change in both.
    """
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if (weight := getattr(module, "weight", None)) is not None:
            names.setdefault(id(weight), []).append(_of_base(name))
    takes = changes_base(init)
    for name, layer in _layers(model, embeddings=True):
        base, own = layer.get_base_layer(), _of_base(name)
        shared = [one for one in names.get(id(base.weight), []) if one != own]
        most = min(layer.in_features, layer.out_features)
        if takes and type(base).__name__ not in ("Linear", "Conv1D"):
            raise TrainingError(
                f"method.init: {init} is for linear layers, and {own} is none",
                "leave it out: method.exclude_modules",
            )
        if takes and shared:
            raise TrainingError(
                f"method.init: {init} changes the weight of {own}, which is that of {shared[0]} too",
                "leave it out: method.exclude_modules",
            )
        if "default" in layer.lora_A and layer.r["default"] > most:
            raise TrainingError(
                f"method.init: {init} has {most} ranks at most for {own}, and {layer.r['default']} are set",
                f"a lower method.r, or method.rank_pattern: {{{own.rpartition('.')[2]}: {most}}}",
            )


def _of_base(name: str) -> str:
    """The name that the base has for a module of the model with its adapter."""
    return name.removeprefix("base_model.model.").removesuffix(".base_layer")


def of(model: Any) -> Start:
    """What A and B of a fresh adapter are now."""
    pairs = ((name, layer.lora_A["default"], layer.lora_B["default"]) for name, layer in _layers(model))
    return {
        f"{name}.lora_{letter}.weight": half.weight.detach().clone().contiguous()
        for name, *halves in pairs
        for letter, half in zip("AB", halves, strict=True)
    }


def keep(start: Start, folder: Path) -> None:
    """Write the start beside the checkpoints of the training that begins with it. Raises TrainingError."""
    from safetensors.torch import save

    try:
        files.write_atomically(folder / FILE, save(start))
    except OSError as error:
        raise TrainingError(
            f"cannot write {folder / FILE}: {error.strerror or error}",
            "make room, or give another output_dir",
        ) from error


def put(model: Any, start: Start) -> None:
    """Begin with this start on the base as it is published: take its part out of the base, as PEFT does."""
    import torch
    from peft.utils.other import transpose

    with torch.no_grad():
        for name, layer in _layers(model):
            a, b = (start[f"{name}.lora_{letter}.weight"].to(layer.weight.device) for letter in "AB")
            layer.lora_A["default"].weight.copy_(a)
            layer.lora_B["default"].weight.copy_(b)
            turned = bool(getattr(layer, "fan_in_fan_out", False))
            weight = transpose(layer.get_base_layer().weight.data.float(), turned)
            weight = transpose(weight - layer.scaling["default"] * b @ a, turned)
            layer.get_base_layer().weight.data = weight.contiguous()


def converted(directory: Path, start: Start) -> None:
    """Rewrite a saved adapter as the plain LoRA of twice the rank that fits the base as it is published."""
    import torch
    from safetensors.torch import load_file, save_file

    weights, where = directory / adapters.WEIGHTS_NAME, directory / adapters.CONFIG_NAME
    tensors = dict(load_file(weights))
    for name, first in start.items():
        trained = tensors[name]
        if ".lora_A." in name:
            tensors[name] = torch.cat([trained, first.to(trained)], dim=0).contiguous()
        else:
            tensors[name] = torch.cat([trained, -first.to(trained)], dim=1).contiguous()
    save_file(tensors, weights, metadata={"format": "pt"})
    config = json.loads(where.read_text(encoding="utf-8"))
    where.write_text(json.dumps({**config, **_twice(config)}), encoding="utf-8")


def _twice(config: dict[str, Any]) -> dict[str, Any]:
    """Twice the rank, and alphas that leave the scale what it was: alpha / r, or alpha / sqrt(r)."""
    factor = math.sqrt(2) if config.get("use_rslora") else 2
    return {
        "init_lora_weights": True,
        "r": 2 * config["r"],
        "lora_alpha": factor * config["lora_alpha"],
        "rank_pattern": {key: 2 * rank for key, rank in (config.get("rank_pattern") or {}).items()},
        "alpha_pattern": {key: factor * alpha for key, alpha in (config.get("alpha_pattern") or {}).items()},
    }


def loftq(model: Any, whole_base: Callable[[], Any]) -> None:
    """Begin with the best approximation of what rounding to 4 bits took: s B A of rank r nearest to W - Q(W).

    `whole_base` loads the base as it is published; it is let go of before this returns.
    """
    import torch
    from peft.utils.integrations import dequantize_bnb_weight

    whole = whole_base()
    with torch.no_grad():
        for name, layer in _layers(model):
            rounded = layer.get_base_layer().weight
            if getattr(rounded, "quant_state", None) is None:
                continue  # PEFT left it in 16 bits: nothing was taken
            held = dequantize_bnb_weight(rounded, state=rounded.quant_state).float()
            published = whole.get_submodule(_of_base(name)).weight
            lost = published.to(held.device).float() - held
            u, s, v = torch.linalg.svd(lost, full_matrices=False)
            rank, root = layer.r["default"], (s / layer.scaling["default"]).sqrt()
            layer.lora_A["default"].weight.copy_((root.unsqueeze(1) * v)[:rank])
            layer.lora_B["default"].weight.copy_((u * root)[:, :rank])


def _layers(model: Any, *, embeddings: bool = False) -> Iterator[tuple[str, Any]]:
    """The model's LoRA layers, by name; those of embeddings too where they are asked for."""
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and ("default" in module.lora_A or embeddings):
            yield name, module
