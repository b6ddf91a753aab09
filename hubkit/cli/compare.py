"""`hubkit compare`: several adapters side by side, from their records."""

from __future__ import annotations

from pathlib import Path

import click

from hubkit import compare, compared_rows, extras, files
from hubkit.card import compared_files, comparison, figures
from hubkit.card.comparison import Read
from hubkit.cli import card_options, common
from hubkit.errors import MeasureError, SettingsError


@click.command("compare")
@click.argument(
    "directories", metavar="DIR DIR ...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "json", "csv"]),
    default="markdown",
    show_default=True,
    help="Form of the table.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw perplexity against trainable parameters into this PNG (needs hubkit[plots]).",
)
@click.option(
    "--group-by-seed/--no-group-by-seed",
    "grouped",
    default=None,
    help="Show mean and deviation of adapters that differ in their seed alone (default: where there are"
    " such; as CSV, in place of the adapters, only when asked for).",
)
@click.option("--without-perplexity", is_flag=True, help="Leave perplexity out, where it cannot be compared.")
@common.quiet_option
def command(
    directories: tuple[Path, ...],
    form: str,
    as_json: bool,
    plot: Path | None,
    grouped: bool | None,
    without_perplexity: bool,
    quiet: bool,
) -> None:
    """Set adapters side by side: size, perplexity, speed and what training took, from their records.

    Perplexities are only set side by side where they were measured on the same tokens in the same way; where
    only the tokenizers differ, bits per byte of the same text stand in their place. Accuracies are, where
    they were measured on the same text and labels. Where nothing can be compared, as of adapters for other
    tasks, the command says in what they differ and ends with exit code 2.
    """
    if plot and plot.suffix.lower() != ".png":
        raise SettingsError(f"--plot draws a PNG, and {plot} does not end in .png", "name it so")
    found = comparison.read(directories)
    if len(found.adapters) < 2:
        raise SettingsError("there is one adapter, and nothing to compare it with", "name two or more")
    by = None if without_perplexity else _by(found, quiet)
    if plot:
        _plot(found, plot, without_perplexity)
        common.hint(f"Wrote {plot}", quiet)
    groups = [] if grouped is False else found.grouped()
    if grouped and not groups:
        raise MeasureError("no two of these adapters differ in their seed alone", "leave --group-by-seed out")
    if as_json or form == "json":
        common.result(compared_files.data(found, groups, without_perplexity), "", as_json=True)
    elif form == "csv":
        rows = compared_files.rows(found, groups if grouped else [], without_perplexity)
        click.echo(compared_rows.to_csv(rows), nl=False)
    else:
        click.echo(compared_files.markdown(found, groups, by))
    card_options.left_out(found, quiet)


def _by(found: Read, quiet: bool) -> compare.Measure:
    """By what they are compared. Raises MeasureError, after a line for each reason, where by nothing."""
    by = compare.by(found.adapters, found.labels)
    if by is None:
        for reason in compare.reasons(found.adapters, found.labels):
            common.hint(f"  {reason}")
        raise MeasureError(
            f"these {compare.called(found.adapters)} cannot be compared, for the reasons above",
            "measure them alike, or leave them out: --without-perplexity",
        )
    if by == "bits_per_byte":
        common.hint("The tokenizers differ: compared by bits per byte, and not by perplexity", quiet)
    return by


def _plot(found: Read, path: Path, without_perplexity: bool) -> None:
    extras.require("plots", ("matplotlib",))
    figure = None if without_perplexity else figures.of_comparison(comparison.sides_of(found))
    if figure is None and not without_perplexity and compare.reasons(found.adapters, found.labels):
        raise MeasureError(
            "perplexities of several tokenizers cannot be drawn in one figure", "leave --plot out"
        )
    if figure is None:
        raise MeasureError(
            "there is nothing to plot: fewer than two have a perplexity and a count of trainable parameters",
            "hubkit measure --adapter DIR",
        )
    files.write_atomically(path, figure.draw(figure.digest))
