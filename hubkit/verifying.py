"""`hubkit measure --verify`: measure again under the recorded conditions, and say which numbers hold.

Nothing is written. See `verify.remeasure` for how far two measurements may be apart.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from hubkit import adapter, base_model, counting, freshness, processes, record, runs, stages, to_measure
from hubkit.adapter import Adapter
from hubkit.counting import base_files
from hubkit.errors import BaseModelError, HubError, SettingsError
from hubkit.extras import require_train
from hubkit.record import BaseModel, Measures, Record
from hubkit.runs import Run
from hubkit.stages import Say
from hubkit.verify import remeasure
from hubkit.verify.remeasure import DIFFERS, Number

if TYPE_CHECKING:
    from hubkit.models.corpus import Corpus

PERPLEXITIES = ("perplexity", "pseudo_perplexity")
ON_TEXT = (*PERPLEXITIES, "classification")


@dataclass(frozen=True)
class LeftOut:
    """A recorded measure that could not be taken again, and what would do it."""

    measure: str
    why: str
    hint: str | None


@dataclass(frozen=True)
class Verified:
    """The recorded numbers with their verdicts, and the measures that could not be taken again."""

    numbers: list[Number]
    left_out: list[LeftOut]

    @property
    def holds(self) -> bool:
        """Whether every number that could be compared is as recorded."""
        return remeasure.holds(self.numbers)

    def plain(self) -> dict[str, Any]:
        """As data for a program; `holds` is absent where something was left out and the rest holds."""
        known = {} if self.holds and self.left_out else {"holds": self.holds}
        parts = {"numbers": self.numbers, "left_out": self.left_out}
        return {**known, **msgspec.to_builtins(parts)}


def verify(
    directory: Path,
    described: Callable[[], Run],
    say: Say,
    *,
    perplexity: bool = True,
    classification: bool = True,
    throughput: bool = True,
    watched: bool = False,
) -> Verified:
    """Take an adapter's measures again, under the conditions of its record, and compare; without those named.

    `described` gives the settings, which tell where base and text are; it is called only where the base is
    needed. Raises SettingsError where nothing is recorded, or the base at hand is another; and what measuring
    raises.
    """
    found, whole = adapter.read(directory), record.read(directory)
    adapter.check_measurable(found)
    fresh = freshness.fresh(whole, found.sha256())
    names = [*(() if perplexity else PERPLEXITIES), *(() if classification else ("classification",))]
    known = _without(fresh, [*names, *(() if throughput else ("throughput",))])
    numbers = _of_another(whole, found.sha256()) + _of_other_base(whole, found) + _edited(directory)
    if known.measures == Measures():
        if numbers:
            return Verified(numbers, [])
        raise SettingsError(
            f"{directory} holds no measures to verify",
            f"take them: hubkit measure --adapter {shlex.quote(str(directory))}",
        )
    if not known.measures.were_taken:
        counted, left_out = _counted(described, found, known.measures)
        return Verified(numbers + counted, left_out)
    return _again(described(), found, known, numbers, say, fresh, watched)


def _counted(
    described: Callable[[], Run], found: Adapter, known: Measures
) -> tuple[list[Number], list[LeftOut]]:
    """What was counted in files, counted again; a total with the base's files too, where they can be had."""
    now, left_out = stages.counts(found), []
    if known.parameters and known.parameters.total is not None:
        try:
            now.parameters = counting.count(found, *_base_files(described()))
        except (counting.NotExact, BaseModelError, HubError) as error:
            why = f"it takes the base's files: {getattr(error, 'message', error)}"
            left_out = [LeftOut("parameters.total", why, "--base-path DIR")]
            of_file = msgspec.structs.replace(known.parameters, total=None, embedding=None, total_by_dtype={})
            known = msgspec.structs.replace(known, parameters=of_file)
    return remeasure.compare(known, now, quantized=False), left_out


def _base_files(run: Run) -> tuple[base_files.BaseFiles, ModuleType]:
    """The base's configuration and headers, from its directory or from the Hub, and the task."""
    base = run.settings.base
    if base.path:
        return base_files.local(Path(base.path)), run.task
    from hubkit.hub import Hub

    return base_files.on_hub(Hub(), base.id, base.revision), run.task


def _again(
    run: Run, found: Adapter, known: Record, numbers: list[Number], say: Say, whole: Record, watched: bool
) -> Verified:
    """Load base and adapter, measure, and compare; under the conditions of the whole record."""
    to_measure.check_subject(run, found, known, reading=True)
    require_train(watched)
    stages.share(say, "the documents")
    text, other = _text(run, known)
    run = runs.under_record(to_measure.on_known_base(run, known), whole)
    run = _as_recorded(run, known, text is not None)
    taken: list[Measures] = [Measures()]
    bases: list[BaseModel] = []

    def keep(measures: Measures, base: BaseModel) -> None:
        to_measure.check_loaded(base, known)
        taken.append(measures)
        bases.append(base)

    subject = stages.subject_of(
        run, found, _bits(run, known), text, to_measure.labels(run, found, known, text)
    )
    stages.take(run, subject, Measures(), say, keep)
    if other:
        numbers = [*numbers, other]
    quantized = any(base.quantization for base in bases)  # as it is, and not as the record may say
    loaded = _loaded_otherwise(whole, bases[-1])
    compared = remeasure.compare(known.measures, taken[-1], quantized=quantized, loaded=loaded)
    return Verified([*numbers, *compared], _left_out(known.measures, taken[-1], text is not None, other))


