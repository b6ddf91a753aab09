"""The rows of the card's tables about the adapter itself: at a glance, configuration, parameters, size.

A row is a label and a value, ready for `text.table`. What is not known gives no row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from hubkit.card import text
from hubkit.card.facts import Facts
from hubkit.record import Perplexity, Throughput

Row = tuple[str, ...]
DATA_TYPES = {"nf4": "4-bit NF4", "fp4": "4-bit FP4"}
# Keys of adapter_config.json by label, in the order of the card. A key with no effect (None, False, empty) is
# not shown; dropout and bias are, since a reader asks for them.
CONFIGURATION: tuple[tuple[str, str], ...] = (
    ("num_virtual_tokens", "Virtual tokens"),
    ("oft_block_size", "Block size"),
    ("feedforward_modules", "Feed-forward modules"),
    ("exclude_modules", "Excluded modules"),
    ("layers_to_transform", "Layers"),
    ("target_parameters", "Target parameters"),
    ("modules_to_save", "Modules trained whole"),
    ("rank_pattern", "Ranks that differ"),
    ("alpha_pattern", "Alphas that differ"),
    ("trainable_token_indices", "Trained tokens"),
    ("use_rslora", "Rank-stabilized scaling (rsLoRA)"),
    ("use_dora", "Weight decomposition (DoRA)"),
    ("task_type", "PEFT task type"),
    ("peft_version", "Saved by PEFT"),
)


RANKED = frozenset({"LORA", "HIRA", "LOHA", "LOKR", "VERA"})  # whose `r` is the rank of each update
SCALED_BY_RANK = frozenset({"LORA", "LOHA", "LOKR"})


def known(rows: Iterable[tuple[str, str | None]]) -> list[Row]:
    """The rows that have a value."""
    return [(label, value) for label, value in rows if value]


def quantization(facts: Facts) -> str | None:
    """How the base's weights are held: `4-bit NF4, double quantization, compute dtype bfloat16`."""
    how = facts.quantization
    if not how:
        return None
    if how.get("load_in_8bit"):
        return "8-bit (LLM.int8)"
    if not facts.four_bit:
        method = how.get("quant_method")
        bits = how.get("bits")
        return (
            ", ".join(filter(None, [text.phrase(str(method or "")), f"{bits} bits" if bits else ""])) or None
        )
    parts = [DATA_TYPES.get(str(how.get("bnb_4bit_quant_type", "fp4")), "4-bit")]
    if how.get("bnb_4bit_use_double_quant"):
        parts.append("double quantization")
    if compute := how.get("bnb_4bit_compute_dtype"):
        parts.append(f"compute dtype {text.phrase(str(compute).removeprefix('torch.'))}")
    return ", ".join(parts)


def base_link(facts: Facts) -> str | None:
    """The base model's id as a link, with the commit that was loaded."""
    if facts.base_id is None:
        return None
    base = facts.record.base_model
    commit = f" at {text.code(base.revision[:12])}" if base and base.revision else ""
    return text.model_link(facts.base_id) + commit


def at_a_glance(facts: Facts) -> list[Row]:
    """What a reader of ten seconds sees."""
    dataset, measures = facts.record.dataset, facts.record.measures
    parameters = facts.parameters
    rank = rank_of(facts.adapter.config)
    method = text.phrase(facts.kind.title) + (f", rank {rank}" if rank else "")
    name = None
    if dataset and facts.record.training:
        name = text.dataset_link(dataset.id) if dataset.id else text.phrase(dataset.name)
    return known(
        [
            ("Base model", base_link(facts)),
            ("Task", facts.task.TITLE if facts.task else None),
            ("Method", method),
            ("Base weights", quantization(facts)),
            ("Trained on", name),
            ("Perplexity", _perplexity_in_short(measures.perplexity) if measures.perplexity else None),
            ("Trainable parameters", _trainable(facts)),
            ("Adapter parameters", None if parameters.trainable else text.count(parameters.adapter)),
            ("Zeros in the adapter", _sparsity(facts)),
            ("Adapter file", text.exact_size(facts.size.adapter_weights_bytes)),
            ("Throughput", _throughput_in_short(measures.throughput) if measures.throughput else None),
            ("License", license_name(facts)),
        ]
    )


