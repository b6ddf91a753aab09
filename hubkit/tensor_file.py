"""A safetensors file, read without torch: its header, held to the format, and whether its numbers are any.

The format (https://github.com/huggingface/safetensors#format): 8 bytes hold the length of the header (little
endian); the header is a JSON object, begins with `{`, may end with spaces, and names for each tensor its
dtype, its shape and where its bytes begin and end in the rest of the file. `__metadata__` holds text by name.
No name stands twice, and the tensors' bytes cover the rest of the file without a hole. All of it is checked
against the file's size before anything else uses it.
"""

from __future__ import annotations

import functools
import json
import math
import os
import struct
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import msgspec

from hubkit import bounded_json, files
from hubkit.errors import AdapterError

# The format allows 100 MB. Read, that would be gigabytes; 16 MB name the tensors of the largest adapters
# there are (256 experts in 61 layers: 14 MB).
MAX_HEADER_BYTES = 16_000_000
MAX_OTHER_SIGNS = 4_000_000  # bytes of a header that is not ASCII: one such sign makes all take four bytes
MAX_VALUES = 850_000  # 94,000 tensors
MAX_DIMENSIONS = 64  # as many as torch has
MAX_NAME = 1_000  # characters; a module's full name has some hundred
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
CHUNK = 1 << 20


class Tensor(msgspec.Struct, frozen=True):
    """One tensor of a safetensors header."""

    name: str
    dtype: str  # "float32"; safetensors' own name where torch has none
    shape: tuple[int, ...]
    start: int  # bytes from the start of the file
    end: int

    @property
    def numel(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_header(path: Path) -> tuple[Tensor, ...]:
    """The tensors that a safetensors file declares, checked against its size. Raises AdapterError."""
    try:
        with files.opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            raw = _raw_header(path, file, size)
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror}", "look at what lies there") from error
    return parsed(path, raw, size)


def parsed(path: PurePath, raw: bytes, size: int) -> tuple[Tensor, ...]:
    """The tensors of a header that was read already, of a file of `size` bytes. Raises AdapterError."""
    length = len(raw)
    try:
        header = _decoded(raw)
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise _broken(path, "its header is not a mapping of tensors")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _broken(path, "its __metadata__ holds something else than text")
    tensors = tuple(_tensor(path, name, entry, 8 + length) for name, entry in header.items())
    _check_ranges(path, tensors, 8 + length, size)
    return tensors


def _raw_header(path: Path, file: BinaryIO, size: int) -> bytes:
    first = file.read(8)
    length = struct.unpack("<Q", first)[0] if len(first) == 8 else size
    if not 2 <= length <= size - 8:
        if is_lfs_pointer(path):
            raise AdapterError(f"{path} is a Git-LFS pointer, not the file", "run: git lfs pull")
        raise _broken(path, "its header does not fit into the file; it was cut off or is no safetensors file")
    if length > MAX_HEADER_BYTES:
        raise AdapterError(
            f"the header of {path} has {length:,} bytes; hubkit reads up to {MAX_HEADER_BYTES:,}",
            "is this an adapter, and whole?",
        )
    return file.read(length)


def _decoded(raw: bytes) -> Any:
    """The header's value, where it is small enough in memory too. Raises ValueError and RecursionError."""
    if not raw.isascii() and len(raw) > MAX_OTHER_SIGNS:
        raise ValueError(f"it has more than {MAX_OTHER_SIGNS:,} bytes, and other signs than ASCII")
    bounded_json.check(raw, MAX_VALUES)
    if raw[:1].isspace():
        raise ValueError("it begins with a space")
    return _STRICT.decode(raw.decode("utf-8"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names stand once: readers differ in which of two they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)


def _tensor(path: PurePath, name: str, entry: Any, data_start: int) -> Tensor:
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, start, end]
        if (
            len(name) > MAX_NAME
            or len(numbers) > MAX_DIMENSIONS
            or not all(type(n) is int and 0 <= n < 2**63 for n in numbers)
        ):
            raise ValueError("negative, too large or not whole")
        if (end - start) * 8 != math.prod(shape) * DTYPE_BITS[dtype]:
            raise ValueError("length unlike shape")
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"the header's entry for {name[:80]!r} makes no sense") from error
    return Tensor(
        name, DTYPE_NAMES.get(dtype, dtype.lower()), tuple(shape), data_start + start, data_start + end
    )


def _check_ranges(path: PurePath, tensors: tuple[Tensor, ...], data_start: int, size: int) -> None:
    """The tensors' byte ranges must cover the rest of the file without a gap or an overlap."""
    position = data_start
    for tensor in sorted(tensors, key=lambda t: (t.start, t.end)):
        if tensor.start != position:
            raise _broken(path, f"tensor {tensor.name[:80]!r} overlaps another or leaves a gap")
        position = tensor.end
    if position != size:
        raise _broken(path, f"it should have {position:,} bytes and has {size:,}; it was cut off or added to")


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what git keeps in the place of a large one."""
    try:
        with files.opened(path) as file:
            return file.read(40).startswith(b"version https://git-lfs")
    except OSError:
        return False


def _broken(path: PurePath, why: str) -> AdapterError:
    return AdapterError(f"{path} is not a whole safetensors file: {why}", "copy or download it again")


# dtype -> bytes of a number, its highest bytes that may mean NaN or infinity, and how large the byte below
# must be for that. Little endian: the highest byte holds the sign and the most of the exponent.
_HALF = bytes([*range(0x7C, 0x80), *range(0xFC, 0x100)])
_NOT_FINITE: dict[str, tuple[int, bytes, int]] = {
    "float64": (8, b"\x7f\xff", 0xF0),
    "float32": (4, b"\x7f\xff", 0x80),
    "c64": (4, b"\x7f\xff", 0x80),
    "bfloat16": (2, b"\x7f\xff", 0x80),
    "float16": (2, _HALF, 0),
    "f8_e4m3": (1, b"\x7f\xff", 0),
    "f8_e5m2": (1, _HALF, 0),
    "f8_e4m3fnuz": (1, b"\x80", 0),
    "f8_e5m2fnuz": (1, b"\x80", 0),
    "f8_e8m0": (1, b"\xff", 0),
}


def not_finite(path: Path) -> tuple[str, ...]:
    """The names of the tensors that hold a NaN or an infinity. Raises AdapterError."""
    try:
        return _tensors_not_finite(files.seen(path))
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror}", "look at what lies there") from error


@functools.lru_cache(maxsize=64)
def _tensors_not_finite(seen: files.Seen) -> tuple[str, ...]:
    path = Path(seen.path)
    tensors = read_header(path)
    with files.opened(path) as file:
        return tuple(tensor.name for tensor in tensors if _holds_not_finite(file, tensor))


def _holds_not_finite(file: BinaryIO, tensor: Tensor) -> bool:
    """Look at the highest bytes alone: in numbers as weights are, none of them is suspicious."""
    if tensor.dtype not in _NOT_FINITE:
        return False
    width, suspects, least_below = _NOT_FINITE[tensor.dtype]
    file.seek(tensor.start)
    left = tensor.end - tensor.start
    while left and (chunk := file.read(min(CHUNK, left))):
        left -= len(chunk)
        highest = chunk[width - 1 :: width]
        for suspect in suspects:
            at = highest.find(suspect)
            while at >= 0:
                if not least_below or chunk[at * width + width - 2] >= least_below:
                    return True
                at = highest.find(suspect, at + 1)
    return False
