"""The fastest way this machine's CPU has to compute what scoring asks for: linear layers and attention.

torch hands float32 layers to MKL, which some CPUs run far below their rate, and lays a bfloat16 weight out
anew at each call. oneDNN takes both, in a layout that is made once. Its operators are private to torch: each
is looked for, held against the plain result, and timed beside it on shapes of the model at hand; what is
missing, wrong or slower is not used.

Nothing of the model is touched. A mode of torch (`torch.overrides.TorchFunctionMode`) sees each call of
`linear` and `scaled_dot_product_attention` while it is entered, wherever it comes from (a layer, an adapter's
layer around it, a head), and computes those that it knows; hooks and subclasses go on as they are. After it
all is stock again, as throughput is measured.

On GPUs torch's own choice stands. Liger's fused cross-entropy, which would spare the logits there, was never
run here and is not used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

GAIN = 1.03  # of the plain time, up to which a way is used: near ties must not fall now so, now so
PROBED = 1 << 28  # multiplications in one timed call
ROUNDS = 5  # of the plain and the fast way in turns; the fastest of each counts
COPIES = 1 << 30  # bytes of weights that are kept in oneDNN's layout besides
DTYPES = (torch.float32, torch.bfloat16)
QUERIES = 64  # at a time in attention, so that their scores stay in the cache
TRIED = {
    True: (1, 4, 512, 64),
    False: (2, 12, 128, 64),
}  # shapes that causal and other attention are tried on
SHORT = 256  # tokens, up to which attention that is not causal is done in blocks
AGREE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}  # relative to the largest value


class Kernels(TorchFunctionMode):
    """Computes what it knows while it is entered; `names` tells what it has computed, "" for nothing.

    `weights` are the parameters that linear layers multiply by, those first that should be kept in oneDNN's
    layout when they do not all fit COPIES; the layouts live as long as this object. `attention` holds True
    where causal attention is done in blocks, and False where other attention is.
    """

    def __init__(self, weights: list[Any], linear_layers: bool, attention: frozenset[bool]) -> None:
        super().__init__()
        self.linear_layers, self.attention = linear_layers, attention
        self._known = {id(weight): weight for weight in weights} if linear_layers else {}
        self._packed: dict[int, tuple[Any, Any]] = {}
        self._left = COPIES
        self._used: set[str] = set()

    @property
    def names(self) -> str:
        """For the record."""
        return ", ".join(sorted(self._used))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What torch calls instead of `func`."""
        kwargs = kwargs or {}
        if func is linear and self.linear_layers and not kwargs:
            found = self._linear(*args)
            return func(*args) if found is None else found
        if func is scaled_dot_product_attention and fits_blocks(self.attention, *args, **kwargs):
            self._used.add("attention in blocks")
            return attention_by_blocks(*args, **kwargs)
        return func(*args, **kwargs)

    def _linear(self, x: Any, weight: Any, bias: Any = None) -> Any:
        """The product by oneDNN, or None where it is not one for it."""
        if id(weight) not in self._known or x.dtype != weight.dtype or not x.numel():
            return None
        self._used.add("oneDNN")
        return onednn(x, self._layout(weight), bias)

    def _layout(self, weight: Any) -> Any:
        """The weight in oneDNN's layout, made at its first use; as it is where there is no room."""
        state = (weight.data_ptr(), weight._version)  # a weight that was changed since is laid out again
        kept = self._packed.get(id(weight))
        if kept is not None and kept[0] == state:
            return kept[1]
        size = weight.numel() * weight.element_size()
        if kept is None:
            if size > self._left:
                return weight
            self._left -= size
        self._packed[id(weight)] = (state, reordered(weight))
        return self._packed[id(weight)][1]


def onednn(x: Any, weight: Any, bias: Any = None) -> Any:
    """x @ weight.T + bias by oneDNN, `weight` in its layout or in torch's."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def reordered(weight: Any) -> Any:
    """A copy of a weight in oneDNN's layout."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach())


def choose(model: Any, wanted: str = "auto") -> Kernels | None:
    """The kernels that are right and faster than torch's own for this model; None where there are none.

    `wanted` is measuring.kernels: "plain" is None. Takes some hundredths of a second.
    """
    if wanted == "plain" or not isinstance(model, torch.nn.Module) or not (weights := linear_weights(model)):
        return None
    with torch.inference_mode():
        layers, attention = _linear_is_faster(weights[1:] or weights), _faster_attention(weights[0].dtype)
    return Kernels(weights, layers, attention) if layers or attention else None


