"""The base with a fresh adapter on it, ready to be trained."""

from __future__ import annotations

from typing import Any

from hubkit.errors import TrainingError
from hubkit.models import loading
from hubkit.training.job import Job


def precision(job: Job) -> str:
    """The dtype of the frozen base. Modules that are trained whole need float32, and so does their input."""
    if job.training.precision == "auto" and job.method_parameters.modules_to_save:
        return "float32"
    return loading.resolve_precision(job.training.precision, loading.device())


def adapted(loaded: loading.Loaded, job: Job) -> Any:
    """The base with a fresh adapter, trainable."""
    from peft import get_peft_model

    saved = tuple(job.method_parameters.modules_to_save)
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
    config = job.method.peft_config(job.method_parameters, job.task.PEFT_TASK_TYPE)
    config.revision = loaded.facts.revision
    try:
        model = get_peft_model(loaded.model, config)
    except ValueError as error:
        raise TrainingError(str(error).splitlines()[0][:200], "check method.target_modules") from error
    loading.guard_4bit(model)
    return model
