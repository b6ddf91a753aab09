"""What `hubkit card` does for --verify-usage: write the card, run its code, write what that printed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hubkit.cli import common
from hubkit.errors import CardError

F = TypeVar("F", bound=Callable[..., Any])
WRITES_NOTHING = {"to_stdout": "--stdout", "check": "--check", "diff": "--diff"}


def option(function: Callable[..., None]) -> Callable[..., None]:
    """The options of a run of the card's code, and what they do around the command that writes the card."""

    @functools.wraps(function)
    def command(
        *,
        verify_usage: bool,
        base_path: Path | None,
        trust_remote_code: bool,
        time_limit: float,
        **given: Any,
    ) -> None:
        given["base_path"] = base_path
        given["adapter_dir"] = common.at_hand(given["adapter_dir"], given.pop("into"), given["quiet"])
        if verify_usage:
            _check(given)
            _write_and_run(function, given, base_path, trust_remote_code, time_limit)
        function(**given)

    for one in reversed(_OPTIONS):
        command = one(command)
    return command


_OPTIONS = [
    click.option(
        "--verify-usage",
        is_flag=True,
        help="Run the card's own code and show what it prints; exit 2 where it fails.",
    ),
    click.option(
        "--base-path",
        type=click.Path(path_type=Path, file_okay=False),
        help="Directory of the base model: to count its parameters from its files, and to run the code"
        " (default: the Hub's cache).",
    ),
    click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Let --verify-usage run code that lies in the base model's repo.",
    ),
    click.option(
        "--time-limit",
        type=click.FloatRange(0, min_open=True),
        default=600.0,
        show_default=True,
        metavar="SECONDS",
        help="How long --verify-usage lets the code run.",
    ),
]


def _check(given: dict[str, Any]) -> None:
    """What runs the card's code writes the card. Raises CardError."""
    for name, flag in WRITES_NOTHING.items():
        if given[name]:
            raise CardError(f"--verify-usage writes the card, and {flag} does not", "leave out one of them")


def _write_and_run(
    write: Callable[..., None], given: dict[str, Any], base_path: Path | None, trusted: bool, limit: float
) -> None:
    """Write the card without a word, save where somebody's own is adopted, and run its code."""
    from hubkit import localhub
    from hubkit.card import regions, snippets
    from hubkit.verify import usage

    directory = given["adapter_dir"]
    present = regions.on_disk(directory) if directory.is_dir() else None
    adopts = present is not None and "<!-- hubkit:" not in present
    write(**{**given, "quiet": given["quiet"] or not adopts, "as_json": False}, reports=False)
    options = usage.Options(base_path=base_path, trusted=trusted, time_limit=limit)
    usage.verify_and_record(directory, localhub.start, options, common.speaker(given["quiet"]))
    if others := snippets.outside(regions.on_disk(directory) or ""):
        blocks = "1 block of Python outside hubkit's markers was"
        if others > 1:
            blocks = f"{others} blocks of Python outside hubkit's markers were"
        common.hint(f"{blocks} not run.", given["quiet"])
