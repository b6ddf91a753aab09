"""`hubkit publish`: push an adapter directory with its card, in one commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubkit.cli import common


@click.command("publish")
@common.adapter_option
@common.push_options
@common.json_option
@common.quiet_option
def command(adapter_dir: Path, as_json: bool, quiet: bool, **push: Any) -> None:
    """Push adapter and card to the Hub, in one commit.

    Without a Hub token it goes to a local Hub in ./local-hub, and says so. It can be run again at any time:
    what the Hub has already is not sent, and with nothing to change no commit is made.
    """
    import msgspec

    from hubkit import localhub
    from hubkit.publishing import Plan, PushOptions, publish
    from hubkit.publishing.show import show_plan, show_published

    options = PushOptions(
        **{**push, "create_pr": bool(push["create_pr"])},
        watched=common.watched(),
        progress=common.watched() and not quiet,
    )
    outcome = publish(adapter_dir, options, localhub.start, lambda line: common.hint(line, quiet))
    if isinstance(outcome, Plan):
        common.result(msgspec.to_builtins(outcome), show_plan(outcome), as_json)
        return
    common.hint(show_published(outcome), quiet)
    if outcome.serve:
        common.hint(f"See it with: {outcome.serve}", quiet)
    common.result(msgspec.to_builtins(outcome), outcome.address, as_json)
