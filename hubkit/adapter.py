"""An adapter directory, read without torch: its configuration, and the header of its weights file.

Pickled weights (`adapter_model.bin`) are refused: loading one can run any code.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hubkit import bounded_json, files, tensor_names
from hubkit.errors import AdapterError
from hubkit.tensor_file import Tensor, is_lfs_pointer, read_header

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
PICKLE_NAME = "adapter_model.bin"
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
                f"where you trust it, convert it: {_conversion(directory)}",
            )
        raise AdapterError(
            f"there is no {WEIGHTS_NAME} in {directory}",
            "train one: hubkit train CONFIG.yaml; or copy the weights of a finished adapter there",
        )
    return Adapter(directory, config, read_header(weights))


def _conversion(directory: Path) -> str:
    """The command that writes pickled weights as safetensors; torch reads only tensors with weights_only."""
    program = (
        "import sys, torch; from safetensors.torch import save_file; "
        "kept = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
        "save_file({k: v.contiguous().clone() for k, v in kept.items()}, sys.argv[2], {'format': 'pt'})"
    )
    paths = (directory / PICKLE_NAME, directory / WEIGHTS_NAME)
    return f'python -c "{program}" {" ".join(shlex.quote(str(path)) for path in paths)}'


def read_config(path: Path) -> dict[str, Any]:
    """adapter_config.json as a mapping that names a peft_type. Raises AdapterError."""
    try:
        config = bounded_json.loads(files.read(path, bounded_json.LARGEST))
    except FileNotFoundError:
        raise AdapterError(
            f"there is no {path.name} in {path.parent}", "is this an adapter directory?"
        ) from None
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror}", "look at what lies there") from error
    except (ValueError, RecursionError) as error:
        if is_lfs_pointer(path):
            raise AdapterError(f"{path} is a Git-LFS pointer, not the file", "run: git lfs pull") from error
        raise AdapterError(
            f"{path} is not JSON: {error}", "write it anew with PEFT's save_pretrained"
        ) from error
    named = config.get("peft_type") if isinstance(config, dict) else None
    if not isinstance(config, dict) or not isinstance(named, str) or not named:
        raise AdapterError(f"{path} names no peft_type", "write it anew with PEFT's save_pretrained")
    return config
