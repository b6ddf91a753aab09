"""`hubkit card`: write the model card of an adapter directory, or check the one that is there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import msgspec

from hubkit import __version__, base_model, freshness, record, tasks
from hubkit.card import comparison, figures, fragments, regions, writing
from hubkit.card import facts as card_facts
from hubkit.card.body import EVERY
from hubkit.card.facts import Facts
from hubkit.card.writing import Wishes
from hubkit.cli import card_base, card_options, card_output, card_usage, common
from hubkit.errors import BaseModelError, CardError
from hubkit.record import Author, BaseModel, Record, Written

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("card")
@common.hub_adapter_option
@common.into_option
@click.option("--repo-id", "--hub-model-id", help="Repo that the snippets name: user/name.")
@click.option(
    "--base-config", type=_FILE, help="The base model's config.json, where its weights are not at hand."
)
@click.option(
    "--base-from-hub",
    is_flag=True,
    help="Count parameters with those of the base: read its config.json and headers of weights from the Hub.",
)
@click.option("--base-model", help="Hub id of the base model, where the adapter does not name it.")
@click.option("--task", type=click.Choice(list(tasks.TASKS)), help="Task, where the files do not tell it.")
@click.option("--title", help="Heading of the card.")
@click.option("--summary", help="The card's first sentences, in place of hubkit's own.")
@click.option("--description", help="What else there is to say of the adapter. Markdown.")
@click.option("--intended-use", help="What the adapter is for. Markdown.")
@click.option("--out-of-scope", help="What the adapter is not for. Markdown.")
@click.option("--risks", help="Risks and bias. Markdown.")
@click.option("--limitations", help="Limits that hubkit cannot know. Markdown.")
@click.option("--author", "authors", multiple=True, metavar="NAME", help="An author's name. Repeatable.")
@click.option("--contact", help="Where to ask: a link, or words. Markdown.")
@click.option("--example", help="Text for the example of use; {mask} stands for the mask of a masked model.")
@click.option("--license", help="License of the adapter: an id of the Hub's list.")
@click.option("--license-name", help="Name of the license, with --license other.")
@click.option("--license-link", help="Address of the license, with --license other.")
@click.option("--language", multiple=True, metavar="CODE", help="Language of the text. Repeatable.")
@click.option("--tag", "tags", multiple=True, help="A tag of your own. Repeatable.")
@click.option(
    "--compare",
    "compared",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Another adapter to compare this one with, measured alike. Repeatable.",
)
@click.option("--no-compare", is_flag=True, help="Forget the adapters that the card compares this one with.")
@click.option(
    "--figures/--no-figures",
    "with_figures",
    default=None,
    help="Draw figures (default), or none, and remove those that hubkit drew: it remembers which.",
)
@click.option("--template", type=_FILE, help="A Jinja template in place of hubkit's own.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the card; write nothing.")
@click.option(
    "--check", is_flag=True, help="Exit 1 when the card is not what would be written; write nothing."
)
@click.option("--diff", is_flag=True, help="Print what would change; write nothing.")
@click.option(
    "--keep",
    multiple=True,
    is_flag=False,
    flag_value=EVERY,
    metavar="[REGION]",
    help="Keep what you edited inside hubkit's markers, everywhere or in one region. Repeatable.",
)
@click.option("--force", is_flag=True, help="Take hubkit's text for what was edited inside its markers.")
@click.option("--restore", is_flag=True, help="Bring back the regions that were taken out of the card.")
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask before a card that hubkit did not write is adopted."
)
@common.json_option
@common.quiet_option
@card_usage.option
def command(
    adapter_dir: Path,
    template: Path | None,
    to_stdout: bool,
    check: bool,
    diff: bool,
    keep: tuple[str, ...],
    force: bool,
    restore: bool,
    yes: bool,
    as_json: bool,
    quiet: bool,
    base_config: Path | None,
    base_path: Path | None,
    base_from_hub: bool,
    compared: tuple[Path, ...],
    no_compare: bool,
    with_figures: bool | None,
    reports: bool = True,
    **given: Any,
) -> None:
    """Write the model card (README.md) of an adapter directory.

    Everything on it comes from the record hubkit.json and the adapter's own files. What you say by options is
    kept in hubkit.json, so that the card can be made again. Your own text in README.md stays as it is: hubkit
    writes between its markers, and its own keys of the front matter.
    """
    card_options.refuse_both(keep, force)
    known = record.read(adapter_dir)
    _say_edited(adapter_dir, quiet)
    fragments.refuse_twice(adapter_dir, given)
    told = _with_options(card_options.with_found(adapter_dir, known), **given)
    told = card_options.with_comparison(adapter_dir, told, compared, no_compare, quiet)
    base = card_base.named(base_config, base_path, base_from_hub, told, adapter_dir)
    facts = card_base.gathered(adapter_dir, told, base)
    if compared:
        comparison.check(facts)
    remembers = told != known or base is not None
    facts = dataclasses.replace(facts, has_record=facts.has_record or remembers)
    if base:
        facts = card_base.counted(facts, base, quiet)
    written = card_options.wanting(known.written, with_figures)
    settled = figures.settled(facts, card_options.how(written, to_stdout or check or diff))
    wishes = Wishes(keep=keep, force=force, restore=restore, told={key for key in given if given[key]})
    with card_output.named(adapter_dir / regions.CARD_NAME):
        made = writing.prepare(settled.facts, written, template, wishes)
    if to_stdout or check or diff:
        stale = (*settled.wanted, *settled.unlinked)
        card_output.show(made, stale, card=to_stdout, diff=diff, check=check, as_json=as_json, quiet=quiet)
        return
    card_output.refuse_edits(made)
    card_output.ask(made, yes, quiet)
    figures.write(adapter_dir, settled.images)
    outcome = made.write()
    _remember(adapter_dir, known, _told(known, facts) if remembers else known, made.merged.written)
    figures.remove(adapter_dir, settled.unlinked)
    if reports:
        card_options.say_figures(facts, settled, written, quiet or as_json)
        card_output.report(made, made.facts, outcome, as_json, quiet)


def _say_edited(adapter_dir: Path, quiet: bool) -> None:
    """Say which numbers of the record are not as they were measured."""
    if names := freshness.edited(adapter_dir):
        common.hint(
            f"{adapter_dir / record.RECORD_NAME} was edited by hand ({', '.join(names)}): what it says there"
            f" was not measured, and is not published. Next: hubkit measure --adapter {adapter_dir} --again",
            quiet,
        )


def _with_options(known: Record, **given: Any) -> Record:
    """The record with what the options say put over it."""
    author = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in given.items()
        if key in Author.__struct_fields__ and value
    }
    told = msgspec.structs.replace(
        known,
        author=card_facts.merge_authors(known.author, msgspec.convert(author, Author)),
        repo_id=given["repo_id"] or known.repo_id,
        task=given["task"] or known.task,
    )
    if given["base_model"]:
        if base_model.hub_id(given["base_model"]) is None:
            raise BaseModelError(
                f"{given['base_model']!r} is no model id of the Hub", "write it as user/name"
            )
        if known.base_model is None or known.base_model.id != given["base_model"]:
            told.base_model = BaseModel(id=given["base_model"])
            # what was counted from the other's configuration
            told.measures = msgspec.structs.replace(told.measures, parameters=None)
    _check_same(known, given["base_model"], given["task"])
    return told


def _check_same(known: Record, base_id: str | None, task: str | None) -> None:
    """Numbers stay with the base and the task that they were trained and measured on. Raises CardError."""
    if not (known.training or known.measures.were_taken):
        return
    had = known.base_model.id if known.base_model else None
    for what, before, now in (("base model", had, base_id), ("task", known.task, task)):
        if before and now and before != now:
            raise CardError(
                f"the numbers in {record.RECORD_NAME} are of the {what} {before}, not of {now}",
                f"leave out --{what.replace(' ', '-')}",
            )


def _told(known: Record, facts: Facts) -> Record:
    """The record with what was told now; what was measured or trained stays, but for a new count."""
    base, counted = facts.record.base_model, facts.record.measures.parameters
    if known.base_model is None or (base and base.id == known.base_model.id):
        counted = counted or known.measures.parameters
    measures = msgspec.structs.replace(known.measures, parameters=counted)
    return msgspec.structs.replace(
        facts.record,
        method=known.method,
        dataset=known.dataset,
        training=known.training,
        measures=measures,
        measures_sha256=freshness.with_measures(known, measures).measures_sha256,
        hubkit_version=known.hubkit_version or __version__,
    )


def _remember(directory: Path, known: Record, told: Record, written: Written) -> None:
    """Write the record, where it says something new."""
    told = msgspec.structs.replace(told, written=written)
    if told != known:
        record.write(directory, told)
