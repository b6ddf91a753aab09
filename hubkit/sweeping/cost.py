"""What a matrix will cost: the tokens of each run over the tokens per second of runs that are like it.

Runs are alike that have the same base, task, method, block and batch, and the same text. What is known of
them comes from a run of this sweep that is done, else from a probe: a training of a few steps. To the time of
training that of starting and loading is added, and that of measuring: as it was in a run that is done, else
by rule, where a token that is scored takes a third of one that is trained (a forward pass, without the two of
the backward pass), twice, for the base is scored too, and speeds take their least time.
The figure is a forecast, of one machine with nothing else to do; it gets better as runs end.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hubkit import files, record
from hubkit.record import Record
from hubkit.settings import Settings
from hubkit.sweeping import local
from hubkit.sweeping.local import RunStage
from hubkit.sweeping.matrix import Planned
from hubkit.yaml_reading import dump

PROBES = ".probes"
STEPS = 4  # of a probe
SCORED = 2 / 3  # of the time of a trained token, for one that base and adapter score
SPEEDS = (
    4  # rates that are taken for `min_seconds` each: prompt and generation, of base and merged or adapter
)


class Seen(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was seen of runs that are alike."""

    tokens_per_second: float  # trained
    start_seconds: float  # of a process, until it trains or measures
    train_tokens: int | None = None  # of one epoch
    eval_tokens: float | None = None  # about
    measure_seconds: float | None = None  # measure and card, where a run is done
    source: str = "a probe"


@dataclass(frozen=True)
class Forecast:
    """What runs that are not done will take, in seconds; None where nobody knows."""

    seconds: dict[str, float | None]  # by name

    @property
    def total(self) -> float:
        """Seconds of all that are known."""
        return sum(value for value in self.seconds.values() if value is not None)

    @property
    def unknown(self) -> int:
        """How many runs nothing is known of."""
        return sum(value is None for value in self.seconds.values())


def likeness(one: Planned) -> str:
    """A digest that runs have in common whose steps cost the same."""
    told, plain = one.run.settings, one.plain
    shape = [plain.get("base_model"), plain.get("task"), one.run.method.NAME, plain.get("dataset")]
    training = [told.training.block_size, told.training.batch_size, told.training.precision]
    text = json.dumps([shape, training], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def tokens(settings: Settings, train_tokens: int | None) -> int | None:
    """Tokens that a run will train on, those of each epoch counted anew; None where nobody knows."""
    told = settings.training
    size = told.batch_size if isinstance(told.batch_size, int) else None
    step = size * told.gradient_accumulation * told.block_size if size else None
    whole = int(told.epochs * train_tokens) if train_tokens else None
    limit = told.max_steps * step if told.max_steps and step else None
    known = [value for value in (whole, limit) if value is not None]
    return min(known, default=None)


def expected(settings: Settings, seen: Seen) -> float | None:
    """Seconds of one run, from start to card."""
    trained = tokens(settings, seen.train_tokens)
    if trained is None:
        return None
    training = seen.start_seconds + trained / seen.tokens_per_second
    if seen.measure_seconds is not None:
        return training + seen.measure_seconds
    told = settings.measuring
    scoring = SCORED * (seen.eval_tokens or 0) / seen.tokens_per_second if told.perplexity else 0.0
    speeds = SPEEDS * told.speed.min_seconds if told.throughput else 0.0
    return training + seen.start_seconds + scoring + speeds


def forecast(todo: Sequence[Planned], seen: dict[str, Seen]) -> Forecast:
    """What the runs that are to be done will take."""
    found = {one.name: seen.get(likeness(one)) for one in todo}
    return Forecast(
        {one.name: expected(one.run.settings, like) if (like := found[one.name]) else None for one in todo}
    )


def known(planned: Sequence[Planned], output_dir: Path) -> dict[str, Seen]:
    """What was seen before: of runs that are done, else of probes that were made."""
    found: dict[str, Seen] = {}
    for one in planned:
        like = likeness(one)
        done = _of_run(one)
        if done and like not in found:
            found[like] = done
    for one in planned:
        if (like := likeness(one)) not in found and (probed := _probed(output_dir, like)):
            found[like] = probed
    return found


def _of_run(one: Planned) -> Seen | None:
    how = local.status(one.directory)
    if how is None or how.state != "done" or "train" not in how.seconds:
        return None
    told = record.read(one.directory / "adapter")
    return _seen(told, how.seconds["train"], f"the run {one.name}", sum(how.seconds.values()))


def _seen(told: Record, train_seconds: float, source: str, whole: float | None = None) -> Seen | None:
    """What a record and the time of the process that wrote it tell."""
    run, data = told.training, told.dataset
    if run is None or not run.tokens_seen or run.seconds <= 0:
        return None
    per_word = data.train_tokens / data.train_words if data and data.train_tokens and data.train_words else 0
    return Seen(
        tokens_per_second=run.tokens_seen / run.seconds,
        start_seconds=max(train_seconds - run.seconds, 0.0),
        train_tokens=data.train_tokens if data else None,
        eval_tokens=data.eval_words * per_word if data and data.eval_words else None,
        measure_seconds=whole - train_seconds if whole is not None else None,
        source=source,
    )


def probe(
    todo: Sequence[Planned], seen: dict[str, Seen], output_dir: Path, say: Callable[[str], None],
    run_stage: RunStage | None = None,
) -> dict[str, Seen]:  # fmt: skip
    """Train a few steps of one run of each kind that nothing is known of; what is seen is kept.

    A probe that fails leaves its kind unknown: the run itself will say why.
    """
    found, tried = dict(seen), set()
    for one in todo:
        like = likeness(one)
        if like in found or like in tried:
            continue
        tried.add(like)
        say(f"probing {one.name}: {STEPS} steps, to foretell the time")
        new = _probe(one, output_dir / PROBES / like, run_stage)
        if isinstance(new, Seen):
            found[like] = new
            files.write_atomically(_kept(output_dir, like), msgspec.json.encode(new))
        else:
            say(f"the probe of {one.name} failed: {new}")
    return found


def _probe(one: Planned, directory: Path, run_stage: RunStage | None) -> Seen | str:
    """What was seen, or why nothing was."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    config = directory / local.SETTINGS
    files.write_atomically(config, dump(_shortened(one.plain, directory)).encode())
    begun = time.monotonic()
    try:
        code = (run_stage or local.process)(directory, ["train", str(config)])
        seconds = time.monotonic() - begun
        if code:
            return local.said_last(directory) or f"exit code {code}"
        return _seen(record.read(directory / "adapter"), seconds, "a probe") or "its record tells no time"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _shortened(plain: dict[str, Any], directory: Path) -> dict[str, Any]:
    short = copy.deepcopy(plain)
    short["output_dir"] = str(directory)
    training = short.get("training") or {}
    kept = {key: value for key, value in training.items() if key not in ("eval_steps", "warmup_steps")}
    short["training"] = {**kept, "max_steps": min(STEPS, training.get("max_steps") or STEPS)}
    return short


def _kept(output_dir: Path, like: str) -> Path:
    return output_dir / PROBES / f"{like}.json"


def _probed(output_dir: Path, like: str) -> Seen | None:
    try:
        return msgspec.json.decode(_kept(output_dir, like).read_bytes(), type=Seen)
    except (OSError, msgspec.DecodeError):
        return None