def linear_weights(model: Any) -> list[Any]:
    """The dense CPU weights of plain linear layers in float32 or bfloat16; the output head's comes first."""
    found: dict[int, Any] = {}
    for module in (_head(model), *model.modules()):
        weight: Any = getattr(module, "weight", None)
        if not isinstance(module, torch.nn.Linear) or type(weight) is not torch.nn.Parameter:
            continue
        if weight.device.type == "cpu" and weight.is_contiguous() and weight.dtype in DTYPES:
            if weight.is_inference():  # tells no version, so that a change would not be seen
                continue
            found[id(weight)] = weight
    return list(found.values())


def _head(model: Any) -> Any:
    try:
        return model.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        return None


def _linear_is_faster(weights: list[Any]) -> bool:
    """Whether oneDNN agrees and is faster on the largest of the weights."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    weight = max(weights, key=lambda one: one.numel())
    rows = min(max(64, PROBED // weight.numel()), 1024)
    x = torch.randn(rows, weight.shape[1], generator=torch.Generator().manual_seed(0)).to(weight.dtype)
    try:
        layout = reordered(weight)
        return _better(lambda: linear(x, weight), lambda: onednn(x, layout), weight.dtype)
    except (RuntimeError, AttributeError, TypeError):  # gone, renamed, or not for this CPU
        return False


def _faster_attention(dtype: Any) -> frozenset[bool]:
    """For which of causal (True) and other attention (False) blocks agree with torch's, and are faster."""
    draw = torch.Generator().manual_seed(0)

    def better(causal: bool) -> bool:
        q, k, v = torch.randn((3, *TRIED[causal]), generator=draw).to(dtype)

        def plain() -> Any:
            return scaled_dot_product_attention(q, k, v, is_causal=causal)

        return _better(plain, lambda: attention_by_blocks(q, k, v, is_causal=causal), dtype)

    return frozenset(causal for causal in (True, False) if better(causal))


def _better(plain: Callable[[], Any], other: Callable[[], Any], dtype: Any) -> bool:
    """Whether the other way gives the same values, to what the dtype holds, in less time."""
    expected, found = plain().float(), other().float()
    if not bool((found - expected).abs().max() <= AGREE[dtype] * expected.abs().max()):
        return False
    # one thread's own time is not lengthened by what else runs; several threads have to be waited for
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[Any, list[float]] = {plain: [], other: []}
    for _ in range(ROUNDS):
        for way, taken in seconds.items():
            begun = clock()
            way()
            taken.append(clock() - begun)
    return min(seconds[other]) < GAIN * min(seconds[plain])


def fits_blocks(
    kinds: frozenset[bool],
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> bool:
    """Whether a call of attention is of the kind that blocks are for: whole sequences without a mask."""
    if is_causal not in kinds or not (is_causal or k.shape[-2] <= SHORT):
        return False
    known = q.device.type == "cpu" and q.dtype in DTYPES and q.dtype == k.dtype == v.dtype
    same = q.ndim == k.ndim == v.ndim == 4 and q.shape[:1] == k.shape[:1] and k.shape[1] == v.shape[1]
    heads = same and (q.shape[1] == k.shape[1] or (enable_gqa and q.shape[1] % k.shape[1] == 0))
    whole = attn_mask is None and not dropout_p and (not is_causal or q.shape[2] == k.shape[2])
    return bool(known and heads and whole and q.shape[2] > 1)


def attention_by_blocks(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(q k^T scale) v for (batch, heads, length, width), some queries of one sequence at a time.

    Causal blocks leave out the keys after them. Query heads that share keys go into one product. Scores and
    softmax are float32, as in torch's own: scores in bfloat16 make perplexity 0.15 % off, and not 0.05 %.
    """
    batch, heads, length, width = q.shape
    groups = k.shape[1]
    shared = heads // groups
    keys_in_all = k.shape[2]
    scale = width**-0.5 if scale is None else scale
    out = q.new_empty(batch, length, heads, v.shape[3]).transpose(1, 2)
    future = torch.full((QUERIES, QUERIES), -math.inf).triu_(1)
    room = torch.empty(heads * min(QUERIES, length) * keys_in_all)
    for one in range(batch):
        keys, values = k[one].float().transpose(1, 2), v[one]
        for at in range(0, length, QUERIES):
            rows = min(QUERIES, length - at)
            seen = at + rows if is_causal else keys_in_all
            queries = (q[one, :, at : at + rows].float() * scale).reshape(groups, shared * rows, width)
            scores = room[: heads * rows * seen].view(groups, shared * rows, seen)
            torch.bmm(queries, keys[:, :, :seen], out=scores)
            if is_causal:
                scores.view(groups, shared, rows, seen)[..., at:].add_(future[:rows, :rows])
            torch.softmax(scores, -1, out=scores)
            found = torch.bmm(scores.to(v.dtype), values[:, :seen])
            out[one, :, at : at + rows] = found.view(heads, rows, -1)
    return out
