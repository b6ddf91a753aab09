"""SWEEP.yaml: one base, a matrix over its settings, and the runs that come of them, all checked.

The settings of each run are those of the base with the values of its combination over them. A run's name is
made of those values and a digest of what shapes its training, so that it is the same tomorrow, and another
one when the base changes. Relative paths are meant from the current directory, as in every settings file.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from hubkit import runs, settings, yaml_source
from hubkit.errors import SettingsError
from hubkit.runs import Run
from hubkit.settings import Section, Settings
from hubkit.sweeping.combining import Combination, combinations
from hubkit.yaml_source import HINT, Source

SHORT = {"training.seed": "s", "method.r": "r", "training.learning_rate": "lr", "method.alpha": "a"}
LONGEST_SLUG = 40  # characters
# These shape no training: when they change, the same run is measured or described anew.
NOT_SHAPING = ("output_dir", "card", "hub", "verifying", "measuring")


class Resources(Section, frozen=True):
    """What one run takes of a cluster."""

    num_cpus: Annotated[float, Meta(gt=0)] = 1
    num_gpus: Annotated[float, Meta(ge=0)] = 0
    retries: Annotated[int, Meta(ge=0, le=100)] = 2  # of a run whose machine was lost


class SweepFile(Section, frozen=True):
    """A sweep as it is written."""

    base: str | dict[str, Any]
    matrix: dict[str, list[Any]] = {}
    include: list[dict[str, Any]] = []
    exclude: list[dict[str, Any]] = []
    output_dir: str = "runs/sweep"
    resources: Resources = Resources()


@dataclass(frozen=True)
class Planned:
    """One run of a sweep."""

    index: int
    name: str
    directory: Path
    values: dict[str, Any]  # of the matrix, by dotted key
    plain: dict[str, Any]  # its settings
    run: Run


@dataclass(frozen=True)
class Sweep:
    """All that a sweep file says."""

    path: Path
    output_dir: Path
    resources: Resources
    runs: list[Planned]

    def named(self, names: tuple[str, ...]) -> list[Planned]:
        """The runs of these names, or of names that begin so; all for none. Raises SettingsError."""
        for name in names:
            if not any(one.name.startswith(name) for one in self.runs):
                known = [one.name for one in self.runs]
                raise SettingsError(
                    f"--only {name}: no run is named so{yaml_source.nearest(name, known)}",
                    f"hubkit sweep {self.path} --dry-run lists the runs",
                )
        return [one for one in self.runs if not names or any(one.name.startswith(name) for name in names)]


@dataclass(frozen=True)
class Placed(Source):
    """Where the settings of a run came from: its combination, which the sweep file holds, or the base."""

    sweep: Source = field(default_factory=lambda: Source(None))
    places: dict[str, list[str]] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()  # of a base that stands in the sweep file

    def error(self, keys: list[str], message: str, hint: str = HINT) -> SettingsError:
        """An error with the file and line of the value, whichever of the two files it stands in."""
        dotted = ".".join(keys)
        for given, place in reversed(self.places.items()):
            if dotted == given or dotted.startswith(given + "."):
                return self.sweep.error(place, message, hint)
        for given, place in self.places.items():
            if given.startswith(dotted + ".") and self._lacks(keys):
                return self.sweep.error(place, message, hint)
        if self.prefix:
            return self.sweep.error([*self.prefix, *keys], message, hint)
        return Source(self.path, self.tree).error(keys, message, hint)


def load(path: Path) -> Sweep:
    """Read a sweep file and check the settings of all of its runs. Raises SettingsError, with its place."""
    tree, plain = settings.read(path)
    source = Source(path, tree)
    _check_shape(plain, source)
    file = yaml_source.section(plain, SweepFile, source, [])
    base, base_source = _base(file, source)
    found = combinations(file.matrix, file.include, file.exclude, source)
    held = any("training.seed" in one.values for one in found)
    planned: dict[str, Planned] = {}
    for one in found or [Combination()]:
        run = _planned(len(planned), one, base, base_source, Path(file.output_dir), held)
        if run.name in planned:
            place = next(iter(one.places.values()), ["matrix"])
            raise source.error(place, f"two runs are the same: {_listed(one.values)}")
        planned[run.name] = run
    return Sweep(path, Path(file.output_dir), file.resources, list(planned.values()))


def _check_shape(plain: dict[str, Any], source: Source) -> None:
    """Say what is meant where somebody writes a sweep as another tool has it."""
    inside = plain.get("matrix")
    for key in ("include", "exclude"):
        if isinstance(inside, dict) and key in inside:
            raise source.error(["matrix", key], f"{key} stands beside matrix, not in it")
    for key, values in inside.items() if isinstance(inside, dict) else ():
        if not isinstance(values, list):
            raise source.error(["matrix", key], f"matrix.{key} is a list of values: [{values}]")


def _base(file: SweepFile, source: Source) -> tuple[dict[str, Any], Placed]:
    """The settings that all runs begin with, and where they stand."""
    if isinstance(file.base, dict):
        return file.base, Placed(source.path, None, sweep=source, prefix=("base",))
    if not Path(file.base).is_file():
        raise source.error(["base"], f"base: there is no settings file {file.base}")
    tree, plain = settings.read(Path(file.base))
    return plain, Placed(Path(file.base), tree, sweep=source)


def _planned(
    index: int, one: Combination, base: dict[str, Any], source: Placed, output_dir: Path, held: bool
) -> Planned:
    plain = copy.deepcopy(base)
    placed = Placed(source.path, source.tree, sweep=source.sweep, places=one.places, prefix=source.prefix)
    for key in sorted(one.values, key=lambda key: key.count(".")):  # a mapping before what is set inside it
        if key.startswith("method."):
            plain.setdefault("method", settings.DEFAULT_METHOD)
        yaml_source.put(plain, key, copy.deepcopy(one.values[key]))
    if held:
        _hold_out_alike(plain, base)
    name = f"{_slug(one)}-{_digest(plain, one.values)}"
    plain["output_dir"] = str(output_dir / name)
    checked = yaml_source.section(plain, Settings, placed, [])
    run = runs.prepare(checked, placed)
    _check_files(checked, placed)
    return Planned(index, name, output_dir / name, one.values, plain, run)


def _hold_out_alike(plain: dict[str, Any], base: dict[str, Any]) -> None:
    """Seeds are compared on one text: documents are held out by the base's seed for all of them."""
    data = plain.get("dataset")
    data = {"id": data} if isinstance(data, str) else data
    if not isinstance(data, dict) or data.get("eval_files") or data.get("eval_split") or "split_seed" in data:
        return
    training = base.get("training")
    seed = training.get("seed") if isinstance(training, dict) else None
    plain["dataset"] = {**data, "split_seed": seed if isinstance(seed, int) else settings.Training().seed}


