"""Where the weights of a base are put: on one device, or spread over all devices, memory and disk.

Spread (`base_model.device_map: auto`), accelerate puts as much as fits on each device in turn and the rest
into memory, then on disk; what lies there is brought in when its layer is to compute, and dropped after it.
So the numbers are the same, parameters are counted as ever, and speed is that of the slowest way of a weight.
Weights on disk are read from the base's own files and stand in the model on the meta device.
"""

from __future__ import annotations

import tempfile
from typing import Any

from hubkit.errors import BaseModelError
from hubkit.settings import Base

_folder: tempfile.TemporaryDirectory[str] | None = None  # removed when the process ends


def options(base: Base, device: str) -> dict[str, Any]:
    """What from_pretrained is told of places; `device` is where a base goes that is not spread."""
    if base.device_map == "single":
        return {"device_map": {"": device}}
    told: dict[str, Any] = {"device_map": "auto", "offload_folder": _offload_folder()}
    if base.max_memory:
        told["max_memory"] = {
            int(name) if str(name).isdigit() else name: most for name, most in base.max_memory.items()
        }
    return told


def places(model: Any) -> list[str]:
    """The names of the places that a spread base lies in; none where it lies on one device."""
    found = {str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()}
    return sorted(found) if len(found) > 1 or "disk" in found else []


def is_offloaded(model: Any) -> bool:
    """Whether some weights are not where they are computed with."""
    return any(parameter.is_meta for parameter in model.parameters()) or "cpu" in places(model)


def check(model: Any, base: Base) -> None:
    """Embeddings must lie in memory: tied weights would come apart on disk. Raises BaseModelError."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    if any(layer is not None and layer.weight.is_meta for layer in layers):
        raise BaseModelError(
            f"the embeddings of {base.id} do not fit into memory, and hubkit keeps no embeddings on disk",
            "raise base_model.max_memory, or measure where there is more memory",
        )


def for_adapter(model: Any) -> dict[str, Any]:
    """What PEFT is told, so that it leaves the base where it is; nothing for a base on one device."""
    if not places(model):
        return {}
    spread = {f"base_model.model.{name}" if name else "": at for name, at in model.hf_device_map.items()}
    return {"device_map": spread, "offload_folder": _offload_folder()}


def _offload_folder() -> str:
    """Where what has no file of its own is put on disk."""
    global _folder
    _folder = _folder or tempfile.TemporaryDirectory(prefix="hubkit-offload-")
    return _folder.name
