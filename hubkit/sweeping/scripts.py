"""What runs a sweep elsewhere, printed: a Slurm array script, and commands of Hugging Face Jobs.

Neither holds a secret: a job gets a token by the name of the variable that holds it.
"""

from __future__ import annotations

import math
import re
import shlex

from hubkit.errors import SettingsError
from hubkit.sweeping import local
from hubkit.sweeping.matrix import Planned, Sweep

IMAGE = "python:3.12"
PACKAGE = "hubkit[train,local]"
NAMESPACE = "YOUR-NAME"
TIME = "1d"  # of a job; it ends when its command does


def slurm(sweep: Sweep, at_once: int) -> str:
    """An array script, a task for each run; `sbatch` takes it in the directory of the sweep's paths."""
    last = len(sweep.runs) - 1
    gpus = (
        [f"#SBATCH --gpus-per-task={math.ceil(sweep.resources.num_gpus)}"] if sweep.resources.num_gpus else []
    )
    file = shlex.quote(str(sweep.path))
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name=hubkit-{_plain(sweep.path.stem)}",
        f"#SBATCH --array=0-{last}%{min(at_once, last + 1)}",
        "#SBATCH --ntasks=1",
        f"#SBATCH --cpus-per-task={math.ceil(sweep.resources.num_cpus)}",
        *gpus,
        "# The time is the partition's; for a limit of your own take one # away from the next line.",
        "##SBATCH --time=1-00:00:00",
        "#SBATCH --signal=B:TERM@180",
        "#SBATCH --requeue",
        "# Slurm sends SIGTERM three minutes before that limit: the run leaves a checkpoint, and goes on",
        "# from it when sbatch takes this script again. When all tasks have ended, the tables are written by",
        f"#   hubkit sweep {file}",
        "set -euo pipefail",
        f'exec hubkit sweep {file} --only-index "${{SLURM_ARRAY_TASK_ID:?sbatch sets it}}"',
    ]
    return "\n".join(lines) + "\n"


def hf_jobs(sweep: Sweep, flavor: str, namespace: str | None) -> str:
    """A command for each run that is not done: a job that trains, measures and publishes it.

    Writes the settings of each, which the job mounts. Raises SettingsError where runs read local files.
    """
    runs = [one for one in sweep.runs if not local.is_done(one)]
    for one in runs:
        _check_is_on_the_hub(one)
    whose = namespace or NAMESPACE
    lines = [
        "#!/bin/sh",
        "# Each job publishes its adapter to a private repo; `hf jobs ps` lists them. When all have ended:",
        *(f"#   {_fetched(one, whose)}" for one in runs),
        f"#   hubkit sweep {shlex.quote(str(sweep.path))}",
        "set -eu",
        *(_job(one, flavor, whose) for one in runs),
    ]
    return "\n".join(lines) + "\n"


def _job(one: Planned, flavor: str, namespace: str) -> str:
    local.job(one)
    inside = (
        f"pip install -q '{PACKAGE}' && hubkit run-and-publish /run/settings.yaml --set output_dir=/tmp/run"
        f" --repo-id {namespace}/{one.name} --private"
    )
    words = [
        "hf", "jobs", "run", "--detach", "--name", one.name, "--flavor", flavor, "--timeout", TIME,
        "--secrets", "HF_TOKEN", "--volume", f"./{one.directory}:/run:ro",
        IMAGE, "sh", "-c", inside,
    ]  # fmt: skip
    return shlex.join(words)


def _fetched(one: Planned, namespace: str) -> str:
    target = str(one.directory / "adapter")
    return shlex.join(["hf", "download", f"{namespace}/{one.name}", "--local-dir", target])


def _check_is_on_the_hub(one: Planned) -> None:
    told = one.run.settings
    data = told.data
    here = [
        *(data.files if data else []),
        *(data.eval_files if data else []),
        *filter(None, [told.base.path]),
    ]
    if here:
        raise SettingsError(
            f"{one.name} reads {here[0]}, which a job on other machines does not have",
            "name a base model and a dataset of the Hub: base_model.id, dataset.id",
        )
    if one.directory.is_absolute():
        raise SettingsError(
            f"output_dir {one.directory.parent} is not below the current directory", "give a relative one"
        )


def _plain(name: str) -> str:
    """A name that a directive of Slurm takes without quotes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
