"""Products with frozen weights by oneDNN, forward and backward, while a model is trained on a CPU.

In the training of an adapter most products are with weights that stay as they are. Their gradient is never
wanted: what is left is the product itself and the gradient to its input, and oneDNN has both in a layout that
is made once. As in scoring (measures/kernels.py), no module is touched: a mode of torch sees each call of
`linear`.

What is used is decided by a rule and not by a clock, so that two trainings on one machine compute alike: in
bfloat16 where the CPU has it natively, in float32 where torch would hand the product to MKL on a CPU that is
not Intel's. Whether it is right is found out by `training.losses`, on the first batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from hubkit.measures import kernels
from hubkit.models import loading

NAME = "oneDNN"
COPIES = 1 << 30  # bytes of weights that are kept in oneDNN's layouts besides


class Frozen(TorchFunctionMode):
    """Computes products with these frozen weights by oneDNN while it is entered."""

    def __init__(self, weights: list[Any]) -> None:
        super().__init__()
        self._known = {id(weight): weight for weight in weights}
        self._layouts: dict[int, tuple[Any, Any, Any]] = {}
        self._left = COPIES

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What torch calls instead of `func`."""
        if func is linear and not kwargs and 2 <= len(args) <= 3:
            x, weight, bias = (*args, None)[:3]
            if self._is_for_it(x, weight, bias):
                return Product.apply(x, *self._both(weight), bias)
        return func(*args, **(kwargs or {}))

    def _is_for_it(self, x: Any, weight: Any, bias: Any) -> bool:
        return (
            id(weight) in self._known
            and x.dtype == weight.dtype
            and x.device.type == "cpu"
            and x.numel() > 0
            and not weight.requires_grad
            and (bias is None or not bias.requires_grad)
            and not torch.is_autocast_enabled("cpu")
        )

    def _both(self, weight: Any) -> tuple[Any, Any]:
        """The weight for the way forward and for the way back, laid out where there is room."""
        state = (weight.data_ptr(), weight._version)  # a weight that was changed since is laid out again
        kept = self._layouts.get(id(weight))
        if kept is not None and kept[0] == state:
            return kept[1], kept[2]
        size = 2 * weight.numel() * weight.element_size()
        if kept is None:
            if size > self._left:
                return weight.detach(), weight.detach().t()
            self._left -= size
        turned = kernels.reordered(weight.detach().t().contiguous())
        self._layouts[id(weight)] = (state, kernels.reordered(weight), turned)
        return self._layouts[id(weight)][1:]


class Product(torch.autograd.Function):
    """x @ weight.T + bias, with a gradient to x alone; `turned` is the transposed weight."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, turned: Any, bias: Any) -> Any:
        """(..., in) to (..., out)."""
        ctx.turned = turned
        return kernels.onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """(..., out) to (..., in)."""
        found = kernels.onednn(gradients[0].contiguous(), ctx.turned) if ctx.needs_input_grad[0] else None
        return found, None, None, None


def choose(model: Any, wanted: str) -> Frozen | None:
    """oneDNN for the frozen linear layers of this model, if by the rule above it has any for it."""
    if wanted == "plain" or not torch.backends.mkldnn.is_available():
        return None
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None
    weights = [one for one in kernels.linear_weights(model) if not one.requires_grad and _pays(one.dtype)]
    return Frozen(weights) if weights else None


def _pays(dtype: Any) -> bool:
    if dtype == torch.bfloat16:
        return loading.native_bfloat16("cpu")
    return bool(torch.backends.mkl.is_available()) and not _is_intel()


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
