"""Packed weights of quantized checkpoints, as the parameters that they stand for.

What is undone: bitsandbytes' 4-bit (two weights a byte, with block scales beside) and 8-bit, GPTQ and AWQ (in
32-bit integers), 8-bit floats with scales, and MXFP4 (blocks of two a byte). Other ways are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from hubkit.counting.shapes import FLOATS, NotExact
from hubkit.tensor_file import Tensor

# Constants of a packed weight, beside it.
_BITSANDBYTES = (
    ".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map", ".SCB",
    ".weight_format",
)  # fmt: skip
_STATE = ".weight.quant_state.bitsandbytes__"
_GROUPED = (".qzeros", ".scales", ".g_idx")
_SCALED = (".weight_scale_inv", ".weight_scale", ".input_scale", ".activation_scale")


class Held(NamedTuple):
    """What a tensor stands for."""

    numel: int
    dtype: str  # "4bit" for packed weights
    shape: tuple[int, ...] | None  # None where packing hides it


def undone(tensors: Iterable[Tensor], config: dict[str, Any]) -> dict[str, Held]:
    """The parameters that these tensors hold, by name; whole numbers that are no weights left out.

    Raises NotExact for a way of quantization that is not known here.
    """
    quantized = config.get("quantization_config")
    given = quantized if isinstance(quantized, dict) else {}
    method = str(given.get("quant_method") or ("bitsandbytes" if given.get("load_in_4bit") else ""))
    everything = {tensor.name: tensor for tensor in tensors}
    if not given:
        return {name: _plain(tensor) for name, tensor in everything.items() if tensor.dtype in FLOATS}
    if method == "bitsandbytes":
        return _bitsandbytes(everything)
    if method in ("gptq", "awq"):
        return _grouped(everything, given.get("bits", given.get("w_bit", 4)))
    if method in ("fp8", "fbgemm_fp8"):
        return {
            name: _plain(tensor)
            for name, tensor in everything.items()
            if (tensor.dtype in FLOATS or tensor.dtype.startswith("f8_")) and not name.endswith(_SCALED)
        }
    if method == "mxfp4":
        return _blocks(everything)
    raise NotExact(f"the base is quantized by {method or 'an unnamed method'}, which is not undone here")


def _plain(tensor: Tensor) -> Held:
    return Held(tensor.numel, tensor.dtype, tensor.shape)


def _bitsandbytes(tensors: dict[str, Tensor]) -> dict[str, Held]:
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(_BITSANDBYTES) or _STATE in name:
            continue
        if f"{name}.absmax" in tensors:  # in whatever dtype the bytes are stored
            found[name] = Held(2 * (tensor.end - tensor.start), "4bit", None)
        elif tensor.dtype == "i8" and name.endswith(".weight"):
            found[name] = Held(tensor.numel, "int8", tensor.shape)
        elif tensor.dtype in FLOATS:
            found[name] = _plain(tensor)
    return found


def _grouped(tensors: dict[str, Tensor], bits: object) -> dict[str, Held]:
    if type(bits) is not int or bits not in (2, 3, 4, 8):
        raise NotExact("the base's quantization does not say of how many bits its weights are")
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(".qweight"):
            if tensor.dtype != "i32" or tensor.numel * 32 % bits:
                raise NotExact(f"{name[:80]} is not packed as GPTQ and AWQ pack")
            found[f"{name.removesuffix('.qweight')}.weight"] = Held(
                tensor.numel * 32 // bits, f"{bits}bit", None
            )
        elif tensor.dtype in FLOATS and not name.endswith(_GROUPED):
            found[name] = _plain(tensor)
    return found


def _blocks(tensors: dict[str, Tensor]) -> dict[str, Held]:
    found = {}
    for name, tensor in tensors.items():
        if name.endswith("_blocks") and tensor.dtype == "u8":
            found[name.removesuffix("_blocks")] = Held(2 * tensor.numel, "4bit", None)
        elif tensor.dtype in FLOATS and not name.endswith("_scales"):
            found[name] = _plain(tensor)
    return found
