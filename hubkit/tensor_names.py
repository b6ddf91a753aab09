"""Names of tensors in an adapter's weights file: which belong to an update, and of which module.

PEFT writes `base_model.model.<path of the module>.<name of the update>`. Each of its types has a prefix for
the last part. What several modules share lies at `base_model.<name>`; a soft prompt has no module at all.
Here is the one list of those prefixes; `tests/test_peft_kinds.py` holds it against PEFT.
"""

from __future__ import annotations

import re
from functools import lru_cache

UPDATE_PREFIXES = (
    "lora_",  # LoRA, AdaLoRA, and LoRA's variants (lora_magnitude_vector is DoRA's)
    "hira_", "hada_", "lokr_", "ia3_", "vera_", "pvera_", "oft_", "boft_", "poly_", "ln_tuning_", "frod_",
    "fourierft_", "glora_", "xlora_", "internal_xlora_", "hra_", "vblora_", "unilora_", "miss_", "bone_",
    "randlora_", "road_", "shira_", "c3a_", "waveft_", "osf_", "delora_", "gralora_", "tinylora_", "psoft_",
    "peanut_", "shadow_", "supertuning_", "deft_", "adamss_", "beft_", "lily_", "trainable_tokens_",
    "adaption_prompt", "adaption_gate",
)  # fmt: skip
# Soft prompts: what a file of PEFT's prompt types holds, all at its top.
PROMPT_NAMES = frozenset({"prompt_embeddings", "prefix_task_cols", "prefix_task_rows"})
TOKENS = "trainable_tokens_"
SHARED = "base_model"  # the module of what all modules share, such as VeRA's projections
# Last names of input embeddings, as transformers' models call them.
EMBEDDINGS = frozenset({"embed_tokens", "embed_in", "shared", "tok_embeddings", "word_embeddings", "wte"})
# And of classification heads.
HEADS = frozenset({"classifier", "score", "classification_head", "qa_outputs"})
_UPDATE = re.compile(rf"(?:^|\.)(?:{'|'.join(UPDATE_PREFIXES)})")
_WRAPPED = re.compile(r"\.(?:base_layer|token_adapter|modules_to_save|original_module)(?=\.|$)")


@lru_cache(maxsize=16_384)  # adapters of one base share their tensors' names
def is_update(name: str) -> bool:
    """Whether a tensor is an adapter's update of a module, or a soft prompt, and not a whole saved module."""
    return _UPDATE.search(name) is not None or name in PROMPT_NAMES


@lru_cache(maxsize=16_384)
def module_of(name: str) -> str:
    """`base_model.model.x.query.lora_A.weight` -> `base_model.model.x.query`; of a prompt, nothing."""
    found = _UPDATE.search(name)
    if found:
        return _WRAPPED.sub("", name[: found.start()])
    return "" if name in PROMPT_NAMES else _WRAPPED.sub("", name.rpartition(".")[0])
