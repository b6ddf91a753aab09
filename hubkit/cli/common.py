"""What the commands share: where words and data go, and options that several have."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hubkit import processes

F = TypeVar("F", bound=Callable[..., Any])

adapter_option = click.option(
    "--adapter",
    "adapter_dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Adapter directory (adapter_config.json, adapter_model.safetensors).",
)
hub_adapter_option = click.option(
    "--adapter",
    "adapter_dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Adapter directory (adapter_config.json, adapter_model.safetensors), or owner/name[@revision] of the"
    " Hub.",
)
into_option = click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for an adapter of the Hub (default: runs/OWNER/NAME).",
)
config_argument = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting, such as training.epochs=1. Repeatable; beats the file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but the result and errors.")


_PUSH = [
    click.option("--repo-id", "--hub-model-id", help="Repo to publish to: user/name."),
    click.option("--revision", help="Branch to push to (default: main)."),
    click.option("--private/--no-private", default=None, help="Visibility of a repo that is created."),
    click.option("--create-pr", is_flag=True, default=None, help="Open a pull request instead."),
    click.option("--commit-message", help="Title of the commit."),
    click.option("--tag", metavar="NAME", help="Tag the commit when it is there and verified."),
    click.option(
        "--collection",
        metavar="SLUG_OR_TITLE",
        help="Put the repo into a collection of yours; one of a new title is created.",
    ),
    click.option(
        "--delete",
        multiple=True,
        metavar="PATTERN",
        help="Delete the files on the Hub that match, in the same commit. Repeatable.",
    ),
    click.option(
        "--verify-download/--no-verify-download",
        default=None,
        help="Load from the Hub what was pushed, into an empty cache, and check it (default: no).",
    ),
    click.option("--token", help="Hub token (default: HF_TOKEN or the one of `hf auth login`)."),
    click.option("--endpoint", help="Address of the Hub (default: HF_ENDPOINT or the Hub's own)."),
    click.option(
        "--local-hub",
        type=click.Path(path_type=Path, file_okay=False),
        help="Publish to a local Hub in this directory: no token, no network.",
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Publish these files too, but no checkpoints and pickles. Repeatable.",
    ),
    click.option(
        "--allow",
        multiple=True,
        metavar="ID",
        help="Let a finding through that is no secret, by the id that the refusal shows. Repeatable.",
    ),
    click.option(
        "--audit/--no-audit",
        default=None,
        help="Hold the card to what `hubkit audit` can tell; errors stop the push (default: yes).",
    ),
    click.option("--dry-run", is_flag=True, help="Print what would change; touch nothing."),
]


def push_options(function: F) -> F:
    """The options of a push, named as `hf upload` names them."""
    for option in reversed(_PUSH):
        function = option(function)
    return function


def hint(text: str, quiet: bool = False) -> None:
    """A line for a person: on stderr."""
    if not quiet:
        click.echo(text, err=True)


def result(data: Any, text: str, as_json: bool) -> None:
    """The result: text for a person or JSON for a program, on stdout."""
    click.echo(json.dumps(data, indent=2) if as_json else text)


def watched() -> bool:
    """Whether a person is watching: stderr is a terminal."""
    return sys.stderr.isatty() and processes.is_main()


def speaker(quiet: bool) -> Callable[[str], None]:
    """What the stages say, on stderr."""
    silent = quiet or not processes.is_main()
    return lambda line: hint(line, silent)


def prepared(config: Path, overrides: tuple[str, ...], adapter_dir: str | None, quiet: bool = False) -> Any:
    """The run that a settings file and its overrides describe."""
    from hubkit import runs, settings

    given = [*overrides, *([f"adapter={json.dumps(adapter_dir)}"] if adapter_dir else [])]
    return runs.loaded(runs.prepare(*settings.load(config, given)), speaker(quiet))


def at_hand(adapter_dir: Path, into: Path | None, quiet: bool) -> Path:
    """The directory of an adapter; one of the Hub is fetched into one."""
    from hubkit import from_hub

    wanted = from_hub.named(adapter_dir.as_posix())
    if wanted is None:
        if into is not None:
            raise click.UsageError(f"--into is for an adapter of the Hub, and {adapter_dir} is none")
        return adapter_dir
    with processes.main_first():
        return from_hub.at_hand(wanted, into, speaker(quiet))


def figures(directory: Path) -> None:
    """The measured figures, a line each, on stderr."""
    from hubkit.card import facts, summary

    for line in summary.lines(facts.gather(directory)):
        hint(line)