def license_name(facts: Facts) -> str | None:
    """The licence that the author gave, linked where it is not of the Hub's list."""
    author = facts.author
    if author.license == "other" and author.license_name and author.license_link:
        return f"[{text.phrase(author.license_name)}]({_address(author.license_link)})"
    return text.code(author.license) if author.license else None


def _address(link: str) -> str:
    return "".join(c for c in text.plain(link) if c not in " <>()|\\\"'`")


def _perplexity_in_short(measured: Perplexity) -> str:
    value = f"**{text.perplexity(measured.value)}**"
    where = " at masked positions" if measured.definition == "masked" else ""
    if measured.base_value is None:
        return value + where
    change = text.percent(measured.value / measured.base_value - 1, signed=True)
    return f"{value}{where}, base alone {text.perplexity(measured.base_value)} ({change})"


def _trainable(facts: Facts) -> str | None:
    parameters = facts.parameters
    if not parameters.trainable:
        return None
    if not parameters.total:
        return text.count(parameters.trainable)
    share = text.percent(parameters.trainable / parameters.total)
    return f"{text.count(parameters.trainable)} of {text.count(parameters.total)} ({share})"


def _sparsity(facts: Facts) -> str | None:
    """The share of zeros, where there are any."""
    sparsity = facts.parameters.sparsity
    return text.percent(sparsity) if sparsity else None


def _throughput_in_short(measured: Throughput) -> str:
    parts = [
        f"{label}{text.rate(rate.median)} {rate.unit}{' (noisy)' if rate.noisy else ''}"
        for label, rate in (
            ("prompt ", measured.prefill),
            ("generation ", measured.decode),
            ("", measured.samples),
            ("", measured.tokens),
        )
        if rate
    ]
    return f"{', '.join(parts)} (batch {measured.batch_size}, {measured.dtype}, {measured.device})"


def configuration(facts: Facts) -> list[Row]:
    """The adapter's configuration, as its files have it."""
    config = facts.adapter.config
    modules = facts.adapter.target_modules
    places = len(facts.adapter.adapted_modules)
    adapted = text.codes(modules) + (f" ({text.plural(places, 'module')})" if places else "")
    dropout = next((config[key] for key in config if key == "dropout" or key.endswith("_dropout")), None)
    bias = config.get("bias")
    rows: list[tuple[str, str | None]] = [
        ("PEFT type", text.code(facts.adapter.peft_type)),
        *_ranks(config),
        ("Alpha", _alpha(config)),
        ("Dropout", text.number(dropout) if isinstance(dropout, (int, float)) else None),
        ("Adapted modules", adapted or None),
        ("Bias", text.code(str(bias)) if bias else None),
    ]
    rows += [(label, _setting(config.get(key))) for key, label in CONFIGURATION[:-2]]
    rows += [("Base weights", quantization(facts)), ("Saved in", _dtypes(facts.parameters.adapter_by_dtype))]
    rows += [(label, _setting(config.get(key))) for key, label in CONFIGURATION[-2:]]
    return known(rows)


def _peft_type(config: dict[str, Any]) -> str:
    return str(config["peft_type"]).upper()


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def rank_of(config: dict[str, Any]) -> int | None:
    """The rank of every update, for the types whose `r` is one."""
    return _positive(config.get("r")) if _peft_type(config) in RANKED else None


