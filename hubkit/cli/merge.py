"""`hubkit merge`: merge an adapter into its base, and write the model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hubkit import tasks
from hubkit.cli import common

_DTYPES = ("float32", "bfloat16", "float16")


@click.command("merge")
@common.adapter_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory for the merged model; empty, or not there.",
)
@click.option("--dtype", type=click.Choice(_DTYPES), help="Save in this (default: as the base is stored).")
@click.option("--base-model", help="Hub id of the base model, where the adapter does not name it.")
@click.option("--base-path", help="Local directory of the base model's weights.")
@click.option("--base-revision", help="Commit, branch or tag of the base model on the Hub.")
@click.option("--task", type=click.Choice(list(tasks.TASKS)), help="Task, where the files do not tell it.")
@common.json_option
@common.quiet_option
def command(
    adapter_dir: Path,
    output: Path,
    dtype: str | None,
    base_model: str | None,
    base_path: str | None,
    base_revision: str | None,
    task: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Merge an adapter into its base as it is published; write weights, configuration and tokenizer.

    The base is never the 4-bit one: an adapter that was trained on that meets slightly other weights, and how
    far that moves the model is said. What is merged must compute what base and adapter do, or nothing is
    written.
    """
    from hubkit import merging, runs

    told = runs.Told(base_model=base_model, base_path=base_path, base_revision=base_revision, task=task)
    say = common.speaker(quiet)
    merged = merging.merge(runs.of_adapter(adapter_dir, told, []), output, dtype, say)
    for line in merged.lines():
        say(line)
    common.result({**asdict(merged), "output": str(output)}, str(output), as_json)
