"""The rank of what HiRA adds to a weight, W * (B A) elementwise, beside that of B A.

LoRA adds B A itself, and its file tells the rank. HiRA's depends on W, and is numerical: singular values
above max(rows, columns) times float32's epsilon times the largest are counted (the default of numpy's
matrix_rank). Weights are those of the loaded base; of 4 bits, what they stand for. Some modules are looked
at, spread evenly over the model, as the singular values of a large matrix take long: `MODULES` at most, and
no more than `LIMIT` lets in, but one at least.
"""

from __future__ import annotations

from typing import Any

from hubkit.measured import RankRange, UpdateRanks

Layer = tuple[Any, Any, Any]  # W, B, A

MODULES = 12  # looked at, at most
LIMIT = 2e10  # the most that rows * columns * min(rows, columns) may come to, of all of them


def update_ranks(model: Any) -> UpdateRanks | None:
    """Ranks of the updates of a loaded PeftModel's linear layers; None where it has none of HiRA's."""
    layers = [found for module in model.modules() if (found := _parts(module)) is not None]
    if not layers:
        return None
    chosen = _spread(layers)
    ranks = [_ranks(*layer) for layer in chosen]
    return UpdateRanks(
        modules=len(chosen),
        modules_total=len(layers),
        factors=_range([factors for factors, _ in ranks]),
        update=_range([update for _, update in ranks]),
        full=_range([min(b.shape[0], a.shape[1]) for _, b, a in chosen]),
    )


def _parts(module: Any) -> Layer | None:
    """W, B and A of a linear layer of HiRA's whose weight is in memory."""
    from peft.tuners.hira import HiraLayer

    if not isinstance(module, HiraLayer) or "default" not in module.hira_A:
        return None
    weight = module.get_base_layer().weight
    if weight.is_meta or not hasattr(module.get_base_layer(), "in_features"):
        return None
    return weight, module.hira_B["default"].detach(), module.hira_A["default"].detach()


def _spread(layers: list[Layer]) -> list[Layer]:
    """Some of them, evenly, within the limits."""
    for number in range(min(MODULES, len(layers)), 1, -1):
        step = (len(layers) - 1) / (number - 1)
        chosen = [layers[round(step * at)] for at in range(number)]
        if sum(map(_cost, chosen)) <= LIMIT:
            return chosen
    return [min(layers, key=_cost)]


def _cost(layer: Layer) -> int:
    _, b, a = layer
    rows, columns = b.shape[0], a.shape[1]
    return int(rows * columns * min(rows, columns))


def _ranks(weight: Any, b: Any, a: Any) -> tuple[int, int]:
    """The ranks of B A and of W * (B A)."""
    import torch

    b, a = b.double(), a.double()
    small = torch.linalg.qr(b).R @ torch.linalg.qr(a.T).R.T  # its singular values are those of B A
    shape = (b.shape[0], a.shape[1])
    return _rank(small, shape), _rank(_plain(weight).double() * (b @ a), shape)


def _plain(weight: Any) -> Any:
    """A weight as numbers, out of 4 or 8 bits."""
    state = getattr(weight, "quant_state", None)
    if state is None:
        return weight.detach()
    from peft.utils.integrations import dequantize_bnb_weight

    return dequantize_bnb_weight(weight, state=state)


def _rank(matrix: Any, shape: tuple[int, int]) -> int:
    import torch

    values = torch.linalg.svdvals(matrix)
    return int((values > max(shape) * torch.finfo(torch.float32).eps * values[0]).sum())


def _range(numbers: list[int]) -> RankRange:
    ordered = sorted(numbers)
    return RankRange(low=ordered[0], median=ordered[len(ordered) // 2], high=ordered[-1])
