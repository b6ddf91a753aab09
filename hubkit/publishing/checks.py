"""What must hold of an adapter directory before it is published, found without asking the Hub.

Each refusal names the command, or the line, that mends it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from hubkit import adapter, freshness, hub_rules, paths, record, secrets
from hubkit.card import facts, regions, writing
from hubkit.card.boilerplate import is_boilerplate
from hubkit.errors import CardError, HubkitError
from hubkit.publishing.contents import CARD_NAME, Contents, collect, is_text
from hubkit.publishing.draft import Draft


def read(directory: Path, draft: Draft | None = None) -> Contents:
    """The files to publish, all of them fit to be; a draft stands in for record and card.

    Raises HubkitError, with the command that mends it.
    """
    adapter.read(directory)
    if draft is None and not (directory / CARD_NAME).is_file():
        raise CardError(f"there is no {CARD_NAME} in {directory}", mend(directory))
    contents = collect(directory, draft.files if draft else {})
    _check_measures(directory)
    card = _check_card(directory, contents)
    _check_front_matter(directory, card)
    if draft is None:
        _check_up_to_date(directory, card)
    _check_names(directory, contents)
    _check_secrets(directory, contents)
    return contents


def mend(directory: Path) -> str:
    """The command that writes the card."""
    return f"hubkit card --adapter {shlex.quote(str(directory))}"


def _check_measures(directory: Path) -> None:
    """A number of other weights, or of another configuration of them, is never published."""
    if stale := freshness.stale(record.read(directory), adapter.read(directory).sha256()):
        raise HubkitError(
            f"{directory / record.RECORD_NAME} holds numbers of another adapter than this:"
            f" {', '.join(stale)}",
            f"hubkit measure --adapter {directory}",
        )


def _check_card(directory: Path, contents: Contents) -> str:
    """The card's text, which is somebody's and not a form that nobody filled in."""
    path = directory / CARD_NAME
    try:
        card = contents.read(CARD_NAME).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CardError(f"{path} is not UTF-8 text", "save it as UTF-8") from error
    if is_boilerplate(card):
        raise CardError(f"{path} is PEFT's empty form, with nothing filled in", mend(directory))
    return card


def _check_front_matter(directory: Path, card: str) -> None:
    """Hold the card's front matter to the Hub's rules, before the Hub does."""
    import yaml

    path = directory / CARD_NAME
    try:
        metadata = yaml.safe_load(regions.split(card).yaml or "")
    except (yaml.YAMLError, ValueError) as error:
        raise CardError(f"the front matter of {path} is not YAML: {error}", mend(directory)) from error
    problems = hub_rules.front_matter_problems(metadata) if metadata is not None else []
    if problems:
        raise CardError(f"the Hub would refuse {path}: {'; '.join(problems)}", mend(directory))


def _check_up_to_date(directory: Path, card: str) -> None:
    """A card of hubkit's says what record and weights say. One of another template cannot be told by that."""
    if not regions.is_touched(card) or regions.has_own_template(card):
        return
    made = writing.prepare(facts.gather(directory), record.read(directory).written)
    if made.checked().text != card:
        raise CardError(
            f"{directory / CARD_NAME} is not what the record and the adapter say now", mend(directory)
        )


def _check_names(directory: Path, contents: Contents) -> None:
    """No file says where things lie on the author's machine."""
    for name in paths.NAMES_OF_MODELS:
        found = paths.local_name(name, contents.read(name)) if name in contents.names else None
        if found:
            base = record.read(directory).base_model
            raise HubkitError(
                f'"{found.key}" in {directory / name} is a path of this machine, {found.value}',
                f'write the id on the Hub there: "{found.key}": "{base.id if base else "user/name"}"',
            )
    places = [
        f"{file.path}:{line}"
        for file in contents.files
        if is_text(file.path)
        for line in paths.home_lines(contents.read(file.path))
    ]
    if places:
        raise HubkitError(
            f"{directory} would publish paths of somebody's home directory: {', '.join(places[:5])}",
            "take them out of these lines",
        )


def _check_secrets(directory: Path, contents: Contents) -> None:
    found = [
        secret
        for file in contents.files
        if is_text(file.path)
        for secret in secrets.scan(file.path, contents.read(file.path))
    ]
    if found:
        places = ", ".join(f"{secret.path}:{secret.line} ({secret.kind})" for secret in found[:5])
        raise HubkitError(
            f"{directory} holds what looks like a secret: {places}",
            "take it out, and revoke it if it was real",
        )
