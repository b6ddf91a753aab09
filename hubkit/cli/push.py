"""What `publish` and `run-and-publish` share: options from flags and settings, and the report at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from hubkit.cli import common
from hubkit.pipeline import Forecast
from hubkit.publishing import Plan, Published, PushOptions, Reversal, Reverted
from hubkit.publishing.show import plan_data, show_plan, show_published, show_reversal, show_reverted
from hubkit.settings import Hub


def push_options(flags: dict[str, Any], settings: Hub | None, quiet: bool) -> PushOptions:
    """The options of a push: a flag beats the file, falsy flags too; what neither says stays open."""
    said = dict(flags)
    for name in Hub.__struct_fields__ if settings else ():
        if said.get(name) is None:
            said[name] = getattr(settings, name)
    for name in ("include", "allow"):  # what the file lists stays listed
        said[name] = (*(getattr(settings, name) if settings else ()), *flags[name])
    said["audit"] = said["audit"] is not False
    said["create_pr"], said["verify_download"] = bool(said["create_pr"]), bool(said["verify_download"])
    said["local_hub"] = Path(said["local_hub"]) if said["local_hub"] else None
    watched = common.watched()
    if flags.get("token") and watched:
        common.hint(
            "A token given as --token shows in the list of processes; in HF_TOKEN it does not.", quiet
        )
    return PushOptions(
        **said,
        watched=watched,
        progress=watched and not quiet,
        insist=common.hint,
        tell=common.speaker(quiet),
    )


def report(outcome: Plan | Published | Reversal | Reverted | Forecast, as_json: bool, quiet: bool) -> None:
    """Say what was published, or would be; the last line of a push is its address.

    A plan that would be refused ends the command with 1.
    """
    if isinstance(outcome, Forecast):
        fate = "would be created" if outcome.creates_repo else "exists"
        todo = [*outcome.todo, f"publish it as {outcome.repo_id} ({outcome.visibility}; {fate})"]
        common.result(msgspec.to_builtins(outcome), "Would " + ";\nwould ".join(todo), as_json)
        return
    if isinstance(outcome, Plan | Reversal):
        if isinstance(outcome, Plan):
            common.result(plan_data(outcome), show_plan(outcome), as_json)
        else:
            common.result(msgspec.to_builtins(outcome), show_reversal(outcome), as_json)
        if outcome.refused:
            click.get_current_context().exit(1)
        return
    shown = show_published(outcome) if isinstance(outcome, Published) else show_reverted(outcome)
    common.hint(shown, quiet)
    if outcome.serve:
        common.hint(f"See it with: {outcome.serve}", quiet)
    common.result(msgspec.to_builtins(outcome), outcome.address, as_json)