def _bits(run: Run, known: Record) -> dict[str, Any] | None:
    """How the base was held when it was measured, whatever settings say now."""
    if known.base_model is None:
        return to_measure.quantization(run, known)
    recorded = known.base_model.quantization
    return None if "quant_method" in (recorded or {}) else recorded  # such a base carries its own


def _loaded_otherwise(known: Record, now: BaseModel) -> str:
    """That the base was loaded in another dtype when its size was taken; empty where it was not."""
    base, timed = known.base_model, known.measures.throughput
    if base and timed and base.dtype == timed.dtype != now.dtype:
        return f"loaded in {base.dtype} then, in {now.dtype} now"
    return ""


def _text(run: Run, known: Record) -> tuple[Corpus | None, Number | None]:
    """The text of the recorded perplexity, or that the one at hand is another."""
    with processes.main_first():
        text, sha256 = to_measure.recorded_text(run, known)
    scored = known.measures.on_text
    if scored is None or sha256 is None:
        return text, None
    name = "classification" if scored is known.measures.classification else "perplexity"
    why = f"another text: {name} was not measured again"
    return None, remeasure.equal(f"{name}.dataset_sha256", scored.dataset_sha256, sha256, why)


def _left_out(known: Measures, taken: Measures, with_text: bool, other: Number | None) -> list[LeftOut]:
    """The measures that are recorded and were not taken."""
    found: list[LeftOut] = []
    for name in known.__struct_fields__:
        recorded = getattr(known, name)
        if recorded is None or getattr(taken, name) is not None or (other and name in ON_TEXT):
            continue
        if name in ON_TEXT and not with_text:
            why = f"the text it was measured on, {recorded.dataset_name}, is not at hand"
            flag = "--no-classification" if name == "classification" else "--no-perplexity"
            found.append(LeftOut(name, why, f"--text FILE, or {flag} to leave it out"))
        elif name == "pseudo_perplexity":
            why = f"it was measured on another text than perplexity, {recorded.dataset_name}"
            found.append(LeftOut(name, why, "hubkit measure --again --pseudo-perplexity takes both on one"))
        else:
            found.append(LeftOut(name, "it cannot be taken here, as was said above", None))
    return found


def _without(known: Record, names: list[str]) -> Record:
    """The record without measures that the user leaves out."""
    measures = msgspec.structs.replace(known.measures, **dict.fromkeys(names))
    return msgspec.structs.replace(known, measures=measures)


def _as_recorded(run: Run, known: Record, with_text: bool) -> Run:
    """The run without measures that the record lacks, on as many threads."""
    timed, scored, pseudo = (
        known.measures.throughput,
        known.measures.perplexity,
        known.measures.pseudo_perplexity,
    )
    on_one_text = pseudo and (scored is None or scored.dataset_sha256 == pseudo.dataset_sha256)
    measuring = run.settings.measuring
    measuring = msgspec.structs.replace(
        measuring,
        perplexity=with_text and scored is not None,
        pseudo_perplexity=bool(with_text and on_one_text),
        classification=bool(with_text and known.measures.classification),
        throughput=timed is not None,
        max_eval_documents=None,  # the text is cut already
        speed=msgspec.structs.replace(measuring.speed, merged=bool(timed and timed.merged)),
    )
    taken = timed or scored or known.measures.classification
    environment = taken.environment if taken else None
    threads = environment.threads if environment else run.settings.training.threads
    threads = threads and min(max(threads, 1), os.cpu_count() or 1)  # a record may say anything
    training = msgspec.structs.replace(run.settings.training, threads=threads)
    settings = msgspec.structs.replace(run.settings, measuring=measuring, training=training)
    return replace(run, settings=settings)


def _of_another(whole: Record, adapter_sha256: str) -> list[Number]:
    """What the record says of another adapter than the one that lies there."""
    return [
        remeasure.equal(
            f"{name}.adapter_sha256",
            getattr(whole.measures, name).adapter_sha256,
            adapter_sha256,
            "it was taken on other weights or another configuration",
        )
        for name in freshness.fresh_measures(whole.measures, adapter_sha256)[1]
    ]


def _of_other_base(whole: Record, found: Adapter) -> list[Number]:
    """That the record names another base than the adapter's configuration does; the user may be another."""
    named, said = base_model.hub_id(found.base_model), whole.base_model.id if whole.base_model else None
    if not named or not said or named.rpartition("/")[2].lower() == said.rpartition("/")[2].lower():
        return []
    return [remeasure.equal("base_model.id", said, named, "adapter_config.json names another base")]


def _edited(directory: Path) -> list[Number]:
    """The measures that somebody edited since hubkit wrote them."""
    return [
        Number(name, "edited", "as hubkit wrote it", "equal", DIFFERS, "hubkit.json was edited here by hand")
        for name in freshness.edited(directory)
    ]