def _ranks(config: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What `r` and its kin say: AdaLoRA shares out a budget of ranks, OFT counts blocks."""
    if _peft_type(config) == "ADALORA":
        first, last = _positive(config.get("init_r")), _positive(config.get("target_r"))
        return [
            ("Rank at the start (init_r)", text.count(first) if first else None),
            ("Mean rank at the end (target_r)", text.count(last) if last else None),
        ]
    label = (
        "Rank (r)" if _peft_type(config) in RANKED else "Blocks (r)" if _peft_type(config) == "OFT" else "r"
    )
    found = _positive(config.get("r"))
    return [(label, text.count(found) if found else None)]


def _alpha(config: dict[str, Any]) -> str | None:
    """Alpha, and the scale that it makes of the update."""
    alpha = config.get("lora_alpha", config.get("alpha"))
    rank = rank_of(config)
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        return None
    if rank is None or _peft_type(config) not in SCALED_BY_RANK:
        return text.number(alpha)
    if config.get("use_rslora"):
        return f"{text.number(alpha)} (scale alpha / √r = {text.number(alpha / math.sqrt(rank))})"
    return f"{text.number(alpha)} (scale alpha / r = {text.number(alpha / rank)})"


def _setting(value: Any) -> str | None:
    """One setting of the configuration; nothing where it is switched off."""
    if value is None or value is False or value in ([], {}, ""):
        return None
    if value is True:
        return "yes"
    if isinstance(value, dict):
        return ", ".join(f"{text.code(str(key))}: {text.phrase(str(part))}" for key, part in value.items())
    if isinstance(value, list):
        return text.codes([str(part) for part in value])
    return text.code(str(value))


def _dtypes(by_dtype: dict[str, int]) -> str | None:
    """`float32`, or each dtype with its count where there are several."""
    if len(by_dtype) < 2:
        return next(iter(by_dtype), None)
    return ", ".join(f"{text.count(number)} {name}" for name, number in by_dtype.items())


def parameters(facts: Facts) -> list[Row]:
    """Parameter counts."""
    counts = facts.parameters
    rows: list[tuple[str, str | None]] = [
        (_total_label(counts.total_by_dtype), text.count(counts.total) if counts.total else None),
        *_by_dtype(counts.total_by_dtype),
        ("Trainable", text.count(counts.trainable) if counts.trainable else None),
        (
            "Trainable share",
            text.percent(counts.trainable / counts.total) if counts.total and counts.trainable else None,
        ),
        ("In the adapter file", text.count(counts.adapter)),
    ]
    if counts.adapter_nonzero is not None and counts.adapter_nonzero != counts.adapter:
        rows.append(("Not zero in the adapter file", text.count(counts.adapter_nonzero)))
    rows.append(("Zeros among the pruned matrices", _sparsity(facts)))
    return known(rows)


def _total_label(by_dtype: dict[str, int]) -> str:
    return f"Base and adapter, in {next(iter(by_dtype))}" if len(by_dtype) == 1 else "Base and adapter"


def _by_dtype(by_dtype: dict[str, int]) -> list[tuple[str, str | None]]:
    """How many of them are held in which dtype, where there are several."""
    names = {"4bit": "4 bits", "8bit": "8 bits"}
    rows = [(f"of these, in {names.get(name, name)}", text.count(n)) for name, n in by_dtype.items()]
    return [*rows] if len(rows) > 1 else []


def sizes(facts: Facts) -> list[Row]:
    """Bytes on disk and in memory."""
    size, base = facts.size, facts.record.base_model
    merged = f" in {size.merged_dtype}" if size.merged_dtype else ""
    base_files = size.base_weights_bytes or (base.weights_bytes if base else None)
    constants = size.quantization_constants_bytes
    in_dtype = f" in {base.dtype}" if base and base.dtype and not facts.quantization else ""
    rows = (
        ("Adapter file", size.adapter_weights_bytes),
        ("Adapter's published files, without record and card", size.adapter_directory_bytes),
        ("Base weights on disk", base_files),
        (
            "Base in memory" + (", quantization constants included" if constants else in_dtype),
            size.base_memory_bytes,
        ),
        ("Quantization constants, part of it", constants),
        ("Adapter in memory", size.adapter_memory_bytes),
        (f"Base with the adapter merged{merged}", size.merged_bytes),
    )
    return [(label, text.size(value), text.count(value)) for label, value in rows if value]
