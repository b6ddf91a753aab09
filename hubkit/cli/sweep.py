"""`hubkit sweep`: a matrix of runs, foretold, run and set side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubkit.cli import common
from hubkit.errors import SettingsError

if TYPE_CHECKING:
    from hubkit.sweeping.matrix import Planned, Sweep
    from hubkit.sweeping.running import Outcome, Runner

HERE = "started here"  # a cluster that the command starts and ends


@click.command("sweep")
@click.argument("config", metavar="SWEEP", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="List the runs and what they will take; run none.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Run these runs: by name, or by how their names begin. Repeatable.",
)
@click.option(
    "--only-index",
    type=click.IntRange(0),
    help="Run one run, by its number from 0; leaves the tables to others.",
)
@click.option(
    "--max-runs",
    type=click.IntRange(0),
    help="Run so many of those that are not done; 0: only write the tables.",
)
@click.option(
    "--probe/--no-probe", "probes", default=True, help="Try a few steps to foretell the time (default: yes)."
)
@click.option(
    "--ray",
    "cluster",
    is_flag=False,
    flag_value=HERE,
    metavar="[ADDRESS]",
    help="Run on a Ray cluster, host:port or auto; without an address on one that is started here (needs"
    " hubkit[ray]).",
)
@click.option(
    "--print",
    "script",
    type=click.Choice(["slurm", "hf-jobs"]),
    help="Print what runs the sweep elsewhere: a Slurm array script, or commands of Hugging Face Jobs.",
)
@click.option(
    "--at-once",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="With --print slurm: runs at once.",
)
@click.option("--flavor", default="t4-small", show_default=True, help="With --print hf-jobs: the machine.")
@click.option("--namespace", help="With --print hf-jobs: whose repos get the adapters (default: yours).")
@common.json_option
@common.quiet_option
def command(
    config: Path,
    dry_run: bool,
    only: tuple[str, ...],
    only_index: int | None,
    max_runs: int | None,
    probes: bool,
    cluster: str | None,
    script: str | None,
    as_json: bool,
    quiet: bool,
    **elsewhere: Any,
) -> None:
    """Train, measure and compare a matrix of runs: methods, ranks, seeds, datasets, or any other settings.

    SWEEP is a YAML file with base (a settings file, or settings), matrix (dotted settings, each with a list
    of values), include, exclude and output_dir; see docs/sweep.md. All settings are checked first. Each run
    has its own directory with its own settings.yaml. What is done is not done again; a run that fails keeps
    no other from its turn, and the exit code is 1 then. Ctrl-C leaves a checkpoint, and the same command
    goes on.
    """
    from hubkit.sweeping import matrix, running

    sweep = matrix.load(config)
    if script:
        _print(sweep, script, cluster, dry_run, elsewhere)
        return
    say = common.speaker(quiet)
    wanted = running.Wanted(only, only_index, max_runs)
    runs = running.todo(sweep, wanted)
    one = only_index is not None
    forecast = running.foretold(sweep, runs, say, probes=probes and not one)
    if dry_run:
        _show_plan(sweep, runs, forecast, as_json)
        if forecast.unknown and not probes:
            common.hint("Next: leave out --no-probe: a few steps of each kind of run tell the time", quiet)
        return
    if runs:
        say(running.told(forecast, len(runs)))
    outcome = running.run(sweep, runs, forecast, _runner(sweep, cluster, say), say)
    markdown = None if one else running.write_tables(sweep, say)
    if as_json:
        common.result(_data(sweep, outcome), "", as_json=True)
    elif markdown:
        click.echo(markdown)
    running.conclude(sweep, outcome, say)


def _runner(sweep: Sweep, cluster: str | None, say: Any) -> Runner:
    from hubkit.sweeping import running

    if cluster is None:
        return running.here
    from hubkit import extras
    from hubkit.sweeping import on_ray

    extras.require("ray", ("ray",))
    return on_ray.runner(None if cluster == HERE else cluster, sweep.resources, say)


def _show_plan(sweep: Sweep, runs: list[Planned], forecast: Any, as_json: bool) -> None:
    from hubkit.card import text
    from hubkit.sweeping import running

    if as_json:
        told = [
            {
                "index": one.index,
                "name": one.name,
                "values": one.values,
                "wanted": one in runs,
                **({"seconds": seconds} if (seconds := forecast.seconds.get(one.name)) is not None else {}),
            }
            for one in sweep.runs
        ]
        common.result({"runs": told, "seconds": forecast.total}, "", as_json=True)
        return
    for one in sweep.runs:
        seconds = forecast.seconds.get(one.name)
        about = f"about {text.duration(seconds)}" if seconds is not None else "time not known"
        click.echo(f"{one.index:>4}  {one.name}  {about if one in runs else 'not now, or done'}")
    click.echo(running.told(forecast, len(runs)))


def _print(sweep: Sweep, script: str, cluster: str | None, dry_run: bool, elsewhere: dict[str, Any]) -> None:
    from hubkit.sweeping import scripts

    if cluster or dry_run:
        raise SettingsError("--print runs nothing, here or on a cluster", "leave out --ray and --dry-run")
    if script == "slurm":
        click.echo(scripts.slurm(sweep, elsewhere["at_once"]), nl=False)
    else:
        click.echo(scripts.hf_jobs(sweep, elsewhere["flavor"], elsewhere["namespace"]), nl=False)


def _data(sweep: Sweep, outcome: Outcome) -> dict[str, Any]:
    return {"output_dir": str(sweep.output_dir), **dataclasses.asdict(outcome)}
