"""How much of the machine's own matrix rate a model reaches: its useful operations over a plain product's.

    python benchmarks/roofline.py          the rates of this machine, one thread

Useful operations are those of the mathematics, whatever the code does: 2 for each weight of a matrix and
position, the head's at scored positions alone, and attention's two products (half of them where causal).
Adapter, norms, activations and softmax are left out: what they cost shows as a lower share. The rate is the
fastest that a product of 2,048 x 2,048 x 2,048 reaches by any kernel that is here, in CPU seconds of one
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SIZE = 2048
SECONDS = 1.5  # for each kernel


@dataclass(frozen=True)
class Costs:
    """Operations: for each position, for each scored position, and for each pair of positions."""

    position: int
    scored: int
    pair: int

    def of(self, windows: Sequence[Any]) -> int:
        """Of scoring these windows."""
        total = 0
        for window in windows:
            length, scored = len(window.inputs), int((window.targets != -100).sum())
            total += self.position * length + self.scored * scored + self.pair * length**2
        return total


def costs(model: Any) -> Costs:
    """Of a language model, counted before anything replaces its layers."""
    import torch

    head = model.get_output_embeddings()
    body = last = 0
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear) or "lora_" in name:
            continue
        if module is head or ".cls." in name:
            last += module.weight.numel()
        else:
            body += module.weight.numel()
    config = model.config
    causal = 1 if "CausalLM" in str(config.architectures) else 2
    return Costs(2 * body, 2 * last, causal * 2 * config.num_hidden_layers * config.hidden_size)


def kernels(dtype: str) -> dict[str, Callable[[], Any]]:
    """Products of two square matrices by each kernel that this torch has for the dtype."""
    import torch

    left = torch.randn(SIZE, SIZE).to(getattr(torch, dtype))
    right = torch.randn(SIZE, SIZE).to(getattr(torch, dtype))
    found: dict[str, Callable[[], Any]] = {"linear": lambda: torch.nn.functional.linear(left, right)}
    try:
        ordered = torch.ops.mkldnn._reorder_linear_weight(right, SIZE)
        pointwise = torch.ops.mkldnn._linear_pointwise
        pointwise(left, ordered, None, "none", [], "")
    except (AttributeError, RuntimeError, NotImplementedError):
        return found
    return {**found, "oneDNN": lambda: pointwise(left, ordered, None, "none", [], "")}


def rates(dtype: str) -> dict[str, float]:
    """GFLOP/s of each kernel: the best of the runs that fit in its time."""
    import torch

    found = {}
    with torch.inference_mode():
        for name, product in kernels(dtype).items():
            product()
            best, end = float("inf"), time.process_time() + SECONDS
            while time.process_time() < end:
                begun = time.process_time()
                product()
                best = min(best, time.process_time() - begun)
            found[name] = 2 * SIZE**3 / best / 1e9
    return found


def measured(dtype: str) -> float:
    """GFLOP/s of the fastest kernel."""
    return max(rates(dtype).values())


def main() -> None:
    """Print the rates of both dtypes."""
    import torch

    torch.set_num_threads(1)
    print("| dtype | kernel | GFLOP/s |\n| --- | --- | ---: |")
    for dtype in ("float32", "bfloat16"):
        for name, rate in rates(dtype).items():
            print(f"| {dtype} | {name} | {rate:.0f} |")


if __name__ == "__main__":
    main()
