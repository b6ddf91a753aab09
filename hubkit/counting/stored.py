"""A base's files held against the class that is to load them: dtypes, and what is tied only in name."""

from __future__ import annotations

import math

from hubkit.counting.base_files import BaseFiles
from hubkit.counting.packed import Held, undone
from hubkit.counting.shapes import TIED_AGAIN, NotExact, Shapes
from hubkit.errors import BaseModelError

# Names of old files, and what the classes call them.
_RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def by_dtype(shapes: Shapes, base: BaseFiles, resized: bool = False) -> dict[str, int]:
    """The class's parameters by the dtype in which the files hold them.

    What the files lack, as a new head, counts in the dtype that they have most of. What is to be tied, and
    was saved twice with other bytes, is untied by transformers: it is added to `shapes`. Raises NotExact
    where only bytes on the Hub would tell, or where the vocabulary is `resized`, which ties it again, and
    BaseModelError where files and configuration tell of different models.
    """
    held = undone((stored.tensor for stored in base.tensors.values()), base.config)
    names = {_as_in_class(name, shapes.prefix): name for name in held}
    _untie(shapes, base, names, resized)
    counts: dict[str, int] = {}
    missing = 0
    for name, shape in shapes.tensors.items():
        numel = math.prod(shape)
        stored = names.get(name.removeprefix(f"{shapes.prefix}."))
        if stored is None or not _is(held[stored], shape, base, name in shapes.may_change):
            missing += numel
        else:
            counts[held[stored].dtype] = counts.get(held[stored].dtype, 0) + numel
    if not counts:
        raise BaseModelError(
            f"the weights of {base.name} are not of a {base.config.get('model_type')}", _HINT
        )
    most = max(counts, key=lambda dtype: counts[dtype] if dtype != "4bit" else 0)
    counts[most] += missing
    return counts


_HINT = "give files of one model: its config.json and the weights beside it"


def _as_in_class(name: str, prefix: str) -> str:
    """The name of a tensor below its model's prefix, as today's classes call it."""
    for old, new in _RENAMED.items():
        if name.endswith(old):
            name = name.removesuffix(old) + new
    if name.startswith("embed_out."):
        name = name.replace("embed_out.", "lm_head.", 1)
    return name.removeprefix(f"{prefix}.")


def _is(held: Held, shape: tuple[int, ...], base: BaseFiles, may_change: bool) -> bool:
    """Whether a tensor is this parameter; one whose rows may change need not be."""
    numel = math.prod(shape)
    if held.shape == shape or (held.shape is None and held.numel in (numel, numel + 1)):
        return True
    if may_change:
        return False
    raise BaseModelError(f"config.json and weights of {base.name} are of different models", _HINT)


def _untie(shapes: Shapes, base: BaseFiles, names: dict[str, str], resized: bool) -> None:
    for name, source in list(shapes.tied):
        one, other = names.get(name), names.get(source.removeprefix(f"{shapes.prefix}."))
        if one is None or other is None:
            continue
        same = base.hold_the_same(one, other)
        if same is None:
            raise NotExact(f"{one[:80]} is saved twice, and only its bytes tell whether it is tied")
        if not same and resized:
            raise NotExact(TIED_AGAIN)
        if not same:
            shapes.untie(name, source)
