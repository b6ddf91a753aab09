"""run-and-publish: the whole story of an adapter, on one screen.

settings -> load or train -> adapter directory -> measure -> record -> card -> its code runs -> publish
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from hubkit import adapter, hub_rules, record, stages
from hubkit.card import regions, writing
from hubkit.errors import CardError, MissingExtra, SnippetError
from hubkit.extras import LOCAL, require
from hubkit.publishing import Plan, Published, PushOptions, open_target, publish_to, resolve_repo_id, stopping
from hubkit.publishing.draft import Draft, draft
from hubkit.publishing.planned import asked_visibility, visibility
from hubkit.publishing.target import LocalHub, Target
from hubkit.runs import Run
from hubkit.stages import Say
from hubkit.verify import usage


class Forecast(msgspec.Struct, kw_only=True, frozen=True):
    """What a dry run would do before there is anything to push."""

    repo_id: str
    todo: list[str]
    creates_repo: bool
    visibility: str  # as in a plan


class StartLocalHub(Protocol):
    """What starts a local Hub in a directory; `mounts` are served under ids: `hubkit.localhub.start`."""

    def __call__(  # noqa: D102
        self, directory: Path, *, mounts: Mapping[str, tuple[Path, str]] | None = None
    ) -> LocalHub: ...


def run_and_publish(
    run: Run,
    options: PushOptions,
    start_local_hub: StartLocalHub,
    say: Say,
    *,
    fresh: bool = False,
    force: bool = False,
) -> Published | Plan | Forecast:
    """Train (or load), measure, write the card, run its code, publish; what is done is not done again.

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
            return _forecast(target, repo_id, options, todo)
        directory = run.adapter_dir
        if not options.dry_run:
            if not run.settings.adapter:
                stages.train(run, say, fresh=fresh, watched=options.watched)
            stages.measure(run, say, watched=options.watched)
        if options.dry_run:
            return publish_to(target, directory, repo_id, options, say, drafted(run, repo_id, force))
        write_card(run, repo_id, force, say)
        if run.settings.verifying.usage and try_code(run, start_local_hub, say):
            write_card(run, repo_id, force, say)  # with what the code printed
        reached = f"adapter and measures are in {directory}"
        with stopping.told(target.hub, reached, _goes_on(run, options, repo_id)):
            return publish_to(target, directory, repo_id, options, say)


def _forecast(target: Target, repo_id: str, options: PushOptions, todo: list[str]) -> Forecast:
    repo = target.hub.repo(repo_id)
    wanted = asked_visibility(options.private, options.watched or target.local_hub is not None)
    return Forecast(
        repo_id=repo.id if repo else repo_id,
        todo=todo,
        creates_repo=repo is None,
        visibility=visibility(repo, wanted),
    )


def _goes_on(run: Run, options: PushOptions, repo_id: str) -> str:
    """The command that publishes what is made already; of a token it says nothing."""
    words = ["hubkit", "publish", "--adapter", str(run.adapter_dir), "--repo-id", repo_id]
    words += ["--local-hub", str(options.local_hub)] if options.local_hub else []
    words += ["--endpoint", options.endpoint] if options.endpoint else []
    words += ["--revision", options.revision] if options.revision else []
    words += ["--create-pr"] if options.create_pr else []
    words += ["--private" if options.private else "--no-private"] if options.private is not None else []
    return shlex.join(words)


def drafted(run: Run, repo_id: str, force: bool = False) -> Draft:
    """Record and card as these settings make them."""
    card = run.settings.card
    template = Path(card.template) if card.template else None
    return draft(run.adapter_dir, repo_id, card, template, "draw" if card.figures else "leave out", force)


def write_card(run: Run, repo_id: str, force: bool, say: Say) -> None:
    """Write record and card."""
    path = run.adapter_dir / regions.CARD_NAME
    made = drafted(run, repo_id, force)
    if made.prepared.merged.adopted:
        say(f"{path} was not in hubkit's regions; its author's text stays:\n{made.prepared.diff()}")
    for note in made.prepared.merged.notes:
        say(f"{path}: {note}")
    outcome = made.write(run.adapter_dir)
    say(f"wrote {path}" if outcome == "written" else f"{path} is up to date")


def try_code(run: Run, start_local_hub: StartLocalHub, say: Say) -> bool:
    """Run the code of the written card; whether the record holds a new run. Raises SnippetError.

    What ran already on these files is not run again.
    """
    if not usage.has_code(run.adapter_dir):
        say("the card shows no code to run")
        return False
    if usage.has_run(run.adapter_dir):
        say("the card's code ran already on these files")
        return False
    base = run.settings.base
    options = usage.Options(
        base_path=Path(base.path) if base.path else None,
        trusted=base.trust_remote_code,
        time_limit=run.settings.verifying.time_limit,
        threads=run.settings.training.threads,
    )
    try:
        usage.verify_and_record(run.adapter_dir, start_local_hub, options, say)
    except SnippetError as error:
        hint = f"{error.hint}; --no-verify-usage goes on without it"
        raise SnippetError(error.message, hint) from error
    return True


def check_first(run: Run, force: bool) -> None:
    """Find what would stop the run at its end before hours are spent.

    A card that may not be replaced, a template that is not there, a licence that the Hub does not know.
    """
    card = run.settings.card
    if run.settings.verifying.usage:
        _check_local_hub()
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
        writing.check_first(run.adapter_dir, force)


def _check_local_hub() -> None:
    """The card's code runs against a local Hub. Raises MissingExtra."""
    try:
        require("local", LOCAL)
    except MissingExtra as error:
        raise MissingExtra(
            f"to run the card's code before the push, {error.message}",
            f"{error.hint}, or --no-verify-usage",
        ) from None
