"""`hubkit measure`: measure an adapter and write its record, or hold the record to what is measured now."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hubkit import tasks
from hubkit.cli import common
from hubkit.errors import BaseModelError, CheckFailed, HubkitError, MeasureError, SettingsError

if TYPE_CHECKING:
    from hubkit.runs import Run, Told
    from hubkit.verifying import Verified


def _sizes(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    """Batch sizes from a list with commas."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if wrong := [part for part in parts if not re.fullmatch(r"0*[1-9][0-9]{0,6}", part)]:
        raise click.BadParameter(f"{wrong[0]!r} is no batch size; give whole numbers above zero: 1,8,32")
    return tuple(int(part) for part in parts)


@click.command("measure")
@common.hub_adapter_option
@common.into_option
@click.argument("config", required=False, type=click.Path(path_type=Path, dir_okay=False))
@common.set_option
@click.option("--base-model", help="Hub id of the base model, where the adapter does not name it.")
@click.option("--base-path", help="Local directory of the base model's weights.")
@click.option("--base-revision", help="Commit, branch or tag of the base model on the Hub.")
@click.option("--base-note", help="How those weights differ from the ones that the id names.")
@click.option("--task", type=click.Choice(list(tasks.TASKS)), help="Task, where the files do not tell it.")
@click.option("--text", "files", multiple=True, help="Local text to measure perplexity on. Repeatable.")
@click.option(
    "--dataset", help="Hub dataset to measure perplexity on: id, id:split or id:config:split (split: test)."
)
@click.option(
    "--max-eval-documents",
    type=click.IntRange(1),
    help="Measure on so many documents only: the first; of labelled text, drawn by label.",
)
@click.option(
    "--context", type=click.IntRange(2), help="Context in tokens (default: as before, or as trained)."
)
@click.option(
    "--stride", type=click.IntRange(1), help="Tokens scored per window (default: as long as the context)."
)
@click.option(
    "--documents",
    type=click.Choice(["apart", "packed"]),
    help="Score each document by itself, or all as one stream (default: as before, or packed).",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    help="Load the base in this (default: as before, or float32).",
)
@click.option(
    "--batch-size", type=click.IntRange(1), help="Windows scored at once (default: as before, or 8)."
)
@click.option("--perplexity/--no-perplexity", default=None, help="Measure perplexity (default: yes).")
@click.option(
    "--classification/--no-classification",
    default=None,
    help="Measure accuracy and F1 of a classifier, where the text has labels (default: yes).",
)
@click.option(
    "--pseudo-perplexity",
    is_flag=True,
    default=None,
    help="Masked models: measure it with each token hidden in turn, too; a forward pass for each.",
)
@click.option("--throughput/--no-throughput", default=None, help="Measure throughput (default: yes).")
@click.option(
    "--batch-sizes",
    default="",
    callback=_sizes,
    help="Measure throughput at these batch sizes too, until one does not fit: 1,8,32.",
)
@click.option("--again", is_flag=True, help="Measure again what is measured already.")
@click.option(
    "--verify",
    "verifies",
    is_flag=True,
    help="Write nothing: measure again as the record says, and exit with 1 where a number does not hold.",
)
@common.json_option
@common.quiet_option
def command(
    adapter_dir: Path,
    into: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    again: bool,
    verifies: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Measure parameters, size, perplexity or accuracy, and throughput of an adapter, into its hubkit.json.

    CONFIG says what to measure on, as for training; without it, the options do, and the record: what was
    measured before is measured under the same conditions. How an adapter was trained is read from its record,
    whatever method CONFIG names. Without any text, perplexity is left out. Of an
    adapter whose base is not at hand, the files are counted.
    """
    from hubkit import runs

    adapter_dir = common.at_hand(adapter_dir, into, quiet)
    told = runs.Told(**given)
    if verifies:
        _verify(adapter_dir, config, overrides, told, as_json, quiet)
        return
    lack = _measured(adapter_dir, config, overrides, told, again, quiet)
    _tell(adapter_dir, lack, as_json, quiet)


def _described(adapter_dir: Path, config: Path | None, overrides: tuple[str, ...], told: Told) -> Run:
    """The run that CONFIG or the adapter's own files describe, with flags over it."""
    from hubkit import record, runs

    if config:
        known = record.read(adapter_dir)
        method = []
        if known.training and known.method:  # CONFIG is asked for base, text and conditions alone
            trained = {"name": known.method.name, **known.method.parameters}
            method = [f"method={json.dumps(trained)}"]
        given = (*runs.overrides_of(told), *overrides, *method)
        run: Run = common.prepared(config, given, str(adapter_dir))
        return run
    return runs.of_adapter(adapter_dir, told, list(overrides))


def _measured(
    adapter_dir: Path,
    config: Path | None,
    overrides: tuple[str, ...],
    told: Told,
    again: bool,
    quiet: bool,
) -> str | None:
    """Measure; gives what is lacking still, in a line, or nothing."""
    from hubkit import adapter, processes, record, runs, stages

    asked = config is not None or overrides != () or told != runs.Told()
    try:
        run = _described(adapter_dir, config, overrides, told)
        stages.measure(run, common.speaker(quiet), again=again, watched=common.watched() and not quiet)
    except (SettingsError, BaseModelError) as error:
        if asked or processes.count() > 1 or not stages.is_foreign(adapter_dir):
            raise
        adapter.check_measurable(adapter.read(adapter_dir))
        stages.count(adapter_dir)
        return _without_base(adapter_dir, error)
    processes.leave()
    name = "classification" if getattr(run.task, "has_labels", False) else "perplexity"
    if run.settings.data is None and getattr(run.settings.measuring, name):
        before = getattr(record.read(adapter_dir).measures, name)
        kept = "; the one that was measured before stands" if before else ""
        return (
            f"{name.capitalize()} was left out: no text{kept}. Next: --text FILE, --dataset ID, or a CONFIG"
        )
    return None


def _without_base(adapter_dir: Path, error: HubkitError) -> str:
    """What was done without the base, why, and the command that does the rest."""
    from hubkit.card import facts, missing

    command = missing.measuring(facts.gather(adapter_dir))
    if "--base-path" not in command and isinstance(error, BaseModelError):
        command += " --base-path DIR"
    return f"Only the adapter's files were counted: {error.message}. Next: {command} --text FILE"


def _tell(adapter_dir: Path, lack: str | None, as_json: bool, quiet: bool) -> None:
    """The figures, and the record's path as the last line."""
    from hubkit import record

    if as_json:
        common.result(msgspec.to_builtins(record.read(adapter_dir).measures), "", True)
    if lack:
        common.hint(lack, quiet)
    if as_json:
        return
    if not quiet:
        common.figures(adapter_dir)
    click.echo(adapter_dir / record.RECORD_NAME)


def _verify(
    adapter_dir: Path,
    config: Path | None,
    overrides: tuple[str, ...],
    told: Told,
    as_json: bool,
    quiet: bool,
) -> None:
    """Hold the record to what is measured now. Raises CheckFailed where a number does not hold."""
    from hubkit import processes, verifying

    asked = {*told.conditions(), *(["batch_sizes"] if told.batch_sizes else [])}
    if clash := asked - {"perplexity", "classification", "throughput"}:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(clash))
        raise SettingsError(
            f"--verify measures under the recorded conditions, and {flags} asks for others",
            f"leave out {flags}",
        )
    verified = verifying.verify(
        adapter_dir,
        lambda: _described(adapter_dir, config, overrides, told),
        common.speaker(quiet),
        perplexity=told.perplexity is not False,
        classification=told.classification is not False,
        throughput=told.throughput is not False,
        watched=common.watched() and not quiet,
    )
    processes.leave()
    _show(verified, as_json, quiet)
    _judge(adapter_dir, verified, quiet or as_json)


