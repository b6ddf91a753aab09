"""Parameter counts of a model in memory, or on the meta device, where no weight is loaded.

A 4-bit weight counts as the parameters that it stands for (two share a byte in storage); tied weights count
once. `BertForMaskedLM(BertConfig())` with LoRA r=8 on query, key, value has 109,956,666 in total, 442,368 of
them trainable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hubkit import adapter as adapters
from hubkit import base_model, tasks
from hubkit.counting.shapes import check_depth
from hubkit.errors import AdapterError, BaseModelError
from hubkit.extras import require_train
from hubkit.models import loading
from hubkit.record import Parameters


def unique_parameters(model: Any) -> Iterator[tuple[str, Any]]:
    """Name and parameter, each parameter once, however many modules share it."""
    seen: set[int] = set()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            yield name, parameter


def numel(parameter: Any) -> int:
    """How many numbers a parameter stands for."""
    state = getattr(parameter, "quant_state", None)
    if state is not None:
        return int(state.shape.numel())
    return int(parameter.numel())


def storage_name(parameter: Any) -> str:
    """The dtype it is held in, "4bit" for packed weights."""
    if getattr(parameter, "quant_state", None) is not None:
        return "4bit"
    return str(parameter.dtype).removeprefix("torch.")


def count(model: Any, adapter: adapters.Adapter) -> Parameters:
    """Count base and adapter in a loaded PeftModel.

    Trainable is what training with this configuration updates: the adapter's matrices and the modules that it
    saves whole. The copies of those modules that the base keeps count in the total, as in PEFT's own count.
    """
    total: dict[str, int] = {}
    trainable = 0
    names = _trainable_names(model)
    for name, parameter in unique_parameters(model):
        total[storage_name(parameter)] = total.get(storage_name(parameter), 0) + numel(parameter)
        if name in names:
            trainable += numel(parameter)
    return Parameters(
        adapter_sha256=adapter.sha256(),
        adapter=adapter.parameters,
        adapter_by_dtype=adapter.parameters_by_dtype,
        trainable=trainable,
        total=sum(total.values()),
        total_by_dtype=dict(sorted(total.items())),
        embedding=embedding(model),
        counted_on="loaded model",
    )


def embedding(model: Any) -> int | None:
    """How many of the base's parameters are in its input and output embeddings, tied ones once.

    Counted are the matrices with a row for each token; None where the model does not tell them.
    """
    try:
        base = model.get_base_model()
        layers = (base.get_input_embeddings(), base.get_output_embeddings())
    except (AttributeError, NotImplementedError):
        return None
    modules = dict(base.named_modules())
    weights = [
        getattr(_unwrapped(_of_base(layer, modules)), "weight", None) for layer in layers if layer is not None
    ]
    if weights[:1] in ([], [None]):
        return None
    return sum({id(weight): numel(weight) for weight in weights if weight is not None}.values())


def _of_base(layer: Any, modules: dict[str, Any]) -> Any:
    """The base's own layer, where this one lies in the copy of a module that PEFT saves whole."""
    path = next((path for path, module in modules.items() if module is layer), "")
    before, copied, inside = path.partition(".modules_to_save.")
    original = f"{before}.original_module.{inside.partition('.')[2]}".removesuffix(".")
    return modules.get(original, layer) if copied else layer


def _unwrapped(layer: Any) -> Any:
    """The base's own module, where PEFT has put a layer or a wrapper around it."""
    while True:
        inside = (getattr(layer, name, None) for name in ("base_layer", "original_module"))
        found = next((module for module in inside if module is not None), None)
        if found is None:
            return layer
        layer = found


def _trainable_names(model: Any) -> set[str]:
    """The names of the parameters that PEFT would train, whether or not it was loaded for training."""
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    try:
        model.set_requires_grad(model.active_adapters, requires_grad=True)
    except (AttributeError, NotImplementedError, TypeError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise AdapterError(
            f"PEFT does not tell what {model.peft_type.value} trains: {reason}",
            "hubkit card makes its card without it",
        ) from error
    names = {n for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(before[name])
    return names


def _class_of(task: tasks.Described | None, names: list[str]) -> Any:
    """The class that makes the base: the task's, or where there is none (vision, speech) the named one."""
    import transformers

    if task is None:
        for named in (getattr(transformers, name, None) for name in names):
            if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
                return named
    return getattr(transformers, task.AUTO_CLASS if task else "AutoModel")


def count_with_base(adapter_dir: Path, base_config: Path, task_name: str | None) -> Parameters:
    """Count an adapter together with its base from the base's config.json alone, on the meta device.

    Raises MissingExtra without torch, BaseModelError and AdapterError for files that do not fit.
    """
    require_train()
    import torch
    import transformers
    from peft import PeftConfig, get_peft_model

    found = adapters.read(adapter_dir)
    adapters.check_measurable(found, adapters.PROMPT_TYPES)
    plain = base_model.read_config(base_config)
    check_depth(plain)
    task = tasks.described(task_name)
    model_class = _class_of(task, tasks.class_names(found.config, plain))
    try:
        config = transformers.AutoConfig.for_model(**json.loads(base_config.read_text(encoding="utf-8")))
        if getattr(task, "has_labels", False) and found.labels:
            config.num_labels = found.labels
        if found.embedding_rows and base_model.vocab_size(plain):
            config.vocab_size = found.embedding_rows
        with torch.device("meta"):
            auto = getattr(model_class, "from_config", None)
            base = auto(config) if auto else model_class(config)
    except Exception as error:  # a stranger's configuration makes transformers raise anything
        reason = str(error).strip().partition("\n")[0][:200]
        raise BaseModelError(f"{base_config} describes no model that transformers knows: {reason}") from error
    try:
        peft_config = PeftConfig.from_pretrained(str(adapter_dir))
        with torch.device("meta"):
            model = get_peft_model(base, peft_config)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise AdapterError(
            f"{adapter_dir} does not fit {base_config}, or cannot be counted without weights: {reason}",
            "leave out --base-config",
        ) from error
    loading.check_fit(model, found)
    return msgspec.structs.replace(count(model, found), total_by_dtype={}, counted_on="base configuration")
