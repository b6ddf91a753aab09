"""The rows of the card's table about the adapter's settings: what its configuration really holds.

Settings that a reader asks for stand first, by their names in words. All others that are switched on follow,
by their names in adapter_config.json, whatever the type of the adapter. What is switched off, what only says
how the file was made, and paths of the author's machine are left out.
"""

from __future__ import annotations

import math
import re
from statistics import median
from typing import Any

from hubkit import tensor_names
from hubkit.adapter import Adapter
from hubkit.card import text
from hubkit.card.facts import Facts
from hubkit.card.text import Row, known
from hubkit.hub_rules import is_repo_id

DATA_TYPES = {"nf4": "4-bit NF4", "fp4": "4-bit FP4"}
# Keys by label, in the order of the card.
MAIN: tuple[tuple[str, str], ...] = (
    ("num_virtual_tokens", "Virtual tokens"),
    ("adapter_len", "Vectors in each layer"),
    ("adapter_layers", "Layers with them"),
    ("oft_block_size", "Block size"),
    ("boft_block_size", "Block size"),
    ("block_size", "Block size"),
    ("n_frequency", "Coefficients per module"),
    ("feedforward_modules", "Feed-forward modules"),
    ("layers_to_transform", "Layers"),
    ("target_parameters", "Target parameters"),
    ("modules_to_save", "Modules trained whole"),
    ("rank_pattern", "Ranks that differ"),
    ("alpha_pattern", "Alphas that differ"),
    ("trainable_token_indices", "Trained tokens"),
    ("token_indices", "Trained tokens"),
    ("use_rslora", "Rank-stabilized scaling (rsLoRA)"),
    ("use_dora", "Weight decomposition (DoRA)"),
)
LAST: tuple[tuple[str, str], ...] = (("task_type", "PEFT task type"), ("peft_version", "Saved by PEFT"))
# Said elsewhere, of the base, or only of how the file was made.
_NOT_SHOWN = frozenset({
    "adapters", "alpha", "auto_mapping", "base_model_name_or_path", "bias", "fan_in_fan_out",
    "inference_mode", "init_r", "layers_pattern", "lora_alpha", "megatron_config", "megatron_core",
    "num_attention_heads", "num_layers", "num_transformer_submodules", "peft_type", "progressbar",
    "prompt_tuning_init_state_dict_path", "qalora_group_size", "r", "revision", "runtime_config",
    "save_projection", "target_modules", "target_r", "token_dim", "tokenizer_kwargs",
    "tokenizer_name_or_path", *(key for key, _ in (*MAIN, *LAST)),
})  # fmt: skip
# Types whose `r` is the rank of each update, and those whose update is scaled by alpha / r.
RANKED = frozenset({
    "DEFT", "DELORA", "GLORA", "GRALORA", "HIRA", "LILY", "LOHA", "LOKR", "LORA", "POLY", "PVERA", "RANDLORA",
    "TINYLORA", "UNILORA", "VBLORA", "VERA",
})  # fmt: skip
SCALED_BY_RANK = frozenset({"LORA", "LOHA", "LOKR"})
LISTED = 12  # parts of a long setting that are shown
_HALF = re.compile(r"\.(?:lora|hira)_(?:embedding_)?A(?:\.|$)")  # of LoRA's and HiRA's updates: rank first
_PATH = re.compile(r"(?:[~/\\]|[A-Za-z]:[\\/]|\.{1,2}[\\/])")


def main(facts: Facts) -> list[Row]:
    """The settings that a reader asks for."""
    config = facts.adapter.config
    bias = config.get("bias")
    rows: list[tuple[str, str | None]] = [
        ("PEFT type", text.code(facts.adapter.peft_type)),
        *_ranks(config),
        ("Rank of the update, W ∘ BA", _update_rank(facts)),
        *_alphas(facts.adapter),
        *_dropouts(config),
        ("Adapted modules", _adapted(facts)),
        ("Bias", text.code(str(bias)) if bias else None),
    ]
    really = {**config, "modules_to_save": _saved_whole(facts)}
    rows += [(label, _folded(really.get(key)) or _setting(really.get(key))) for key, label in MAIN]
    rows += [("Start of A and B", _start(facts)), ("Mixed adapters", _adapters(config.get("adapters")))]
    rows += [("Base weights", quantization(facts)), ("Saved in", _dtypes(facts.parameters.adapter_by_dtype))]
    rows += [(label, _setting(config.get(key))) for key, label in LAST]
    return known(rows)


def more(facts: Facts) -> list[Row]:
    """All other settings that are switched on, by their own names."""
    config = facts.adapter.config
    return known(
        (text.code(key), _setting(value))
        for key, value in config.items()
        if key not in _NOT_SHOWN
        and not key.endswith("dropout")
        and not (value is True and (key.startswith("init_") or key in ("use_cayley_neumann",)))
    ) + known([("`qalora_group_size`", _group(config))])