def _show(verified: Verified, as_json: bool, quiet: bool) -> None:
    from hubkit.verify import remeasure

    if as_json:
        common.result(verified.plain(), "", True)
    elif not quiet:
        click.echo("\n".join(remeasure.table(verified.numbers)))


def _judge(adapter_dir: Path, verified: Verified, quiet: bool) -> None:
    """The exit code, by an error, and the last line for a person."""
    from hubkit.verify import remeasure

    total, by_verdict = len(verified.numbers), remeasure.names(verified.numbers)
    if wrong := by_verdict.get(remeasure.DIFFERS):
        raise CheckFailed(
            f"{len(wrong)} of {total} recorded numbers do not hold: {_listed(wrong)}",
            "give the text that they were measured on"
            if all(name.endswith(("dataset_sha256", "tokens_sha256")) for name in wrong)
            else f"take them anew: hubkit measure --adapter {shlex.quote(str(adapter_dir))} --again,"
            " with the text and base as now",
        )
    if verified.left_out:
        left = verified.left_out[0]
        raise MeasureError(f"{left.measure} was not verified: {left.why}; the rest holds", left.hint)
    if missing := by_verdict.get(remeasure.UNMEASURED):
        raise MeasureError(f"{_listed(missing)} could not be measured now; the rest holds", None)
    held, open_ = len(by_verdict.get(remeasure.HOLDS, [])), by_verdict.get(remeasure.UNCOMPARED, [])
    why = next((n.why for n in verified.numbers if n.verdict == remeasure.UNCOMPARED and n.why), "")
    because = f" ({why})" if why else ""
    rest = f"; not comparable: {len(open_)}{because}" if open_ else ""
    common.hint(f"{held} of {total} recorded numbers hold{rest}", quiet)


def _listed(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
