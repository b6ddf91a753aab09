"""An adapter merged into its base for good: what remains is the base's own modules, and no layer of PEFT's.

Done in place, as two copies of a large base may not fit: who merges has nothing more to do with the adapter.
"""

from __future__ import annotations

from typing import Any

from hubkit.errors import MeasureError
from hubkit.models import limits, placing


def why_not(model: Any) -> str | None:
    """Why an adapter cannot be merged without changing what the model computes; None where it can.

    Weights of fewer than 16 bits would be rounded again.
    """
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return "there is no adapter to merge"
    if not hasattr(model.base_model, "merge_and_unload"):
        return f"adapters of the kind {kind(model)} cannot be merged"
    if placing.is_offloaded(model):
        return "the base is spread over memory and disk, and merging would need all of it at once"
    if getattr(model, "is_quantized", False) or any(map(is_quantized, model.parameters())):
        return "the base's weights are quantised, and merging would round them again"
    return None


def is_quantized(parameter: Any) -> bool:
    """Whether a weight stands for others than it holds: integers, eight-bit floats, packed."""
    return hasattr(parameter, "quant_state") or parameter.dtype.itemsize < 2


def merged(model: Any) -> Any:
    """The base with the adapter merged into its weights, in eval mode; `model` is of no use after that.

    Raises MeasureError where the adapter's kind, or these weights, do not let themselves be merged.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    if reason := why_not(model):
        raise MeasureError(reason)
    try:
        whole = model.merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:  # PEFT's kinds differ here
        if limits.is_out_of_memory(error):
            raise
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise MeasureError(f"the adapter cannot be merged: {said[0][:200]}") from error
    left = [name for name, module in whole.named_modules() if isinstance(module, BaseTunerLayer)]
    if left:
        raise MeasureError(f"adapters of the kind {kind(model)} stay beside the base ({left[0]})")
    return whole.eval()


def kind(model: Any) -> str:
    """PEFT's name for the kind of adapter."""
    told = next(iter(model.peft_config.values())).peft_type
    return str(getattr(told, "value", told))
