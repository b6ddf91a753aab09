"""What the record says of a base model that was loaded: which one, from where, how large, in which bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubkit import base_model, files
from hubkit.hub_rules import COMMIT_OID_PATTERN
from hubkit.record import BaseModel
from hubkit.settings import Base


def facts(
    base: Base, model: Any, dtype: str, quantization: dict[str, Any] | None, new_head: bool
) -> BaseModel:
    """What the record says of a base that was loaded, with the digest of weights from a local path."""
    config = model.config
    weights = _weights(base)
    return BaseModel(
        id=base.id,
        revision=_commit(base) or base.revision,
        source="local" if base.path else "hub",
        note=base.note,
        architecture=type(model).__name__,
        model_type=config.model_type,
        weights_sha256=files.sha256_of(weights) if weights and base.path else None,
        weights_bytes=sum(path.stat().st_size for path in weights) or None,
        dtype=dtype,
        trust_remote_code=base.trust_remote_code,
        gated=base.gated,
        vocab_size=base_model.vocab_size(config.to_dict()),
        max_positions=base_model.max_positions(config.to_dict()),
        quantization=quantization or _own_quantization(config),
        head_newly_initialized=new_head,
    )


def _commit(base: Base) -> str | None:
    """The commit of the Hub's repo that was loaded, told by the cache's folder; None for a local base."""
    from huggingface_hub import try_to_load_from_cache

    cached = None if base.path else try_to_load_from_cache(base.id, "config.json", revision=base.revision)
    name = Path(cached).parent.name if isinstance(cached, str) else ""
    return name if COMMIT_OID_PATTERN.fullmatch(name) else None


def _weights(base: Base) -> list[Path]:
    """The base's weight files: in its directory, or in the cache where the Hub's files were put."""
    if base.path:
        return base_model.weight_files(Path(base.path))
    from huggingface_hub import try_to_load_from_cache

    for name in ("model.safetensors.index.json", "model.safetensors"):
        cached = try_to_load_from_cache(base.id, name, revision=base.revision)
        if isinstance(cached, str):
            return [path for path in base_model.weight_files(Path(cached).parent) if path.is_file()]
    return []


def _own_quantization(config: Any) -> dict[str, Any] | None:
    """The quantisation that a base is published in, by its own configuration."""
    own = getattr(config, "quantization_config", None)
    if own is None:
        return None
    plain = own if isinstance(own, dict) else own.to_dict()
    method = str(plain.get("quant_method", "")).rpartition(".")[2].lower()
    simple = {
        k: v for k, v in plain.items() if isinstance(v, str | bool | int | float) and not k.startswith("_")
    }
    return {**simple, "quant_method": method}
