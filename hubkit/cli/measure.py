"""`hubkit measure`: measure an adapter and write its record."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import msgspec

from hubkit import tasks
from hubkit.cli import common


def _sizes(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    """Batch sizes from a list with commas."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if wrong := [part for part in parts if not re.fullmatch(r"0*[1-9][0-9]{0,6}", part)]:
        raise click.BadParameter(f"{wrong[0]!r} is no batch size; give whole numbers above zero: 1,8,32")
    return tuple(int(part) for part in parts)


@click.command("measure")
@common.adapter_option
@click.argument("config", required=False, type=click.Path(path_type=Path, dir_okay=False))
@common.set_option
@click.option("--base-model", help="Hub id of the base model, where the adapter does not name it.")
@click.option("--base-path", help="Local directory of the base model's weights.")
@click.option("--base-note", help="How those weights differ from the ones that the id names.")
@click.option("--task", type=click.Choice(list(tasks.TASKS)), help="Task, where the files do not tell it.")
@click.option("--text", "files", multiple=True, help="Local text to measure perplexity on. Repeatable.")
@click.option(
    "--dataset", help="Hub dataset to measure perplexity on: id, id:split or id:config:split (split: test)."
)
@click.option(
    "--context", type=click.IntRange(2), help="Context in tokens (default: as before, or as trained)."
)
@click.option(
    "--batch-sizes",
    default="",
    callback=_sizes,
    help="Measure throughput at these batch sizes too, until one does not fit: 1,8,32.",
)
@click.option("--again", is_flag=True, help="Measure again what is measured already.")
@common.json_option
@common.quiet_option
def command(
    adapter_dir: Path,
    config: Path | None,
    overrides: tuple[str, ...],
    again: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Measure parameters, size, perplexity and throughput of an adapter, into its hubkit.json.

    CONFIG says what to measure on, as for training; without it, the options and the record do. Without any
    text, perplexity is left out.
    """
    from hubkit import record, runs, stages

    told = runs.Told(**given)
    if config:
        run = common.prepared(config, (*runs.overrides_of(told), *overrides), str(adapter_dir))
    else:
        run = runs.of_adapter(adapter_dir, told, list(overrides))
    directory = stages.measure(
        run, common.speaker(quiet), again=again, watched=common.watched() and not quiet
    )
    if as_json:
        common.result(msgspec.to_builtins(record.read(directory).measures), "", True)
        return
    if run.settings.data is None:
        common.hint("Perplexity was left out: no text. Next: --text FILE, --dataset ID, or a CONFIG", quiet)
    if not quiet:
        common.figures(directory)
    click.echo(directory / record.RECORD_NAME)
