"""The base with a fresh adapter on it, ready to be trained."""

from __future__ import annotations

import re
import warnings
from typing import Any

import msgspec

from hubkit.errors import SettingsError, TrainingError
from hubkit.models import limits, loading
from hubkit.training import heads, starts
from hubkit.training.job import Job


def precision(job: Job) -> str:
    """The dtype of the frozen base. Modules that are trained whole need float32, and so does their input.

    So does a base that an adapter takes a part out of: rounded, it would be another base than the published
    one with the part put back. Raises SettingsError.
    """
    takes = starts.takes_from_base(job)
    if job.training.precision == "auto" and (job.method_parameters.modules_to_save or takes):
        return "float32"
    if takes and job.training.precision != "float32":
        raise SettingsError(
            f"method.init: {job.method_parameters.init} changes the base's weights, and"
            f" {job.training.precision} would round them",
            "training.precision: float32",
        )
    return loading.resolve_precision(job.training.precision, loading.device())


def adapted(loaded: loading.Loaded, job: Job, start: starts.Start | None = None) -> Any:
    """The base with a fresh adapter, trainable; with the `start` that a training that goes on had.

    Raises TrainingError.
    """

    of_head = heads.to_save(loaded, job)
    saved = (*job.method_parameters.modules_to_save, *of_head)
    lost = sorted(name for name in loaded.new_modules if not loading.is_within(name, saved))
    if lost:
        raise TrainingError(
            f"the base has no weights for {', '.join(lost)}: they are drawn at random and would not be saved",
            f"add them to method.modules_to_save: [{lost[0].rpartition('.')[2]}]",
        )
    names = [name for name, _ in loaded.model.named_modules()]
    if unknown := [given for given in saved if not any(name.endswith(given) for name in names)]:
        raise TrainingError(
            f"the base has no module named {unknown[0]} to train whole", "check method.modules_to_save"
        )
    parameters = msgspec.structs.replace(job.method_parameters, modules_to_save=list(saved))
    model = _with_adapter(loaded, job, parameters, drawn=start is not None)
    if start:
        starts.put(model, start)
    loading.guard_4bit(model)
    if of_head:
        heads.in_float32(model)
    return model


def _with_adapter(loaded: loading.Loaded, job: Job, parameters: Any, *, drawn: bool) -> Any:
    """What PEFT makes of the method's configuration; `drawn`: with matrices drawn at random."""
    from peft import get_peft_model

    try:
        with warnings.catch_warnings():
            # PEFT cannot convert this one back for the published base; `starts.converted` can
            warnings.filterwarnings("ignore", message="Using Rank-Stabilized LoRA with rank_pattern")
            config = job.method.peft_config(parameters, job.task.PEFT_TASK_TYPE)
            config.revision = loaded.facts.revision
            if drawn:
                config.init_lora_weights = True
            model = get_peft_model(loaded.model, config)
    except (ValueError, TypeError, RuntimeError) as error:
        if limits.is_out_of_memory(error):
            raise
        raise TrainingError(str(error).splitlines()[0][:200], "check method.target_modules") from error
    _check_patterns(model, parameters)
    return model


def _check_patterns(model: Any, parameters: Any) -> None:
    """Each key of a pattern must be of an adapted module: PEFT leaves out in silence those that are not.

    Raises TrainingError.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = [name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
    for setting in ("rank_pattern", "alpha_pattern"):
        for key in getattr(parameters, setting, {}):
            try:
                fits = any(re.match(rf"(.*\.)?({key})$", name) for name in found)
            except re.error as error:
                raise TrainingError(f"method.{setting}: {key[:60]!r} is no pattern: {error}") from error
            if not fits:
                raise TrainingError(
                    f"method.{setting}: no adapted module is named {key[:60]!r}",
                    f"one is {found[0].removeprefix('base_model.model.')}",
                )
