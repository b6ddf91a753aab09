"""What an adapter's weights file tells by its tensors' names and shapes alone."""

from __future__ import annotations

from hubkit.adapter import Adapter
from hubkit.card.kinds import Kind
from hubkit.record import Parameters
from hubkit.tensor_names import PROMPT_NAMES, TOKENS

# The first name inside a model that was loaded without a head: `encoder` and not `bert.encoder`.
_HEADLESS = frozenset({"encoder", "embeddings", "layers", "layer", "h", "embed_tokens", "wte"})


def parameters(adapter: Adapter, kind: Kind, sha256: str) -> Parameters:
    """The counts that need no base."""
    return Parameters(
        adapter_sha256=sha256,
        adapter=adapter.parameters,
        adapter_by_dtype=adapter.parameters_by_dtype,
        trainable=adapter.parameters if _all_trainable(adapter, kind) else None,
        counted_on="adapter file",
    )


def _all_trainable(adapter: Adapter, kind: Kind) -> bool:
    """Whether every number in the file is one that training updates.

    PEFT also saves what it does not train, such as embeddings of a resized vocabulary.
    """
    as_trained = adapter.peft_type == "PREFIX_TUNING" and adapter.config.get("prefix_projection") is False
    if not (kind.file_is_trainable or as_trained) or _has_tied_bias(adapter):
        return False
    trained = set(adapter.modules_to_save)
    biases = adapter.config.get("bias", "none") != "none"
    return all(
        trained.intersection(tensor.name.split("."))
        or (biases and tensor.name.endswith(".bias"))
        or TOKENS in tensor.name
        or tensor.name in PROMPT_NAMES
        for tensor in adapter.whole_tensors
    )


def _has_tied_bias(adapter: Adapter) -> bool:
    """Whether a masked-LM head is there, whose bias lies in the file under two names."""
    names = {tensor.name for tensor in adapter.whole_tensors}
    return any(name.replace(".decoder.bias", ".bias") in names for name in names if ".decoder.bias" in name)


def headless(adapter: Adapter) -> bool:
    """Whether the adapter was made on a base without a head, so that no class with one would fit it."""
    parts = (path.split(".") for path in adapter.adapted_modules[:1])
    return any(p[:2] == ["base_model", "model"] and len(p) > 3 and p[2] in _HEADLESS for p in parts)
