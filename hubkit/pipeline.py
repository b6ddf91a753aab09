"""run-and-publish: the whole story of an adapter, on one screen.

settings -> load or train -> adapter directory -> measure -> record -> card -> publish
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from hubkit import adapter, hub_rules, record, stages
from hubkit.card import regions
from hubkit.errors import CardError
from hubkit.publishing import Plan, Published, PushOptions, open_target, publish_to, resolve_repo_id
from hubkit.publishing.draft import draft
from hubkit.publishing.target import StartLocalHub
from hubkit.runs import Run
from hubkit.stages import Say


class Forecast(msgspec.Struct, kw_only=True, frozen=True):
    """What a dry run would do before there is anything to push."""

    repo_id: str
    todo: list[str]


def run_and_publish(
    run: Run,
    options: PushOptions,
    start_local_hub: StartLocalHub,
    say: Say,
    *,
    fresh: bool = False,
    force: bool = False,
) -> Published | Plan | Forecast:
    """Train (or load), measure, write the card, publish; what is done already is not done again.

    A dry run gives the plan of the push where the adapter is trained and measured, else what would be done
    before it; it writes nothing.
    """
    check_first(run, force)
    known = record.read(run.adapter_dir).repo_id if run.adapter_dir.is_dir() else None
    with open_target(options, start_local_hub) as target:
        target.announce(options, say)
        name = run.adapter_dir.resolve().name if run.settings.adapter else run.output_dir.resolve().name
        repo_id = resolve_repo_id(options, target, name, known)
        target.check(repo_id, options)  # a token that may not write is found now, not after hours
        if options.dry_run and (todo := stages.forecast(run, fresh=fresh)):
            return Forecast(repo_id=repo_id, todo=todo)
        directory = run.adapter_dir
        if not options.dry_run:
            if not run.settings.adapter:
                stages.train(run, say, fresh=fresh, watched=options.watched)
            stages.measure(run, say, watched=options.watched)
        card = run.settings.card
        template = Path(card.template) if card.template else None
        drafted = draft(directory, repo_id, card, template, "draw" if card.figures else "leave out")
        if not options.dry_run:
            outcome = drafted.write(directory, force)
            path = directory / regions.CARD_NAME
            say(f"wrote {path}" if outcome == "written" else f"{path} is up to date")
        return publish_to(target, directory, repo_id, options, say, drafted if options.dry_run else None)


def check_first(run: Run, force: bool) -> None:
    """Find what would stop the run at its end before hours are spent.

    A card that may not be replaced, a template that is not there, a licence that the Hub does not know.
    """
    card = run.settings.card
    if card.template and not Path(card.template).is_file():
        raise CardError(f"there is no template {card.template}", "check card.template")
    said = {"license": card.license, "license_name": card.license_name, "license_link": card.license_link}
    said = {key: value for key, value in said.items() if value}
    if card.license and (wrong := hub_rules.front_matter_problems(said)):
        raise CardError(f"card.license: {wrong[0]}", "check card.license")
    if run.settings.adapter:
        adapter.read(run.adapter_dir)
    elif run.settings.data is None:
        raise stages.no_dataset()
    if run.adapter_dir.is_dir():
        regions.check_replaceable(run.adapter_dir, "", force)
