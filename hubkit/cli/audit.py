"""`hubkit audit`: hold cards against their adapters, records, bases and the Hub's rules."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubkit import files
from hubkit.audit import baseline, output, rules, targets
from hubkit.audit.report import Report
from hubkit.audit.subject import Subject
from hubkit.cli import common

if TYPE_CHECKING:
    from hubkit.hub import Hub

FORMATS = ("text", "json", "sarif", "github")
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("audit")
@click.argument("targets_", metavar="PATH|REPO_ID ...", nargs=-1)
@click.option(
    "--adapter",
    "adapter_dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Adapter directory that the card is of, where it does not lie beside it.",
)
@click.option("--base-config", type=_FILE, help="The base model's config.json.")
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules: HK201,HK3. Repeatable.")
@click.option("--ignore", multiple=True, metavar="CODES", help="All rules but these. Repeatable.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Form of the report.",
)
@click.option("--output", "-o", "to_file", type=_FILE, help="Write the report to this file, not to stdout.")
@click.option("--baseline", "known", type=_FILE, help="Findings in this file are known: leave them out.")
@click.option("--write-baseline", type=_FILE, help="Write all findings to this file as known ones; exit 0.")
@click.option("--token", help="Hub token for a REPO_ID (default: HF_TOKEN or the one of `hf auth login`).")
@click.option("--endpoint", help="Address of the Hub for a REPO_ID (default: HF_ENDPOINT or the Hub's own).")
@click.option("--explain", metavar="CODE", help="Print what a rule is about, with examples, and stop.")
@common.json_option
@common.quiet_option
@click.pass_context
def command(
    context: click.Context,
    targets_: tuple[str, ...],
    adapter_dir: Path | None,
    base_config: Path | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    form: str,
    to_file: Path | None,
    known: Path | None,
    write_baseline: Path | None,
    token: str | None,
    endpoint: str | None,
    explain: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find what is false, missing or broken on model cards.

    PATH is a card, an adapter directory, or a directory that holds many; a REPO_ID (user/name) is read from
    the Hub, its weights by their header alone. A path that is there comes first. Exit code 1: errors or
    warnings were found; notes do not count.
    """
    if explain:
        click.echo(rules.table()[next(iter(_codes((explain,))))].page, nl=False)
        return
    if not targets_:
        raise click.UsageError("give a card, an adapter directory or a repo id", context)
    codes = _codes(select or ("HK",)) - (_codes(ignore) if ignore else frozenset())
    if not codes:
        raise click.UsageError("--ignore leaves none of the rules that --select names", context)
    root = (write_baseline or known or Path("x")).resolve().parent
    reports: list[Report] = []
    seen: set[str] = set()
    for target in targets_:
        with targets.subjects(target, adapter_dir, base_config, lambda: _hub(endpoint, token)) as found:
            reports += [_report(one, codes, root) for one in found if not _is_in(seen, one)]
    if write_baseline:
        baseline.write(write_baseline, [key for report in reports for key in report.keys])
        common.hint(f"Wrote {write_baseline}: {output.counted(reports)} are known now.", quiet)
        return
    if known:
        reports = _without_known(reports, known, quiet)
    _print(reports, "json" if as_json else form, to_file)
    if form == "text" and not as_json:
        _summary(reports, quiet)
    if any(finding.fails for report in reports for finding in report.findings):
        context.exit(1)


def _is_in(seen: set[str], subject: Subject) -> bool:
    """Whether the card was audited already; it is from now on."""
    path = subject.path if subject.remote else os.path.realpath(subject.path)
    known = path in seen
    seen.add(path)
    return known


def _codes(given: tuple[str, ...]) -> frozenset[str]:
    """The codes that `HK201,HK3` stands for: a part of a code stands for all that begin so."""
    table = rules.table()
    wanted = [part.strip().upper() for value in given for part in value.split(",") if part.strip()]
    for part in wanted:
        if not any(code.startswith(part) for code in table):
            raise click.UsageError(
                f"there is no rule {part!r}; the rules are HK101 and so on (docs/audit.md)"
            )
    return frozenset(code for code in table if any(code.startswith(part) for part in wanted))


def _hub(endpoint: str | None, token: str | None) -> Hub:
    from hubkit.hub import Hub

    return Hub(endpoint, token)


def _report(subject: Subject, codes: frozenset[str], root: Path) -> Report:
    found = rules.findings(subject, codes)
    return Report(
        subject.path,
        tuple(found),
        tuple(baseline.key(finding, subject.document, root) for finding in found),
        tuple(subject.unknown),
    )


def _without_known(reports: list[Report], path: Path, quiet: bool) -> list[Report]:
    """The reports without what the baseline knows; entries that match nothing any more are named."""
    left = baseline.read(path)
    result = []
    for report in reports:
        new, left = baseline.split(report, left)
        result.append(new)
    if gone := +left:
        total = sum(gone.values())
        rules_named = ", ".join(f"{code} {card}" for code, card, _ in sorted(gone)[:5])
        common.hint(
            f"note: {total} of the findings in {path} are no more ({rules_named});"
            " write it anew with --write-baseline.",
            quiet,
        )
    return result


def _print(reports: list[Report], form: str, path: Path | None) -> None:
    if form == "text":
        plain = path is not None
        text = (
            output.text(reports)
            if plain
            else output.text(reports, lambda said, color: click.style(said, fg=color))
        )
    else:
        text = {"json": output.as_json, "sarif": output.sarif, "github": output.github}[form](reports)
    if path is None:
        click.echo(text, nl=False)
    else:
        files.write_atomically(path, text.encode())


def _summary(reports: list[Report], quiet: bool) -> None:
    """How much was found, and what could not be checked."""
    common.hint(f"{output.counted(reports)}.", quiet)
    reasons = Counter(reason for report in reports for reason in report.not_checked)
    for reason, count in reasons.items():
        where = f" of {count} cards" if len(reports) > 1 else ""
        common.hint(f"Not checked{where}: {reason}.", quiet)
