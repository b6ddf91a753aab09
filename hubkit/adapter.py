"""An adapter directory, read without torch: its configuration, and the header of its weights file.

A safetensors file begins with 8 bytes that hold the length of a JSON header (little endian), which names each
tensor's dtype, shape and byte range (https://huggingface.co/docs/safetensors). The header is checked against
the file's size before anything else uses it. Pickled weights (`adapter_model.bin`) are refused: loading one
can run any code.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from hubkit import files, tensor_names
from hubkit.errors import AdapterError

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
PICKLE_NAME = "adapter_model.bin"
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
MAX_DIMENSIONS = 64  # as many as torch has
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
# Keys of adapter_config.json that change no number: who wrote it, for what task, and which base is named (the
# record has the base's own digest).
NO_EFFECT = frozenset({
    "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision", "task_type",
})  # fmt: skip
# PEFT's types that put vectors before the input or the layers, and adapt no module.
PROMPT_TYPES = frozenset({
    "ADAPTION_PROMPT", "CARTRIDGE", "CPT", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING",
    "PROMPT_TUNING",
})  # fmt: skip
# Types that hubkit does not measure: prompts, and Poly, whose every forward pass is told a task id.
UNMEASURED = PROMPT_TYPES | {"POLY"}
_CANONICAL = json.JSONEncoder(sort_keys=True)
DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


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


@dataclass(frozen=True)
class Adapter:
    """An adapter directory: `config` as in adapter_config.json, `tensors` as in the weights' header."""

    directory: Path
    config: dict[str, Any]
    tensors: tuple[Tensor, ...]
    known_sha256: str | None = None  # of the weights file, where the Hub told it and only the header is here

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.directory / WEIGHTS_NAME

    @property
    def peft_type(self) -> str:
        """PEFT's name of the method, upper case: LORA, HIRA, IA3."""
        return str(self.config["peft_type"]).upper()

    @property
    def base_model(self) -> str | None:
        """The base model as the configuration names it: a Hub id, or a local path of its author."""
        value = self.config.get("base_model_name_or_path")
        return value if isinstance(value, str) and value else None

    @property
    def modules_to_save(self) -> list[str]:
        """The modules that were trained whole, as the configuration names them."""
        named = self.config.get("modules_to_save")
        return list(map(str, named)) if isinstance(named, list) else []

    @cached_property
    def target_modules(self) -> list[str]:
        """The modules that the weights file really adapts, by their last name, in the file's order.

        `target_modules` of the configuration can be a pattern or "all-linear"; the file has the modules.
        """
        from_file = {_last_name(path) for path in self.adapted_modules}
        if from_file:
            return sorted(from_file)
        configured = self.config.get("target_modules")
        return sorted(map(str, configured)) if isinstance(configured, list) else []

    @cached_property
    def adapted_modules(self) -> list[str]:
        """The full names of those modules, one for each place in the model."""
        tokens_only = self.peft_type == "TRAINABLE_TOKENS"
        paths = dict.fromkeys(
            tensor_names.module_of(t.name)
            for t in self.tensors
            if tensor_names.is_update(t.name) and (tokens_only or tensor_names.TOKENS not in t.name)
        )
        return [path for path in paths if path not in ("", tensor_names.SHARED)]

    @cached_property
    def whole_tensors(self) -> list[Tensor]:
        """The tensors that replace one of the base's (a new head, embeddings), and are no update of it."""
        return [t for t in self.tensors if not tensor_names.is_update(t.name)]

    @cached_property
    def labels(self) -> int | None:
        """How many labels the classification head in the file has: the rows of its last matrix."""
        rows = [
            tensor.shape[0]
            for tensor in self.whole_tensors
            if len(tensor.shape) == 2 and any(part in tensor_names.HEADS for part in tensor.name.split("."))
        ]
        return min(rows, default=None)

    @cached_property
    def embedding_rows(self) -> int | None:
        """How many tokens the embeddings in the file are of, where it holds them whole."""
        for tensor in self.whole_tensors:
            name = tensor_names.module_of(tensor.name).rpartition(".")[2]
            if len(tensor.shape) == 2 and name in tensor_names.EMBEDDINGS:
                return tensor.shape[0]
        return None

    @cached_property
    def parameters(self) -> int:
        """How many numbers the weights file holds."""
        return sum(t.numel for t in self.tensors)

    @cached_property
    def parameters_by_dtype(self) -> dict[str, int]:
        """The same by dtype."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.numel
        return counts

    def weights_sha256(self) -> str:
        """The digest of the weights file."""
        return self.known_sha256 or files.sha256(self.weights)

    def sha256(self, of_weights: str | None = None) -> str:
        """The digest of the adapter: its weights, and the configuration that says how they act.

        `of_weights` is the digest of the weights file, where it was taken already.
        """
        whole = f"{of_weights or self.weights_sha256()} {_effective(self.config)}"
        return hashlib.sha256(whole.encode()).hexdigest()


def _last_name(path: str) -> str:
    """`query` of `layer.0.attention.query`, and `layers` of `layers.0`."""
    parts = path.split(".")
    return next((part for part in reversed(parts) if not part.isdigit()), path)


def check_measurable(adapter: Adapter, types: frozenset[str] = UNMEASURED) -> None:
    """Refuse `types`, which cannot be measured as a base with adapted modules. Raises AdapterError."""
    if adapter.peft_type in types:
        raise AdapterError(
            f"{adapter.directory} holds a {adapter.peft_type} adapter, which hubkit does not measure",
            f"write its card from its files: hubkit card --adapter {adapter.directory}",
        )


def _effective(config: dict[str, Any]) -> str:
    """The configuration as canonical JSON, without what is switched off and what changes no number.

    PEFT writes sets of names in any order: lists of names are sorted.
    """

    def canonical(value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            return sorted(value)
        return value

    kept = {
        key: canonical(value)
        for key, value in config.items()
        if key not in NO_EFFECT and value is not None and value not in ("", [], {})
    }
    return _CANONICAL.encode(kept)


def read(directory: Path) -> Adapter:
    """Read an adapter directory. Raises AdapterError when it is missing, broken, or holds a pickle."""
    if not directory.is_dir():
        raise AdapterError(
            f"there is no directory {directory}", "give the directory that holds adapter_config.json"
        )
    config = read_config(directory / CONFIG_NAME)
    weights = directory / WEIGHTS_NAME
    if not weights.is_file():
        if (directory / PICKLE_NAME).exists():
            raise AdapterError(
                f"{directory / PICKLE_NAME} is a pickle, and loading a pickle can run any code",
                f"convert it to {WEIGHTS_NAME} where you trust it (PEFT: save_pretrained)",
            )
        raise AdapterError(
            f"there is no {WEIGHTS_NAME} in {directory}", "train one: hubkit train CONFIG.yaml"
        )
    return Adapter(directory, config, read_header(weights))


def read_config(path: Path) -> dict[str, Any]:
    """adapter_config.json as a mapping that names a peft_type. Raises AdapterError."""
    try:
        config = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise AdapterError(
            f"there is no {path.name} in {path.parent}", "is this an adapter directory?"
        ) from None
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if _is_lfs_pointer(path):
            raise AdapterError(f"{path} is a Git-LFS pointer, not the file", "run: git lfs pull") from error
        raise AdapterError(
            f"{path} is not JSON: {error}", "write it anew with PEFT's save_pretrained"
        ) from error
    named = config.get("peft_type") if isinstance(config, dict) else None
    if not isinstance(config, dict) or not isinstance(named, str) or not named:
        raise AdapterError(f"{path} names no peft_type", "write it anew with PEFT's save_pretrained")
    return config


def read_header(path: Path) -> tuple[Tensor, ...]:
    """The tensors that a safetensors file declares, checked against its size. Raises AdapterError."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else size
            if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
                if _is_lfs_pointer(path):
                    raise AdapterError(f"{path} is a Git-LFS pointer, not the file", "run: git lfs pull")
                raise _broken(
                    path, "its header does not fit into the file; it was cut off or is no safetensors file"
                )
            header = _STRICT.decode(file.read(length).decode("utf-8"))
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise _broken(path, "its header is not a mapping of tensors")
    header.pop("__metadata__", None)
    tensors = tuple(_tensor(path, name, entry, 8 + length) for name, entry in header.items())
    _check_ranges(path, tensors, 8 + length, size)
    return tensors


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names stand once: readers differ in which of two they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)


