"""The base with a fresh adapter on it, ready to be trained."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from hubkit.errors import SettingsError, TrainingError
from hubkit.models import limits, loading
from hubkit.settings import Base
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


def begun(
    loaded: loading.Loaded, job: Job, base: Base, labels: Sequence[str], checkpoint: Path | None
) -> tuple[Any, starts.Start | None]:
    """The base with an adapter as a training begins with it, or goes on with it from a checkpoint.

    With it comes what the adapter took out of the base, if anything. Raises TrainingError.
    """
    takes = starts.takes_from_base(job)
    start = starts.kept(job.checkpoints) if takes and checkpoint else None
    model = adapted(loaded, job, start)
    init = getattr(job.method_parameters, "init", "default")
    if takes or init == "loftq":
        starts.check(model, init)
    if init == "loftq" and not checkpoint:
        starts.loftq(model, lambda: loading.load_base(base, job.task, dtype="float32", labels=labels).model)
    return model, starts.of(model) if takes and start is None else start


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
            warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys did not match")
            config = job.method.peft_config(parameters, job.task.PEFT_TASK_TYPE)
            config.revision = loaded.facts.revision
            if drawn:
                config.init_lora_weights = True
            model = get_peft_model(loaded.model, config)
    except (ValueError, TypeError, RuntimeError, re.error) as error:
        if limits.is_out_of_memory(error):
            raise
        raise TrainingError(str(error).splitlines()[0][:200], "check method.target_modules") from error
    _check_patterns(model, parameters)
    return model


def _check_patterns(model: Any, parameters: Any) -> None:
    """Each key of a pattern must be of an adapted module: PEFT only warns of those that are not.

    Raises TrainingError.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = [name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
    for setting in ("rank_pattern", "alpha_pattern"):
        for key in getattr(parameters, setting, {}):
            if not any(re.match(rf"(.*\.)?({key})$", name) for name in found):
                raise TrainingError(
                    f"method.{setting}: no adapted module is named {key[:60]!r}",
                    f"one is {found[0].removeprefix('base_model.model.')}",
                )
