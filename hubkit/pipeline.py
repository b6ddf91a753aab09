"""run-and-publish: the whole story of an adapter, on one screen.

settings -> load or train -> adapter directory -> measure -> record -> card -> publish
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from hubkit import record, stages
from hubkit.card import facts, regions
from hubkit.card.render import render
from hubkit.publishing import Plan, Published, PushOptions, open_target, publish_to, resolve_repo_id
from hubkit.publishing.target import StartLocalHub
from hubkit.runs import Run
from hubkit.settings import Card
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
    with open_target(options, start_local_hub) as target:
        name = run.adapter_dir.resolve().name if run.settings.adapter else run.output_dir.resolve().name
        known = record.read(run.adapter_dir).repo_id if run.adapter_dir.is_dir() else None
        repo_id = resolve_repo_id(options, target, name, known)
        target.check(repo_id, options)  # a token that may not write is found now, not after hours
        if options.dry_run and (todo := stages.forecast(run)):
            return Forecast(repo_id=repo_id, todo=todo)
        if not run.settings.adapter:
            stages.train(run, say, fresh=fresh, watched=options.watched)
        directory = stages.measure(run, say, watched=options.watched)
        if not options.dry_run:
            say(write_card(directory, repo_id, run.settings.card, force))
        return publish_to(target, directory, repo_id, options, say)


def check_first(run: Run, force: bool) -> None:
    """Find what would stop the run at its end before hours are spent: a card that may not be replaced."""
    if run.adapter_dir.is_dir():
        regions.check_replaceable(run.adapter_dir, "", force)


def write_card(directory: Path, repo_id: str, card: Card, force: bool) -> str:
    """Remember the repo and the author's words in the record, write the card, and say what was done."""
    known = record.read(directory)
    told = msgspec.structs.replace(known, repo_id=repo_id, author=facts.merge_authors(known.author, card))
    text = render(facts.gather(directory, record=told), Path(card.template) if card.template else None)
    regions.check_replaceable(directory, text, force)  # before the record is touched
    if told != known:
        record.write(directory, told)
    outcome = regions.write_card(directory, text, force)
    path = directory / regions.CARD_NAME
    return f"wrote {path}" if outcome == "written" else f"{path} is up to date"
