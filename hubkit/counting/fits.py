"""Does an adapter belong to this base? As far as names and shapes tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit import tensor_names
from hubkit.adapter import Adapter
from hubkit.counting.adapted import is_saved_whole
from hubkit.counting.shapes import NotExact, Shapes
from hubkit.errors import AdapterError

if TYPE_CHECKING:
    from hubkit.counting.packed import Held

_HINT = "check base_model: it must be the one that the adapter was trained on"


def check(adapter: Adapter, shapes: Shapes) -> None:
    """Refuse an adapter of another base. Raises AdapterError."""
    known = {**shapes.tensors, **{name: shape for (name, _), shape in shapes.tied.items()}}
    weights = {name.removesuffix(".weight"): shape for name, shape in known.items()}
    places = {name.removeprefix(f"{shapes.prefix}."): shape for name, shape in weights.items()} | weights
    inside = {name.rpartition(".")[0] for name in places}
    for path in adapter.adapted_modules:
        name = path.removeprefix("base_model.model.")
        if name not in places and name not in inside:
            raise AdapterError(
                f"{adapter.directory} does not fit the base model: the base model has no place for {path}",
                _HINT,
            )
    _check_prompt(adapter, shapes)
    if adapter.peft_type in ("LORA", "HIRA"):
        _check_sides(adapter, places, shapes.columns_first)
        _check_all(adapter, {name for name in shapes.tensors if name.endswith(".weight")}, shapes.prefix)


def _check_prompt(adapter: Adapter, shapes: Shapes) -> None:
    """Vectors that stand before the embedded input must be as wide as it."""
    if adapter.peft_type not in ("CPT", "MULTITASK_PROMPT_TUNING", "PROMPT_TUNING", "P_TUNING"):
        return
    width = shapes.tensors[shapes.embeddings[0]][-1]
    for tensor in adapter.tensors:
        if tensor.name == "prompt_embeddings" and tensor.shape[-1:] != (width,):
            raise AdapterError(
                f"{adapter.directory} does not fit the base model: its vectors are not {width:,} wide", _HINT
            )


def check_held(adapter: Adapter, held: dict[str, Held]) -> None:
    """The same of a base whose files alone are known. Raises AdapterError; NotExact where nothing tells."""
    places = {name.removesuffix(".weight"): one.shape for name, one in held.items()}
    inside = {name.rpartition(".")[0] for name in places}
    heads = {name.rpartition(".")[2] for name in places} | {"lm_head", "decoder"}
    for path in adapter.adapted_modules:
        name = path.removeprefix("base_model.model.")
        if name not in places and name not in inside and name.rpartition(".")[2] not in heads:
            raise NotExact(f"nothing tells whether the base has a place for {path}")
    if adapter.peft_type in ("LORA", "HIRA"):
        known = {name: shape for name, shape in places.items() if shape is not None}
        _check_sides(adapter, known, columns_first=False)


def _check_sides(adapter: Adapter, places: dict[str, tuple[int, ...]], columns_first: bool) -> None:
    """A low-rank pair must be as wide and as high as its matrix."""
    for tensor in adapter.tensors:
        for mark, axis in ((".lora_A.weight", 1), (".lora_B.weight", 0), (".hira_A", 1), (".hira_B", 0)):
            if not tensor.name.endswith(mark) or len(tensor.shape) != 2:
                continue
            shape = places.get(tensor_names.module_of(tensor.name).removeprefix("base_model.model."))
            if (
                shape is not None
                and len(shape) == 2
                and not _fits(adapter, tensor.shape[axis], axis, shape, columns_first)
            ):
                raise AdapterError(
                    f"{adapter.directory} does not fit the base model: the base model has another shape for"
                    f" {tensor.name}",
                    _HINT,
                )


def _fits(adapter: Adapter, side: int, axis: int, shape: tuple[int, ...], columns_first: bool) -> bool:
    config = adapter.config
    other_way = columns_first or config.get("fan_in_fan_out")
    if config.get("use_qalora") or config.get("use_bdlora"):
        return True  # made for groups or blocks of the matrix
    return side == shape[axis] or bool(other_way and side == shape[1 - axis])


def _check_all(adapter: Adapter, weights: set[str], prefix: str) -> None:
    """Where the configuration names modules, each of them must be adapted."""
    config = adapter.config
    targets = config.get("target_modules")
    narrowed = any(config.get(key) for key in ("layers_to_transform", "exclude_modules", "target_parameters"))
    if not isinstance(targets, list) or narrowed:
        return
    adapted = {path.removeprefix("base_model.model.") for path in adapter.adapted_modules}
    ends = tuple(f".{target}" for target in targets if isinstance(target, str))
    for weight in sorted(weights):
        name = weight.removesuffix(".weight")
        if not f".{name}".endswith(ends) or adapted & {name, name.removeprefix(f"{prefix}.")}:
            continue
        if not is_saved_whole(weight, adapter.modules_to_save):
            raise AdapterError(
                f"{adapter.directory} does not fit the base model: the adapter's file lacks {name}", _HINT
            )
