"""Load a base model, its tokenizer and an adapter, with the guards that 4-bit weights need.

Whatever is loaded is checked to be whole: a head that the base's weights do not hold is found and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hubkit import freshness
from hubkit.adapter import Adapter
from hubkit.errors import AdapterError, BaseModelError, MissingExtra
from hubkit.extras import require
from hubkit.models import labels as label_names
from hubkit.models import limits, placing
from hubkit.models.base_facts import facts
from hubkit.record import BaseModel
from hubkit.settings import Base


@dataclass(frozen=True)
class Loaded:
    """A base model in memory, its tokenizer, and the facts of how it was loaded."""

    model: Any
    tokenizer: Any
    facts: BaseModel
    new_modules: frozenset[str]  # modules with weights that the base's files lack, drawn at random


def device() -> str:
    """Where to compute: the first CUDA device, Apple's, or the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def native_bfloat16(where: str) -> bool:
    """Whether the device computes bfloat16 itself, instead of emulating it."""
    import torch

    if where == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if where == "cpu":
        can = torch.cpu.get_capabilities()
        return any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return False


def resolve_precision(wanted: str, where: str) -> str:
    """The dtype that `auto` stands for on a device; any other name is itself."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if native_bfloat16(where) else "float32"


def load_base(
    base: Base,
    task: ModuleType,
    *,
    dtype: str,
    quantization: dict[str, Any] | None = None,
    keep: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> Loaded:
    """Load the base for a task, on the device, in eval mode.

    `quantization` is what BitsAndBytesConfig is given, dtypes by name; modules named in `keep` (those that an
    adapter replaces whole) and the task's heads stay out of it. `labels` names those of a classifier, a row
    of its head each. Raises BaseModelError.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    source, options = _source(base)
    options |= {"dtype": getattr(torch, dtype), "output_loading_info": True}
    options |= placing.options(base, device()) | label_names.options(labels)
    keep = (*keep, *getattr(task, "HEADS", ()))
    auto_class = getattr(transformers, task.AUTO_CLASS)
    try:
        if quantization:
            quantization = _unquantized(quantization, keep, auto_class, source, options)
            options["quantization_config"] = _bits_and_bytes(quantization)
        model, info = auto_class.from_pretrained(source, **options)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError) as error:
        if "Unrecognized configuration class" in str(error):
            raise BaseModelError(
                f"{base.id} has no model for {task.TITLE}", "check task, or name another base_model"
            ) from error
        label_names.check_head(error, base.id, labels)
        raise _unloadable(base, error) from error
    if quantization and not any(is_packed(parameter) for parameter in model.parameters()):
        bits = "8-bit" if quantization.get("load_in_8bit") else "4-bit"
        raise BaseModelError(f"no weight of {base.id} became {bits}", "use method: lora for this base")
    placing.check(model, base)
    guard_4bit(model)
    model.config.name_or_path = base.id  # PEFT writes it into adapter_config.json; a local path must not leak
    new = _random_modules(model, info.get("missing_keys") or ())
    tokenizer = load_tokenizer(base)
    known = facts(base, model, dtype, quantization, bool(new))
    if getattr(task, "has_labels", False):
        known.pad_token, known.pad_token_id = label_names.pad(model, tokenizer, base.id)
    return Loaded(model.eval(), tokenizer, known, new)


