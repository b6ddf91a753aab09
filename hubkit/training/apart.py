"""Documents that share a block, kept apart: none sees another, and each counts its positions from its start.

A batch with `segments` (the number of each token's document in its block; -1 for padding) becomes one with
position ids and a mask. Decoders of transformers find the documents by the positions, when they are given no
mask; encoders are given the mask: a token sees those of its own document.

Whether a model then gives a document the logits that it has alone is tried on the first block that holds two;
a model with positions of another kind, or with layers that carry a state, may not.
"""

from __future__ import annotations

from typing import Any

from hubkit.errors import TrainingError

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}  # of the largest logit
LOW_PRECISION = 1e-1  # 16 bits


def inputs(model: Any, batch: dict[str, Any], causal: bool) -> dict[str, Any]:
    """What the model is called with: the batch itself where it has no segments."""
    import torch

    if "segments" not in batch:
        return batch
    given = {name: value for name, value in batch.items() if name != "segments"}
    segments = batch["segments"]
    at = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    given["position_ids"] = at - torch.where(begins, at, 0).cummax(1).values + _first_position(model)
    if causal:
        given["attention_mask"] = None
        return given
    dtype = model.dtype
    other = segments[:, None, :, None] != segments[:, None, None, :]
    given["attention_mask"] = torch.zeros(other.shape, dtype=dtype, device=other.device).masked_fill_(
        other, torch.finfo(dtype).min
    )
    return given


def check(model: Any, batch: dict[str, Any], causal: bool) -> None:
    """Hold the last document of the first block of several, or of the first, against the same document alone.

    Raises TrainingError.
    """
    import torch

    if "segments" not in batch:
        return
    several = [row for row, of in enumerate(batch["segments"]) if len(of[of >= 0].unique()) > 1]
    ids, segments = (batch[name][several[0] if several else 0] for name in ("input_ids", "segments"))
    last = segments == segments[segments >= 0][-1]
    alone = {"input_ids": ids[last][None], "segments": segments[last][None]}
    packed = {"input_ids": ids[None], "segments": segments[None]}
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            found, right = (model(**inputs(model, one, causal)).logits.float() for one in (packed, alone))
    except (TypeError, ValueError, RuntimeError) as error:
        raise _refusal(model, str(error).splitlines()[0][:150]) from error
    finally:
        model.train(was_training)
    tolerance = TOLERANCE.get(str(model.dtype).removeprefix("torch."), LOW_PRECISION)
    if not bool((found[0, last] - right[0]).abs().max() <= tolerance * right.abs().max()):
        raise _refusal(model, "a document's logits depend on those before it")


def _refusal(model: Any, why: str) -> TrainingError:
    return TrainingError(
        f"{type(model.get_base_model()).__name__} cannot keep the documents of a block apart: {why}",
        "set training.documents: packed",
    )


def _first_position(model: Any) -> int:
    """The position of a first token: 0, but after the padding's where positions have one (RoBERTa)."""
    import torch

    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0
