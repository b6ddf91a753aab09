"""The figures of a card: which there are, what each shows in words, and whether the one on disk still does.

A figure on disk holds the digest of the data that it was drawn from. The card links those whose digest is the
one of the data that the record has now, so that a card can be made, and checked, without matplotlib.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from hubkit import files
from hubkit.card import comparison, drawing, evaluation, png, results, text
from hubkit.card.comparison import Side
from hubkit.card.facts import Facts
from hubkit.record import LogPoint, Perplexity

EDITION = 2  # of the drawing: another draws every figure anew
PLACES = {"masked": " at masked positions", "answers": " of the answers"}  # of which a perplexity is


How = Literal["draw", "promise", "keep", "leave out"]


@dataclass(frozen=True)
class Settled:
    """Facts whose figures are settled, and what it takes on disk to make that true."""

    facts: Facts
    images: Mapping[str, bytes]  # to write, by path
    unlinked: tuple[str, ...]  # paths of hubkit's figures on disk that the card does not link
    wanted: tuple[str, ...] = ()  # paths of those that are to be drawn, or would be


@dataclass(frozen=True)
class Figure:
    """A figure that the record has the data for."""

    name: str  # loss, perplexity, comparison
    alt: str  # what it shows, in numbers; Markdown
    data: Any  # all that it is drawn from, as plain data
    draw: Callable[[str], bytes]  # given its digest

    @property
    def file(self) -> str:
        """Its file's name."""
        return f"{self.name}.png"

    @property
    def path(self) -> str:
        """Its file's path in the adapter directory."""
        return f"{png.FOLDER}/{self.file}"

    @cached_property
    def digest(self) -> str:
        """The digest of what it is drawn from."""
        plain = json.dumps([EDITION, self.name, self.data], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()

    @property
    def markdown(self) -> str:
        """The image with its alt text."""
        return f"![{self.alt}]({self.path})"


def possible(facts: Facts) -> list[Figure]:
    """The figures that the record has the data for."""
    drawn = (
        _loss(facts),
        _perplexity(facts.record.measures.perplexity),
        of_comparison(comparison.sides(facts)),
    )
    return [figure for figure in drawn if figure]


def shown(facts: Facts) -> dict[str, str]:
    """The images that the card links, by name: those that are on disk and up to date."""
    if not facts.figures:  # what could be drawn takes longer to find than all else on a card
        return {}
    return {one.name: one.markdown for one in possible(facts) if facts.figures.get(one.file) == one.digest}


def lacking(facts: Facts) -> list[Figure]:
    """The figures that are not on disk, or no longer show what the record says."""
    return [one for one in possible(facts) if facts.figures.get(one.file) != one.digest]


def settled(facts: Facts, how: How) -> Settled:
    """The facts of a card with its figures drawn, promised, as they are on disk, or left out.

    Promised are those that would be drawn. Without matplotlib nothing is drawn, and nothing promised. A file
    of a figure's name that is not hubkit's stays, and the figure is left out.
    """
    if how == "leave out":
        return Settled(replace(facts, figures={}), {}, tuple(_paths(facts.figures)))
    may_draw = how != "keep" and drawing.can_draw()
    if not (may_draw or facts.figures):
        return Settled(facts, {}, ())
    current = {one.file: one for one in possible(facts)}
    up_to_date = {name for name, digest in facts.figures.items() if _is_of(current.get(name), digest)}
    wanted = [
        one
        for name, one in current.items()
        if may_draw and name not in up_to_date and not _is_anothers(facts, one)
    ]
    images = {one.path: one.draw(one.digest) for one in wanted} if how == "draw" else {}
    known = {**facts.figures, **{one.file: one.digest for one in wanted}}
    unlinked = set(facts.figures) - up_to_date - {one.file for one in wanted}
    paths = tuple(one.path for one in wanted)
    return Settled(replace(facts, figures=known), images, tuple(_paths(unlinked)), paths)


def _is_of(figure: Figure | None, digest: str) -> bool:
    return figure is not None and figure.digest == digest


def _paths(names: Iterable[str]) -> list[str]:
    return [f"{png.FOLDER}/{name}" for name in sorted(names)]


def _is_anothers(facts: Facts, figure: Figure) -> bool:
    return figure.file not in facts.figures and (facts.adapter.directory / figure.path).exists()


def write(directory: Path, images: Mapping[str, bytes]) -> None:
    """Write figures that were drawn."""
    if not images:
        return
    (directory / png.FOLDER).mkdir(exist_ok=True)
    try:
        for path, image in images.items():
            files.write_atomically(directory / path, image)
    finally:
        _drop_empty_folder(directory)


def remove(directory: Path, paths: Sequence[str]) -> None:
    """Remove figures of hubkit's that the card does not link, and their folder when nothing else is in it."""
    for path in paths:
        (directory / path).unlink(missing_ok=True)
    if paths:
        _drop_empty_folder(directory)


def _drop_empty_folder(directory: Path) -> None:
    folder = directory / png.FOLDER
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _loss(facts: Facts) -> Figure | None:
    history = results.log(facts)
    training = _points(history, lambda point: point.loss)
    evaluation_loss = _points(history, lambda point: point.eval_loss)
    if max(len(training), len(evaluation_loss)) < 2:
        return None
    said = [
        _course(name, points)
        for name, points in (("training loss", training), ("evaluation loss", evaluation_loss))
        if points
    ]
    alt = f"Loss over {text.count(max(training + evaluation_loss)[0])} optimizer steps: {'; '.join(said)}."
    if facts.record.training is None and facts.record.found_history:
        alt = f"From {facts.record.found_history.source}: {alt}"
    return Figure("loss", alt, [training, evaluation_loss], drawing.losses(training, evaluation_loss))


Point = tuple[int, float]


def _points(history: list[LogPoint], value: Callable[[LogPoint], float | None]) -> list[Point]:
    """Steps and values, in order; of a step that was logged again the last one."""
    found = {point.step: loss for point in history if (loss := value(point)) is not None}
    return sorted(found.items())


def _course(name: str, points: list[Point]) -> str:
    """`training loss 3.0675 at step 1, 2.4762 at step 60`."""
    first, last = points[0], points[-1]
    return f"{name} " + ", ".join(
        f"{results.loss(loss)} at step {text.count(step)}" for step, loss in dict.fromkeys((first, last))
    )


def _perplexity(measured: Perplexity | None) -> Figure | None:
    if measured is None or measured.base_value is None or measured.change is None:
        return None
    value, base = text.perplexity(measured.value), text.perplexity(measured.base_value)
    change = text.percent(measured.change, signed=True)
    where = PLACES.get(measured.definition, "")
    split = evaluation.split_name(measured.dataset_name, measured.split)
    name = text.phrase(measured.dataset_name) + (f", {split}" if split else "")
    alt = (
        f"Perplexity{where} on {name}: {base} for the base model alone, {value} with this adapter ({change})."
    )
    rows = [
        ("base alone", measured.base_value, base),
        ("with this adapter", measured.value, f"{value} ({change})"),
    ]
    label = f"Perplexity{where} (lower is better)"
    intervals = measured.base_interval, measured.interval
    known = next((one for one in intervals if one), None)
    if known is None:
        return Figure("perplexity", alt, [rows, label], drawing.bars(rows, label))
    ends = [(one.low, one.high) if one else None for one in intervals]
    lines = f"lines: {text.percent_short(known.confidence)} interval"
    label = label.replace("lower is better", f"lower is better; {lines}")
    return Figure("perplexity", alt, [rows, label, ends], drawing.bars(rows, label, ends))


def of_comparison(sides: Sequence[Side]) -> Figure | None:
    """Perplexity against trainable parameters, where two or more adapters can be compared by both."""
    held = [side for side in sides if side.numbers.perplexity and side.numbers.trainable]
    if len(held) < 2 or comparison.reasons(held):
        return None
    points = [
        (name, float(side.numbers.trainable or 0), side.numbers.perplexity.value, side.is_own)
        for name, side in zip(_names(held), held, strict=True)
        if side.numbers.perplexity
    ]
    bases = _base_lines(held)
    definition = held[0].numbers.perplexity.definition if held[0].numbers.perplexity else ""
    where = PLACES.get(definition, "")
    labels = ("Trainable parameters", f"Perplexity{where} (lower is better)")
    said = [
        f"{text.phrase(name)} {text.perplexity(value)} at {text.count(int(trainable))}"
        for name, trainable, value, _ in points
    ]
    said += [f"{text.phrase(name)} {text.perplexity(value)}" for name, value in bases]
    alt = f"Perplexity{where} against trainable parameters: {'; '.join(said)}."
    return Figure("comparison", alt, [points, bases, labels], drawing.scatter(points, bases, labels))


def _names(held: Sequence[Side]) -> list[str]:
    """What each is called in the figure: its method, and more where that is another's too."""
    methods = [side.numbers.method for side in held]
    found = []
    for side, method in zip(held, methods, strict=True):
        name = method if methods.count(method) == 1 else f"{method}, {_last(side.numbers.name)}"
        found.append(f"{name} (this adapter)" if side.is_own else name)
    return [text.plain(name) for name in found]


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _base_lines(held: Sequence[Side]) -> list[tuple[str, float]]:
    """The base alone, once for each kind of weights that it was held in."""
    several = len({side.numbers.base_id for side in held}) > 1
    found: dict[tuple[str | None, str | None], tuple[str, float]] = {}
    for side in held:
        one, measured = side.numbers, side.numbers.perplexity
        if measured and measured.base_value is not None:
            name = f"{_last(one.base_id)} alone" if several and one.base_id else "base alone"
            name += f", {one.base_weights.partition(',')[0]}" if one.base_weights else ""
            found.setdefault((one.base_id, one.base_weights), (text.plain(name), measured.base_value))
    return list(found.values())
