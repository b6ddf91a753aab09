"""A sweep from its file to its tables: what is to be done, what it will take, every run, and how each ended.

Runs are done one after another here, or by a Ray cluster; one that fails keeps no other from its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hubkit.card import text
from hubkit.errors import CheckFailed, Interrupted, SettingsError
from hubkit.interrupts import exit_code
from hubkit.sweeping import cost, local, tables
from hubkit.sweeping.local import Job, Status
from hubkit.sweeping.matrix import Planned, Sweep

Say = Callable[[str], None]
Ended = tuple[Planned, Status]
# Runs jobs and yields each as it ends; `begun` is told of each that begins.
Runner = Callable[[Sequence[tuple[Planned, Job]], Say], Iterator[Ended]]


@dataclass(frozen=True)
class Wanted:
    """Which runs of a sweep are wanted now."""

    only: tuple[str, ...] = ()
    index: int | None = None
    most: int | None = None


@dataclass
class Outcome:
    """How the runs that were wanted ended."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # name -> why
    markdown: str | None = None


def chosen(sweep: Sweep, wanted: Wanted) -> list[Planned]:
    """The runs that are wanted, done or not. Raises SettingsError."""
    if wanted.index is None:
        return sweep.named(wanted.only)
    if wanted.only:
        raise SettingsError("--only and --only-index name runs each", "leave out one of them")
    if wanted.index >= len(sweep.runs):
        raise SettingsError(
            f"--only-index {wanted.index}: the sweep has runs 0 to {len(sweep.runs) - 1}",
            f"hubkit sweep {sweep.path} --dry-run lists them",
        )
    return [sweep.runs[wanted.index]]


def todo(sweep: Sweep, wanted: Wanted) -> list[Planned]:
    """Of the runs that are wanted those that are not done, as many as are wanted at most."""
    return [one for one in chosen(sweep, wanted) if not local.is_done(one)][: wanted.most]


def foretold(sweep: Sweep, runs: Sequence[Planned], say: Say, *, probes: bool) -> cost.Forecast:
    """What the runs will take, from what was seen before and, where that is nothing, from probes."""
    seen = cost.known(sweep.runs, sweep.output_dir)
    if probes:
        seen = cost.probe(runs, seen, sweep.output_dir, say)
    return cost.forecast(runs, seen)


def told(forecast: cost.Forecast, runs: int, at_once: int = 1) -> str:
    """The forecast in a line."""
    if forecast.unknown == runs:
        return f"{text.plural(runs, 'run')}; how long they take is not known"
    but = (
        f", without {text.plural(forecast.unknown, 'run')} that nothing is known of"
        if forecast.unknown
        else ""
    )
    hours = f"about {text.duration(forecast.total)} ({text.hours(forecast.total)})"
    shared = f", {text.duration(forecast.total / at_once)} with {at_once} at once" if at_once > 1 else ""
    return f"{text.plural(runs, 'run')}: {hours}{shared}{but}"


def here(
    jobs: Sequence[tuple[Planned, Job]], begun: Say, run_stage: local.RunStage | None = None
) -> Iterator[Ended]:
    """Run jobs one after another on this machine."""
    for one, job in jobs:
        begun(one.name)
        yield one, local.execute(job, run_stage)


def run(sweep: Sweep, runs: Sequence[Planned], forecast: cost.Forecast, runner: Runner, say: Say) -> Outcome:
    """Run what is to be done, and say how each ended and how long the rest will take.

    Raises Interrupted where a signal stopped it: the run at hand has left a checkpoint.
    """
    outcome, progress = Outcome(), _Progress(forecast, len(runs))
    jobs = [(one, local.job(one)) for one in runs]
    try:
        for one, status in runner(jobs, lambda name: say(progress.begins(name))):
            if status.state == "done":
                outcome.done.append(one.name)
            else:
                outcome.failed[one.name] = status.line or status.state
            say(progress.ends(one.name, status))
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"stopped with {len(outcome.done)} of {text.plural(len(runs), 'run')} done",
            f"hubkit sweep {sweep.path} goes on where it was",
            exit_code(stop),
        ) from None
    return outcome


def conclude(sweep: Sweep, outcome: Outcome, say: Say) -> None:
    """Say what failed. Raises CheckFailed where anything did."""
    directories = {one.name: one.directory for one in sweep.runs}
    for name, line in outcome.failed.items():
        say(f"failed: {name}: {line}")
        say(f"  alone: {local.alone(directories[name])}")
    if outcome.failed:
        raise CheckFailed(
            f"{text.plural(len(outcome.failed), 'run')} failed: {', '.join(outcome.failed)}",
            f"mend it, then hubkit sweep {sweep.path} runs what is not done",
        )


def write_tables(sweep: Sweep, say: Say) -> str | None:
    """Set side by side what is done; says where that was written."""
    shown = tables.write(sweep)
    if shown:
        say(f"wrote {sweep.output_dir / 'sweep.md'}, sweep.json and sweep.csv")
    return shown


class _Progress:
    """Lines on where a sweep stands, and the time that is left, mended by the time that runs took."""

    def __init__(self, forecast: cost.Forecast, runs: int) -> None:
        self.forecast, self.runs = dict(forecast.seconds), runs
        self.begun, self.ended = 0, 0
        self.expected, self.took = 0.0, 0.0  # of the runs that are done

    def begins(self, name: str) -> str:
        self.begun += 1
        return f"[{self.begun}/{self.runs}] {name}{self._left()}"

    def ends(self, name: str, status: Status) -> str:
        self.ended += 1
        seconds, forecast = sum(status.seconds.values()), self.forecast.pop(name, None)
        if status.state != "done":
            return f"{name} {status.state}: {status.line or 'it was stopped'}"
        if forecast:
            self.expected, self.took = self.expected + forecast, self.took + seconds
        return f"{name} done in {text.duration(seconds)}"

    def _left(self) -> str:
        known = [value for value in self.forecast.values() if value is not None]
        if not known:
            return ""
        ratio = self.took / self.expected if self.expected else 1.0
        return f" (about {text.duration(ratio * sum(known))} left)"
