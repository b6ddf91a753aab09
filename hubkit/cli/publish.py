"""`hubkit publish`: push an adapter directory with its card, in one commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubkit.cli import common


@click.command("publish")
@click.option(
    "--adapter",
    "adapter_dir",
    type=click.Path(path_type=Path),
    help="Adapter directory (adapter_config.json, adapter_model.safetensors). Required, but for --revert.",
)
@common.push_options
@click.option(
    "--revert",
    is_flag=True,
    help="Take the last publish back: its files become what they were before it, in one commit.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace what was written or changed on the Hub since; its history keeps it.",
)
@common.json_option
@common.quiet_option
def command(adapter_dir: Path | None, revert: bool, as_json: bool, quiet: bool, **push: Any) -> None:
    """Push adapter and card to the Hub, in one commit.

    Without a Hub token, and where HF_ENDPOINT or --endpoint names none, it goes to a local Hub in
    ./local-hub, and says so; but a --repo-id of a user other than "local" needs a token. It can
    be run again at any time: what the Hub has already is not sent, and with nothing to change no commit is
    made. A --dry-run exits with 1 when its plan would be refused, and with 2, as a push does, when there can
    be no plan.
    """
    from hubkit import localhub
    from hubkit.cli.push import push_options, report
    from hubkit.publishing import publish, take_back

    options, say = push_options(push, None, quiet), common.speaker(quiet)
    if revert:
        report(take_back(adapter_dir, options, localhub.start, say), as_json, quiet)
    elif adapter_dir is None:
        raise click.UsageError("Missing option '--adapter'.", click.get_current_context())
    else:
        report(publish(adapter_dir, options, localhub.start, say), as_json, quiet)
