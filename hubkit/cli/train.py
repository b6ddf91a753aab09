"""`hubkit train`: train an adapter."""

from __future__ import annotations

from pathlib import Path

import click

from hubkit.cli import common


@click.command("train")
@common.config_argument
@common.set_option
@click.option("--resume", is_flag=True, help="Go on from a checkpoint, and fail when there is none.")
@click.option("--fresh", is_flag=True, help="Drop checkpoints and train anew.")
@common.quiet_option
def command(config: Path, overrides: tuple[str, ...], resume: bool, fresh: bool, quiet: bool) -> None:
    """Train the adapter that CONFIG describes, into <output_dir>/adapter.

    Goes on from the last checkpoint of the same settings, where there is one. Ctrl-C stops after the step at
    hand and leaves a checkpoint.
    """
    from hubkit import processes, stages

    run = common.prepared(config, overrides, None, quiet)
    say, watched = common.speaker(quiet), common.watched() and not quiet
    directory = stages.train(run, say, fresh=fresh, must_resume=resume, watched=watched)
    processes.leave()
    click.echo(directory)
