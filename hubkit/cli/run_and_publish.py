"""`hubkit run-and-publish`: train or load, measure, write the card, publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubkit.cli import common


@click.command("run-and-publish")
@common.config_argument
@common.set_option
@click.option("--adapter", "adapter_dir", help="Load this adapter instead of training one.")
@common.push_options
@click.option(
    "--verify-usage/--no-verify-usage",
    default=None,
    help="Run the card's own code before the push; a failure stops it (default: yes).",
)
@click.option("--fresh", is_flag=True, help="Drop checkpoints and train anew.")
@click.option(
    "--force",
    is_flag=True,
    help="Replace a card that is not hubkit's: it is kept as README.md.orig, and in the history of the Hub.",
)
@common.json_option
@common.quiet_option
def command(
    config: Path,
    overrides: tuple[str, ...],
    adapter_dir: str | None,
    verify_usage: bool | None,
    fresh: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
    **push: Any,
) -> None:
    """Train (or load) an adapter, measure it, write its card, run its code, and publish in one commit.

    CONFIG is a YAML file; see examples/. Stages that are done already for the same settings and the same
    weights are not done again, so that a run which was stopped goes on where it was. Without a Hub token,
    and where HF_ENDPOINT or --endpoint names none, it goes to a local Hub in ./local-hub, and says so; but a
    --repo-id of a user other than "local" needs a token.
    """
    from hubkit import localhub, pipeline
    from hubkit.cli.push import push_options, report

    if verify_usage is not None:
        overrides = (*overrides, f"verifying.usage={str(verify_usage).lower()}")
    run = common.prepared(config, overrides, adapter_dir, quiet)
    options = push_options({**push, "force": force}, run.settings.hub, quiet)
    say = common.speaker(quiet)
    outcome = pipeline.run_and_publish(run, options, localhub.start, say, fresh=fresh, force=force)
    if not (quiet or as_json or options.dry_run):
        common.figures(run.adapter_dir)
    report(outcome, as_json, quiet)