def _dropouts(config: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Dropout; where the type has several (of ranks, of whole modules), each by its own name."""
    given = {
        key: value
        for key, value in config.items()
        if (key == "dropout" or key.endswith("_dropout"))
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    }
    if len(given) < 2 or not any(given.values()):
        return [("Dropout", text.number(value)) for value in list(given.values())[:1]]
    return [(f"Dropout ({text.plain(key)})", text.number(value)) for key, value in given.items()]


def _group(config: dict[str, Any]) -> str | None:
    return _setting(config.get("qalora_group_size")) if config.get("use_qalora") else None


def _adapted(facts: Facts) -> str | None:
    """The adapted modules by their last names, with the number of places; a long list is cut."""
    modules, places = facts.adapter.target_modules, len(facts.adapter.adapted_modules)
    shown = text.codes(modules[:LISTED])
    if len(modules) > LISTED:
        shown += f" and {text.count(len(modules) - LISTED)} more"
    return (shown + (f" ({text.plural(places, 'module')})" if places else "")) or None


def _saved_whole(facts: Facts) -> list[str]:
    """The modules that the file holds whole: PEFT names some for every classifier that not all have."""
    parts = {part for tensor in facts.adapter.whole_tensors for part in tensor.name.split(".")}
    return [name for name in facts.adapter.modules_to_save if name.rpartition(".")[2] in parts]


def _adapters(named: Any) -> str | None:
    """The adapters that X-LoRA mixes: those with a Hub id by it, others by their number."""
    if not isinstance(named, dict) or not named:
        return None
    ids = [value for value in named.values() if is_repo_id(value) and not _PATH.match(value)]
    return (
        text.listed([text.model_link(i) for i in ids]) if len(ids) == len(named) else text.count(len(named))
    )


def quantization(facts: Facts) -> str | None:
    """How the base's weights are held: `4-bit NF4, double quantization, compute dtype bfloat16`."""
    how = facts.quantization
    if not how:
        return None
    if how.get("load_in_8bit"):
        return "8-bit (LLM.int8)"
    if not facts.four_bit:
        method, bits = how.get("quant_method"), how.get("bits")
        return (
            ", ".join(
                filter(None, [text.phrase(str(method or "")), text.phrase(f"{bits} bits") if bits else ""])
            )
            or None
        )
    parts = [DATA_TYPES.get(str(how.get("bnb_4bit_quant_type", "fp4")), "4-bit")]
    if how.get("bnb_4bit_use_double_quant"):
        parts.append("double quantization")
    if compute := how.get("bnb_4bit_compute_dtype"):
        parts.append(f"compute dtype {text.phrase(str(compute).removeprefix('torch.'))}")
    return ", ".join(parts)


def _peft_type(config: dict[str, Any]) -> str:
    return str(config["peft_type"]).upper()


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def rank_of(config: dict[str, Any]) -> int | None:
    """The rank of the updates, for the types whose `r` is one; a pattern may give some modules others."""
    return _positive(config.get("r")) if _peft_type(config) in RANKED else None


def ranks(adapter: Adapter) -> list[int]:
    """The ranks of the updates, one or several; none without a rank.

    Where a pattern gives some modules others, the file tells which ranks there are: the pattern may reach all
    modules, or none.
    """
    rank, pattern = rank_of(adapter.config), adapter.config.get("rank_pattern")
    if rank is None or not isinstance(pattern, dict) or not pattern:
        return [rank] if rank else []
    shapes = [tensor.shape for tensor in adapter.tensors if _HALF.search(tensor.name)]
    if shapes and not adapter.config.get("target_parameters") and all(shapes):
        return sorted({shape[0] for shape in shapes if shape[0] > 0}) or [rank]
    return sorted({rank, *(n for n in pattern.values() if _positive(n))})


def ranks_in_short(adapter: Adapter) -> str:
    """`rank 8`, or `rank 4 to 16` where some modules have another; nothing without a rank."""
    found = ranks(adapter)
    if not found:
        return ""
    low, high = found[0], found[-1]
    return f"rank {text.count(low)}" if low == high else f"rank {text.count(low)} to {text.count(high)}"


def _ranks(config: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What `r` and its kin say: AdaLoRA shares out a budget of ranks, OFT counts blocks."""
    if _peft_type(config) == "ADALORA":
        first, last = _positive(config.get("init_r")), _positive(config.get("target_r"))
        return [
            ("Rank at the start (init_r)", text.count(first) if first else None),
            ("Mean rank at the end (target_r)", text.count(last) if last else None),
        ]
    names = {"OFT": "Blocks (r)", "HRA": "Reflections (r)"}
    label = "Rank (r)" if _peft_type(config) in RANKED else names.get(_peft_type(config), "r")
    found = _positive(config.get("r"))
    return [(label, text.count(found) if found else None)]


def _start(facts: Facts) -> str | None:
    """What the matrices began with, which the configuration of a saved adapter does not always tell."""
    method = facts.record.method
    start = str(method.parameters.get("init", "default")) if method else "default"
    if start.startswith(("pissa", "olora")):
        name = "PiSSA" if start.startswith("pissa") else "OLoRA"
        steps = start.removeprefix("pissa_niter_")
        fast = f" (randomized, {text.phrase(steps)} iterations)" if steps.isdecimal() else ""
        said = "taken out of the base's weights for training; saved as the difference, for the base as it is"
        return f"{name}{fast}, {said}, with twice the rank that was trained"
    return {"gaussian": "Gaussian, B zero", "loftq": "LoftQ, one step"}.get(start)


def _update_rank(facts: Facts) -> str | None:
    """The measured rank of what HiRA adds, which its weights and the base's make together."""
    taken = facts.parameters.update_ranks
    if taken is None:
        return None
    low, high = taken.update.low, taken.update.high
    found = text.count(low) if low == high else f"{text.count(low)} to {text.count(high)}"
    most = taken.full.high if taken.full.low == taken.full.high else None
    out_of = f" of at most {text.count(most)}" if most else ""
    looked = f"{text.count(taken.modules)} of {text.plural(taken.modules_total, 'module')}"
    return f"{found}{out_of} (measured on {looked}; BA has {text.count(taken.factors.high)} at most)"


def _alphas(adapter: Adapter) -> list[tuple[str, str | None]]:
    """Alpha; where many modules have others, or all, and alpha / r is the same for each, that alone."""
    config = adapter.config
    own = None if config.get("use_rslora") else _by_module(adapter)
    scales = {round(alpha / rank, 6) for rank, alpha, _ in own or []}
    differ = own and (len(config["alpha_pattern"]) > LISTED or all(named for *_, named in own))
    if differ and len(scales) == 1:
        return [("Alpha / r", f"{text.number(scales.pop())} in each module")]
    return [("Alpha", _alpha(config))]


def _by_module(adapter: Adapter) -> list[tuple[int, int, bool]] | None:
    """Rank and alpha of each module of a LoRA, and whether `alpha_pattern` names it; None where unsure.

    Names and ends of names are known; a key that is a pattern is not tried, for the file may be anybody's.
    """
    pattern, alpha = adapter.config.get("alpha_pattern"), _positive(adapter.config.get("lora_alpha"))
    if _peft_type(adapter.config) != "LORA" or not isinstance(pattern, dict) or not pattern or not alpha:
        return None
    if not all(re.fullmatch(r"[\w.-]+", str(key)) for key in pattern):
        return None
    found = []
    for tensor in adapter.tensors:
        if not _HALF.search(tensor.name) or not tensor.shape or not tensor.shape[0]:
            continue
        parts = tensor_names.module_of(tensor.name).split(".")
        ends = {".".join(parts[at:]) for at in range(len(parts))} & pattern.keys()
        own = _positive(pattern[next(iter(ends))]) if len(ends) == 1 else alpha
        if own is None or len(ends) > 1:
            return None
        found.append((tensor.shape[0], own, bool(ends)))
    return found or None


def _alpha(config: dict[str, Any]) -> str | None:
    """Alpha, and the scale that it makes of the update."""
    alpha = config.get("lora_alpha", config.get("alpha"))
    patterns = config.get("rank_pattern") or config.get("alpha_pattern")
    rank = None if patterns else rank_of(config)  # else the scale is not the same everywhere
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        return None
    if rank is None or _peft_type(config) not in SCALED_BY_RANK:
        return text.number(alpha)
    if config.get("use_rslora"):
        return f"{text.number(alpha)} (scale alpha / √r = {text.number(alpha / math.sqrt(rank))})"
    return f"{text.number(alpha)} (scale alpha / r = {text.number(alpha / rank)})"


def _setting(value: Any) -> str | None:
    """One setting of the configuration; nothing where it is switched off."""
    if value is None or value is False or value in ([], {}, "", 0):
        return None
    if value is True:
        return "yes"
    if isinstance(value, dict):
        shown = {k: v for k, v in value.items() if v not in (None, False, [], {}, "") and not _is_path(v)}
        parts = [f"{text.code(str(key))}: {text.phrase(str(part))}" for key, part in shown.items()]
        return _cut(parts)
    if isinstance(value, list):
        return _cut([text.code(str(part)) for part in value if not _is_path(part)])
    return None if _is_path(value) else text.code(str(value))


def _folded(value: Any) -> str | None:
    """A long mapping of modules to whole numbers: how many there are, and their range."""
    if not isinstance(value, dict) or len(value) <= LISTED or not all(map(_positive, value.values())):
        return None
    low, middle, high = min(value.values()), median(value.values()), max(value.values())
    if low == high:
        return f"{text.count(low)} in {text.count(len(value))} modules"
    spread = f"{text.count(low)} to {text.count(high)}, median {text.number(middle)}"
    return f"{spread}, in {text.count(len(value))} modules"


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and _PATH.match(value) is not None


def _cut(parts: list[str]) -> str | None:
    more_than = f" and {text.count(len(parts) - LISTED)} more" if len(parts) > LISTED else ""
    return ", ".join(parts[:LISTED]) + more_than or None


def _dtypes(by_dtype: dict[str, int]) -> str | None:
    """`float32`, or each dtype with its count where there are several."""
    if len(by_dtype) < 2:
        return next(iter(by_dtype), None)
    return ", ".join(f"{text.count(number)} {name}" for name, number in by_dtype.items())