def load_tokenizer(base: Base) -> Any:
    """The base's tokenizer. Raises BaseModelError."""
    from transformers import AutoTokenizer

    source, options = _source(base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise _unloadable(base, error) from error
    tokenizer.model_max_length = int(1e9)  # texts are cut into blocks here: no warning about long ones
    return tokenizer


def stored_dtype(base: Base) -> str:
    """The dtype that the base's config.json gives for its files; float32 where it gives none."""
    from transformers import AutoConfig

    source, options = _source(base)
    try:
        config = AutoConfig.from_pretrained(source, **options)
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(base, error) from error
    return str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")


def tokenizer_beside(adapter: Adapter, otherwise: Any) -> Any:
    """The tokenizer beside an adapter, which may know tokens that the base's does not; else `otherwise`.

    No code of the adapter's is run: a tokenizer that needs some is passed over.
    """
    from transformers import AutoTokenizer

    if freshness.tokenizer_sha256(adapter.directory) is None:
        return otherwise
    try:
        own = AutoTokenizer.from_pretrained(
            str(adapter.directory), local_files_only=True, trust_remote_code=False
        )
    except Exception:  # a stranger's file: whatever is wrong with it, the base's own is there
        return otherwise
    own.model_max_length = int(1e9)
    return own


def load_adapter(model: Any, adapter: Adapter) -> Any:
    """Attach an adapter as stock PEFT does, in eval mode. Raises AdapterError.

    The base's embeddings are resized to those that the adapter's file holds, as its card tells a reader to.
    """
    from peft import PeftModel

    rows = adapter.embedding_rows
    try:
        if rows and rows != model.get_input_embeddings().weight.shape[0]:
            model.resize_token_embeddings(rows, mean_resizing=False)
        adapted = PeftModel.from_pretrained(model, str(adapter.directory), **placing.for_adapter(model))
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()
        raise AdapterError(
            f"{adapter.directory} does not fit the base model: {reason[0][:200] if reason else error!r}",
            "check base_model and adapter_config.json",
        ) from error
    guard_4bit(adapted)
    check_fit(adapted, adapter)
    return adapted.eval()


def check_fit(model: Any, adapter: Adapter) -> None:
    """Every tensor of the file must have found its place: PEFT only warns of those that do not.

    Raises AdapterError.
    """
    from peft import get_peft_model_state_dict

    placed = get_peft_model_state_dict(model, save_embedding_layers=False)
    saved = {tensor.name: tensor.shape for tensor in adapter.tensors}
    lost = [name for name in saved if name not in placed and not _is_embedding(name, model)]
    empty = [name for name in placed if name not in saved]
    other = [name for name in saved if name in placed and tuple(placed[name].shape) != saved[name]]
    for names, what in ((lost, "has no place for"), (empty, "lacks"), (other, "has another shape for")):
        if names:
            whose = "the adapter's file" if what == "lacks" else "the base model"
            more = f" and {len(names) - 1:,} more tensors" if len(names) > 1 else ""
            raise AdapterError(
                f"{adapter.directory} does not fit the base model: {whose} {what} {names[0]}{more}",
                "check base_model: it must be the one that the adapter was trained on",
            )


def _is_embedding(name: str, model: Any) -> bool:
    """Whether a saved tensor is a whole embedding, which PEFT saves where it is adapted or was resized."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    names = {n for n, module in model.named_modules() if any(module is layer for layer in layers)}
    module = name.rpartition(".")[0]
    for inside in (".base_layer", ".modules_to_save", ".original_module"):  # PEFT's wrappers around it
        module = module.removesuffix(inside)
    return module in names


def is_within(name: str, saved: Sequence[str]) -> bool:
    """Whether a module is one of `saved` or inside one; PEFT matches by the end of the name."""
    parts = name.split(".")
    ends = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return bool(saved) and any(end.endswith(tuple(saved)) for end in ends)


def guard_4bit(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights on CPUs with avx512_bf16.

    The first forward in eval mode repacks them there; training, dequantising or merging after that uses the
    repacked bytes as if they were not, without an error (seen with bitsandbytes 0.50.2).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _source(base: Base) -> tuple[str, dict[str, Any]]:
    """What to hand to from_pretrained."""
    if base.path:
        if not Path(base.path).is_dir():
            raise BaseModelError(
                f"there is no directory {base.path} for the base model", "check base_model.path"
            )
        return base.path, {"local_files_only": True, "trust_remote_code": base.trust_remote_code}
    if Path(base.id).is_dir():
        raise BaseModelError(
            f"base_model.id is to be cited, and {base.id} is a directory on this machine",
            "give it as base_model.path, and the Hub id of the model as base_model.id",
        )
    return base.id, {"revision": base.revision, "trust_remote_code": base.trust_remote_code}


def _bits_and_bytes(quantization: dict[str, Any]) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    try:
        require("train", ("bitsandbytes",))
    except MissingExtra as error:
        raise MissingExtra("4-bit weights need bitsandbytes", "pip install 'hubkit[train]'") from error
    given = {
        key: getattr(torch, value) if key.endswith("_dtype") and isinstance(value, str) else value
        for key, value in quantization.items()
    }
    return BitsAndBytesConfig(**given)


def _unquantized(
    quantization: dict[str, Any], keep: Sequence[str], auto_class: Any, source: str, options: dict[str, Any]
) -> dict[str, Any]:
    """The same with the modules to leave out, by their full names, found on the meta device.

    Naming any replaces transformers' own choice, the output head, so that is named too.
    """
    if not keep or "llm_int8_skip_modules" in quantization:
        return quantization
    import torch
    from transformers import AutoConfig

    known = {k: v for k, v in options.items() if k in ("revision", "trust_remote_code", "local_files_only")}
    config = AutoConfig.from_pretrained(source, **known)
    with torch.device("meta"):
        skeleton = auto_class.from_config(config, trust_remote_code=options["trust_remote_code"])
    head = skeleton.get_output_embeddings()
    names = {n for n, module in skeleton.named_modules() if module is head or n.endswith(tuple(keep))}
    return {**quantization, "llm_int8_skip_modules": sorted(names)}


def is_packed(parameter: Any) -> bool:
    """Whether bitsandbytes holds this weight in 4 or 8 bits."""
    return getattr(parameter, "quant_state", None) is not None or is_8bit(parameter)


def is_8bit(parameter: Any) -> bool:
    """Whether it is one of bitsandbytes' weights of LLM.int8 (Dettmers et al. 2022, arXiv:2208.07339)."""
    return type(parameter).__name__ == "Int8Params"


def _random_modules(model: Any, missing_keys: Any) -> frozenset[str]:
    """The modules whose weights were missing and were drawn at random (constants are the same each time)."""
    new = set()
    state = dict(model.named_parameters())
    for key in missing_keys:
        parameter = state.get(key)
        if parameter is None or parameter.numel() == 1:
            continue
        if parameter.is_meta or parameter.float().std() > 0:
            new.add(key.rpartition(".")[0])
    return frozenset(new)


def _unloadable(base: Base, error: Exception) -> BaseModelError:
    if limits.is_out_of_memory(error):
        return BaseModelError(
            f"{base.id} does not fit into memory",
            "base_model.device_map: auto spreads it over devices and disk",
        )
    reason = (str(error).strip() or repr(error)).splitlines()[0][:300]
    where = f"{base.path} (cited as {base.id})" if base.path else base.id
    if (
        "not a local folder and is not a valid model identifier" in str(error)
        or "couldn't connect" in str(error).lower()
    ):
        reason = "it is not on the Hub, not visible to this token, or the Hub cannot be reached"
    return BaseModelError(
        f"cannot load base model {where}: {reason}",
        "check base_model.id and the network, run `hf auth login` for a gated one, or give base_model.path",
    )
