"""Parameters of a base from the headers of its weights, for families without a formula in families.py.

Such a file is believed only where transformers wrote it from the class that is loaded: then each of its
tensors is a parameter, but for buffers and for weights that are tied and were saved twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from hubkit import base_model, tensor_names
from hubkit.counting.base_files import BaseFiles
from hubkit.counting.packed import Held, undone
from hubkit.counting.shapes import TIED_AGAIN, NotExact

# model_type -> whether output embeddings are tied where the configuration does not say. A test makes a model
# of each and compares; what is not here is counted on the meta device.
CAUSAL = {
    "arcee": False, "biogpt": True, "bloom": True, "codegen": False, "cohere": True, "cohere2": True,
    "deepseek_v2": False, "deepseek_v3": False, "diffllama": False, "ernie4_5": True, "exaone4": False,
    "falcon": True, "falcon_mamba": True, "glm": False, "glm4": False, "glm4_moe": False,
    "gpt_bigcode": True, "gpt_neo": True, "gpt_oss": False, "gptj": False, "granitemoe": False,
    "helium": False, "jamba": False, "mamba": True, "mamba2": False, "minimax_m2": False, "mixtral": False,
    "mpt": True, "olmo": False, "olmo2": False, "olmo3": False, "olmoe": False,
    "opt": True, "persimmon": False, "phimoe": False, "qwen2_moe": False, "qwen3_moe": False,
    "recurrent_gemma": True, "seed_oss": False, "stablelm": False, "starcoder2": True, "vaultgemma": True,
    "xglm": True,
}  # fmt: skip
MASKED = {
    "convbert": True, "deberta": True, "deberta-v2": True, "ernie": True, "longformer": True,
    "megatron-bert": True, "modernbert": True, "nystromformer": True, "roberta-prelayernorm": True,
    "roformer": True, "xlm-roberta-xl": True, "xmod": True, "yoso": True,
}  # fmt: skip
SEQ2SEQ = {
    "bart": True, "bigbird_pegasus": True, "blenderbot": True, "blenderbot-small": True, "led": True,
    "m2m_100": True, "marian": True, "mbart": True, "mvp": True, "pegasus": True, "pegasus_x": True,
    "plbart": True,
}  # fmt: skip
_OF_CLASS = {
    "AutoModelForCausalLM": (CAUSAL, ("ForCausalLM", "LMHeadModel")),
    "AutoModelForMaskedLM": (MASKED, ("ForMaskedLM",)),
    "AutoModelForSeq2SeqLM": (SEQ2SEQ, ("ForConditionalGeneration", "MTModel")),
}
_BUFFERS = re.compile(
    r"(?:^|\.)(?:position_ids|token_type_ids|inv_freq|masked_bias|final_logits_bias|e_score_correction_bias"
    r"|embed_positions\.weights|rotary_emb\.\w+)$"
)
# Parts that some files hold and the class does not.
_OTHER_PARTS = re.compile(
    r"(?:^|\.)(?:mtp|pooler|seq_relationship|nsp\w*|lm_predictions|mask_predictions)(?:\.|$)"
)
_LAYER = re.compile(r"\.(?:layers|layer|h|blocks|block)\.(\d+)\.")
_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
_HEADS = ("lm_head", "decoder", "output_projection", "embed_out", "generator_lm_head")
_INPUTS = tensor_names.EMBEDDINGS | {"embeddings"}


def parameters(base: BaseFiles, auto_class: str, rows: int | None) -> tuple[dict[str, Held], int | None]:
    """The base's parameters by name, tied ones once, and how many are in embeddings. Raises NotExact.

    `rows`: of how many tokens the embeddings in the adapter's file are.
    """
    tied = _check(base, auto_class)
    held = {name: one for name, one in _undone(base).items() if not _is_buffer(name, one)}
    _check_parts(held, base.config)
    inputs = [name for name in held if _module(name) in _INPUTS and name.endswith(".weight")]
    heads = [name for name in held if _module(name) in _HEADS and name.endswith(".weight")]
    inputs = _once(base, held, inputs)
    if tied:
        heads = [name for name in _once(base, held, [*inputs, *heads]) if name not in inputs]
        _drop_tied_bias(base, held)
    elif auto_class == "AutoModelForSeq2SeqLM":
        raise NotExact("the embeddings of encoder and decoder are not tied")
    elif not heads:
        raise NotExact("the base's files hold no output head, and its configuration ties none")
    if tied and heads and rows not in (None, base_model.vocab_size(base.config)):
        raise NotExact(TIED_AGAIN)
    if rows is not None:
        _resize(held, rows, base_model.vocab_size(base.config))
    embeddings = [*inputs, *heads]
    return held, sum(held[name].numel for name in embeddings) if len(inputs) == 1 else None


def _undone(base: BaseFiles) -> dict[str, Held]:
    return undone((stored.tensor for stored in base.tensors.values()), base.config)


def _check(base: BaseFiles, auto_class: str) -> bool:
    """That the files were written from the class that is loaded; whether it ties its embeddings."""
    config = base.config
    known, endings = _OF_CLASS.get(auto_class, ({}, ()))
    family, written = str(config.get("model_type")), str(base_model.architecture(config))
    if family not in known:
        raise NotExact(f"{auto_class} of {family} is not known here")
    if not written.endswith(endings) or config.get("auto_map"):
        raise NotExact(f"the base's weights are of {written}, not of {auto_class}")
    tied = config.get("tie_word_embeddings")
    return tied if isinstance(tied, bool) else known[family]


def _is_buffer(name: str, held: Held) -> bool:
    # GPT-2's kin keep their causal mask as attn.bias
    mask = (
        name.endswith((".attn.bias", ".attention.bias")) and held.shape is not None and len(held.shape) == 4
    )
    return mask or _BUFFERS.search(name) is not None


def _check_parts(held: dict[str, Held], config: dict[str, Any]) -> None:
    """No part may be there that the class does not load. Raises NotExact."""
    depths = [value for key in _DEPTHS if type(value := config.get(key)) is int]
    for name in held:
        if _OTHER_PARTS.search(name):
            raise NotExact(f"the base's files hold {name[:80]}, which the class may not load")
        if not depths:
            raise NotExact("the base's configuration does not say how many layers it has")
        if (found := _LAYER.search(name)) and int(found[1][:9]) >= max(depths):
            raise NotExact(f"the base's files hold {name[:80]}, beyond its {max(depths):,} layers")


def _module(name: str) -> str:
    return name.rpartition(".")[0].rpartition(".")[2]


def _once(base: BaseFiles, held: dict[str, Held], names: list[str]) -> list[str]:
    """The first of these, where the rest are its copies: they are taken out of `held`. Raises NotExact.

    Transformers ties what was saved twice only where it is the same.
    """
    kept = names[:1]
    for name in names[1:]:
        if held[name].shape != held[kept[0]].shape:
            kept.append(name)
            continue
        same = base.hold_the_same(kept[0], name)
        if same is None:
            raise NotExact(f"{name[:80]} is saved twice, and only its bytes tell whether it is tied")
        if same:
            del held[name]
        else:
            kept.append(name)
    return kept


def _drop_tied_bias(base: BaseFiles, held: dict[str, Held]) -> None:
    """A masked head's bias has two names."""
    for name in [name for name in held if name.endswith(".decoder.bias")]:
        other = name.replace(".decoder.bias", ".bias")
        if other in held:
            _once(base, held, [other, name])


def _resize(held: dict[str, Held], rows: int, before: int | None) -> None:
    """Give what has one row a token as many rows as the adapter's file has. Raises NotExact."""
    if before is None:
        raise NotExact("the base's configuration does not say how many tokens it has")
    for name, one in _with_rows(held, before):
        if one.shape is None or (_module(name) not in _INPUTS and _module(name) not in _HEADS):
            raise NotExact(f"nothing tells whether {name[:80]} is resized with the vocabulary")
        shape = (rows, *one.shape[1:])
        held[name] = Held(math.prod(shape), one.dtype, shape)


def _with_rows(held: dict[str, Held], rows: int) -> Iterable[tuple[str, Held]]:
    return [(name, one) for name, one in held.items() if one.shape and one.shape[0] == rows]
