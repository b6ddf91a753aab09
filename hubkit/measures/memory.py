"""Bytes: of files, of weights in memory with their quantisation constants, and the peak of the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hubkit import files
from hubkit.adapter import Adapter
from hubkit.models.counting import numel, unique_parameters
from hubkit.models.loading import is_8bit
from hubkit.record import BaseModel, Size


def tensor_bytes(tensor: Any) -> int:
    """Bytes of a tensor's elements."""
    return int(tensor.numel() * tensor.element_size())


def quantization_bytes(parameter: Any) -> int:
    """Bytes of a packed weight's constants: in 4 bits block scales, their own scales, offset and code books;
    in 8 bits a float32 scale for each row.

    `get_memory_footprint()` of transformers leaves them out.
    """
    state = getattr(parameter, "quant_state", None)
    if state is None:
        return 4 * len(parameter) if is_8bit(parameter) else 0  # the first forward moves them to the layer
    nested = state.state2
    tensors = [state.absmax, state.code, state.offset, *((nested.absmax, nested.code) if nested else ())]
    return sum(tensor_bytes(tensor) for tensor in tensors if hasattr(tensor, "element_size"))


def size(model: Any, adapter: Adapter, base: BaseModel) -> Size:
    """Sizes of a loaded PeftModel.

    Merged size is that of the merged model's parameters in the dtype that the base was loaded in; a base in
    4 bits merges into its compute dtype.
    """
    own = adapter_names(model)
    base_bytes = constants = adapter_bytes = 0
    dtype = (base.quantization or {}).get("bnb_4bit_compute_dtype") or base.dtype
    width = _width(dtype)
    for name, parameter in unique_parameters(model):
        if name in own:
            adapter_bytes += tensor_bytes(parameter)
            continue
        base_bytes += tensor_bytes(parameter)
        constants += quantization_bytes(parameter)
    for name, buffer in model.named_buffers():
        if name in own:
            adapter_bytes += tensor_bytes(buffer)
        else:
            base_bytes += tensor_bytes(buffer)
    base_bytes += constants
    published = [adapter.directory / name for name in files.ADAPTER_FILES]
    return Size(
        adapter_sha256=adapter.sha256(),
        adapter_weights_bytes=adapter.weights.stat().st_size,
        adapter_directory_bytes=sum(path.stat().st_size for path in published if path.is_file()),
        base_weights_bytes=base.weights_bytes,
        base_memory_bytes=base_bytes,
        quantization_constants_bytes=constants or None,
        adapter_memory_bytes=adapter_bytes,
        merged_bytes=merged_parameters(model, own) * width,
        merged_dtype=dtype,
    )


def with_load_peak(size: Size, peaks: list[tuple[int | None, str | None]]) -> Size:
    """The same with the highest of these readings of Peak, taken while base and adapter were loaded."""
    known = [(most, kind) for most, kind in peaks if most is not None]
    most, kind = max(known, key=lambda reading: reading[0], default=(None, None))
    return msgspec.structs.replace(size, load_peak_bytes=most, load_peak_kind=kind)


def merged_parameters(model: Any, own: set[str]) -> int:
    """How many parameters the model has once the adapter is merged into it, tied ones once.

    The base's own, but for modules that the adapter replaces: there its copies stand. A copy of a tied head
    is tied to nothing, so that merging unties it.
    """
    from peft.utils.other import ModulesToSaveWrapper

    wrappers = [path for path, module in model.named_modules() if isinstance(module, ModulesToSaveWrapper)]
    replaced = tuple(f"{path}.original_module." for path in wrappers)
    copies = tuple(f"{path}.modules_to_save." for path in wrappers)
    merged: dict[int, int] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if name.startswith(copies) or (name not in own and not name.startswith(replaced)):
            merged[id(parameter)] = numel(parameter)
    return sum(merged.values())


def adapter_names(model: Any) -> set[str]:
    """The names of the parameters and buffers of a PeftModel that belong to the adapter and not to the base.

    PEFT keeps a base's module inside the layer that adapts it, as `base_layer`, or inside the wrapper that
    replaces it, as `original_module`. What adapted layers share (VeRA's matrices) stands beside the base.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    parameters = model.named_parameters(remove_duplicate=False)
    everything = {name for name, _ in (*parameters, *model.named_buffers())}
    own = {name for name in everything if not name.startswith("base_model.model.")}
    for path, module in model.named_modules():
        if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            inside = [name for name in everything if name.startswith(f"{path}.")]
            own |= {name for name in inside if not _is_of_base(name.removeprefix(f"{path}.").split("."))}
    return own


def _is_of_base(parts: list[str]) -> bool:
    """Whether a name within a layer of PEFT's leads to the base's module that it wraps."""
    return parts[0] != "modules_to_save" and not {"base_layer", "original_module"}.isdisjoint(parts)


def _width(dtype: str | None) -> int:
    return {"float32": 4, "float64": 8}.get(dtype or "float32", 2)


class Peak:
    """The highest memory since it was made: of the device where there is one, else of the process (Linux)."""

    def __init__(self) -> None:
        import torch

        self.on_device = torch.cuda.is_available()
        self.whole_process = False
        if self.on_device:
            torch.cuda.reset_peak_memory_stats()
            return
        try:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (man 5 proc)
        except OSError:
            self.whole_process = True

    def read(self) -> tuple[int | None, str | None]:
        """Bytes and what they are; nothing where the system does not tell."""
        import torch

        if self.on_device:
            return int(torch.cuda.max_memory_allocated()), "peak allocated on the device"
        try:
            lines = Path("/proc/self/status").read_text().splitlines()
        except OSError:
            return None, None
        peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
        since = " since it started" if self.whole_process else ""
        return peak, f"peak resident memory of the process{since}" if peak else None