def _tensor(path: Path, name: str, entry: Any, data_start: int) -> Tensor:
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, start, end]
        if len(numbers) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
            raise ValueError("negative, too large or not whole")
        if (end - start) * 8 != math.prod(shape) * DTYPE_BITS[dtype]:
            raise ValueError("length unlike shape")
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"the header's entry for {name[:80]!r} makes no sense") from error
    return Tensor(
        name, DTYPE_NAMES.get(dtype, dtype.lower()), tuple(shape), data_start + start, data_start + end
    )


def _check_ranges(path: Path, tensors: tuple[Tensor, ...], data_start: int, size: int) -> None:
    """The tensors' byte ranges must cover the rest of the file without a gap or an overlap."""
    position = data_start
    for tensor in sorted(tensors, key=lambda t: (t.start, t.end)):
        if tensor.start != position:
            raise _broken(path, f"tensor {tensor.name[:80]!r} overlaps another or leaves a gap")
        position = tensor.end
    if position != size:
        raise _broken(path, f"it should have {position:,} bytes and has {size:,}; it was cut off or added to")


def _is_lfs_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(40).startswith(b"version https://git-lfs")
    except OSError:
        return False


def _broken(path: Path, why: str) -> AdapterError:
    return AdapterError(f"{path} is not a whole safetensors file: {why}", "copy or download it again")
