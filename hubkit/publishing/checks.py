"""What must hold of an adapter directory before it is published, found without asking the Hub.

Each refusal names the command, or the line, that mends it.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from hubkit import adapter, bounded_yaml, freshness, hub_rules, paths, record, tensor_file
from hubkit.card import facts, regions, writing
from hubkit.card.boilerplate import is_boilerplate
from hubkit.errors import AdapterError, CardError, HubkitError
from hubkit.publishing import leaks, remote_card
from hubkit.publishing.contents import CARD_NAME, Choice, Contents, collect
from hubkit.publishing.draft import Draft, Overlay


def read(directory: Path, draft: Draft | Overlay | None = None, choice: Choice | None = None) -> Contents:
    """The files to publish, all of them fit to be; a draft stands in for record and card.

    `choice` is what the author adds to them, and lets through.

    Raises HubkitError, with the command that mends it.
    """
    adapter.read(directory)
    if draft is None and not (directory / CARD_NAME).is_file():
        raise CardError(f"there is no {CARD_NAME} in {directory}", mend(directory))
    choice = choice or Choice()
    contents = collect(directory, draft.files if draft else {}, choice.include)
    _check_numbers(directory)
    _check_measures(directory)
    card = _check_card(directory, contents)
    _check_front_matter(directory, card)
    if draft is None:
        _check_up_to_date(directory, card)
    _check_names(directory, contents)
    idle = _check_leaks(directory, contents, choice.allow)
    return replace(contents, notes=(*contents.notes, *idle))


def mend(directory: Path) -> str:
    """The command that writes the card."""
    return f"hubkit card --adapter {shlex.quote(str(directory))}"


def _check_numbers(directory: Path) -> None:
    """Weights that hold a NaN or an infinity are those of a training that broke."""
    path = directory / adapter.WEIGHTS_NAME
    if broken := tensor_file.not_finite(path):
        more = f" and {len(broken) - 1} more tensors" if len(broken) > 1 else ""
        raise AdapterError(
            f"{path} holds numbers that are none (NaN or infinity) in {broken[0][:80]!r}{more}",
            "train it anew with a lower learning rate, or from a checkpoint before that",
        )


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
    size = len(content := contents.read(CARD_NAME))
    if size > remote_card.LARGEST:  # no later push could read it on the Hub, and join it
        raise CardError(f"{path} has {size:,} bytes, which is too large for a card", "is it the right file?")
    try:
        card = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CardError(f"{path} is not UTF-8 text", "save it as UTF-8") from error
    if is_boilerplate(card):
        raise CardError(f"{path} is PEFT's empty form, with nothing filled in", mend(directory))
    return card


def _check_front_matter(directory: Path, card: str) -> None:
    """Hold the card's front matter to the Hub's rules, before the Hub does; as it is read here and there."""
    import yaml

    path = directory / CARD_NAME
    for text in dict.fromkeys((regions.split(card).yaml or "", hub_rules.split_card(card)[0] or "")):
        try:
            metadata = bounded_yaml.load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
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
    """No configuration names a model by where it lies on the author's machine."""
    for name in paths.NAMES_OF_MODELS:
        found = paths.local_name(name, contents.read(name)) if name in contents.names else None
        if found:
            base = record.read(directory).base_model
            raise HubkitError(
                f'"{found.key}" in {directory / name} is a path of this machine, {found.value}',
                f'write the id on the Hub there: "{found.key}": "{base.id if base else "user/name"}"',
            )


def _check_leaks(directory: Path, contents: Contents, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """No file holds a secret, or a path of somebody's machine, that the author did not let through.

    Returns what is to be said of ids that let nothing through.
    """
    every = [
        finding
        for file in contents.files
        for finding in (
            leaks.find_in(file.path, contents.drafts[file.path])
            if file.path in contents.drafts
            else leaks.find(file.path, file.source)
        )
    ]
    idle = sorted(set(allowed) - {finding.id for finding in every})
    notes = tuple(f"--allow {name} lets nothing through: nothing was found by that id" for name in idle)
    if found := [finding for finding in every if finding.id not in allowed]:
        raise _leak(directory, found, notes)
    return notes


def _leak(directory: Path, found: list[leaks.Finding], notes: tuple[str, ...]) -> HubkitError:
    """All that was found, so that one look and one run are enough."""
    secret = [finding for finding in found if not finding.is_path]
    places = [finding for finding in found if finding.is_path]
    what = [f"holds what looks like a secret: {leaks.told(secret)}"] if secret else []
    what += [f"would publish paths of this machine: {leaks.told(places)}"] if places else []
    out = "take it out, and revoke it if it was real" if secret else "take them out of these lines"
    allow = " ".join(leaks.to_allow(some) for some in (secret, places) if some)
    return HubkitError(
        f"{directory} {'; and '.join(what)}{''.join(f'; {note}' for note in notes)}",
        f"{out}; what {'is none' if secret else 'may stay'} is let through with {allow}",
    )
