"""`hubkit publish`: push an adapter directory with its card, in one commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubkit.cli import common


@click.command("publish")
@common.adapter_option
@common.push_options
@click.option(
    "--force",
    is_flag=True,
    help="Replace a card that was written or edited on the Hub; its history keeps it.",
)
@common.json_option
@common.quiet_option
def command(adapter_dir: Path, as_json: bool, quiet: bool, **push: Any) -> None:
    """Push adapter and card to the Hub, in one commit.

    Without a Hub token it goes to a local Hub in ./local-hub, and says so; but a --repo-id of a user other
    than "local" needs a token. It can be run again at any time: what the Hub has already is not sent, and
    with nothing to change no commit is made.
    """
    from hubkit import localhub
    from hubkit.cli.push import push_options, report
    from hubkit.publishing import publish

    options = push_options(push, None, quiet)
    report(publish(adapter_dir, options, localhub.start, common.speaker(quiet)), as_json, quiet)