def _check_files(checked: Settings, source: Source) -> None:
    """What a run reads here must be here before the first one begins."""
    if checked.adapter:
        raise source.error(["adapter"], "a sweep trains its adapters; leave adapter out")
    if checked.data is None:
        raise source.error(["dataset"], "there is no dataset to train on")
    named = {
        "files": checked.data.files,
        "eval_files": checked.data.eval_files,
    }
    for key, paths in named.items():
        for path in paths:
            if not re.search(r"[*?\[]", path) and not Path(path).exists():
                raise source.error(["dataset", key], f"dataset.{key}: there is no {path}")
    if checked.base.path and not Path(checked.base.path).is_dir():
        raise source.error(
            ["base_model", "path"], f"base_model.path: there is no directory {checked.base.path}"
        )


def _digest(plain: dict[str, Any], values: dict[str, Any]) -> str:
    """Six hex digits that tell this run from every other of the matrix, and from those of another base."""
    shaping = {key: value for key, value in plain.items() if key not in NOT_SHAPING}
    text = json.dumps([shaping, values], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _slug(one: Combination) -> str:
    """The values of a combination, as short as a reader can still tell them apart."""
    parts = [_short(key, one.values[key]) for key in one.own]
    slug = re.sub(r"[^a-z0-9.]+", "-", "-".join(part for part in parts if part).lower()).strip("-.")
    return slug[:LONGEST_SLUG].rstrip("-.") or "run"


def _short(key: str, value: Any) -> str:
    last = key.rpartition(".")[2]
    if isinstance(value, dict):
        files = value.get("files")
        named = value.get("name") or value.get("id") or (Path(str(files[0])).stem if files else last)
        return str(named).rpartition("/")[2]
    if isinstance(value, bool):
        return last if value else f"no-{last}"
    if isinstance(value, int | float):
        return (
            f"{SHORT.get(key, last)}{value:g}"
            if isinstance(value, float)
            else f"{SHORT.get(key, last)}{value}"
        )
    if isinstance(value, list):
        return "-".join(str(part) for part in value)
    return str(value).rpartition("/")[2] if value is not None else f"no-{last}"


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in values.items())
