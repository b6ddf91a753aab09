"""The stages of a run that need torch: train, and measure. Each is skipped when its result is there already.

What is done is told by digests in the record: of the settings and the text that shaped the training, and of
the weights, text and settings that the measures were taken with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hubkit import __version__, adapter, files, freshness, processes, record, runs, to_measure
from hubkit.card.facts import gather, merge_authors
from hubkit.errors import MeasureError, SettingsError
from hubkit.extras import require_train
from hubkit.found import with_history
from hubkit.record import Measures, Method, Record, Size
from hubkit.runs import Run

if TYPE_CHECKING:
    from hubkit.measures.subject import Subject
    from hubkit.models.corpus import Corpus
    from hubkit.training.job import Job

Say = Callable[[str], None]


def train(
    run: Run, say: Say, *, fresh: bool = False, must_resume: bool = False, watched: bool = False
) -> Path:
    """Train the adapter of these settings, or find it trained; returns its directory."""
    if run.settings.data is None:
        raise no_dataset()
    require_train(watched)
    from hubkit.models import corpus
    from hubkit.training import checkpoints, fit

    share(say, "every step")
    with processes.main_first():
        text = corpus.load(run.settings.data, run.settings.training.seed)
    shaped_by = runs.training_sha256(run, text.facts.train_sha256, processes.count())
    known = record.read(run.adapter_dir) if run.adapter_dir.is_dir() else Record()
    begun = checkpoints.is_of(run.output_dir / checkpoints.FOLDER, shaped_by)  # anew, and stopped
    if not (fresh or begun) and _is_trained(run, known, text.facts.train_sha256):
        say(f"trained already with these settings: {run.adapter_dir}")
        _write(run, _described(run, known), known)
        return run.adapter_dir
    if not fresh:
        _check_replaceable(run, shaped_by)
    job = _job(run, text, shaped_by, say, watched=watched)
    outcome = fit.fit(run.settings.base, job, say, fresh=fresh, must_resume=must_resume)
    processes.leave()
    record.write(
        outcome.adapter_dir,
        Record(
            hubkit_version=__version__,
            repo_id=known.repo_id,
            task=run.task.NAME,
            method=_method(run),
            base_model=_cited(outcome.base, run),
            dataset=msgspec.structs.replace(text.facts, **outcome.text),
            training=msgspec.structs.replace(
                outcome.facts, adapter_sha256=adapter.read(outcome.adapter_dir).sha256()
            ),
            author=merge_authors(known.author, run.settings.card),
            pushed=known.pushed,
        ),
    )
    fit.finish(job)
    return outcome.adapter_dir


def _job(run: Run, text: Corpus, shaped_by: str, say: Say, *, watched: bool) -> Job:
    """What is to be trained, after saying what became of the text."""
    from hubkit.training.job import Job

    for line in text.said():
        say(line)
    return Job(
        training=run.settings.training,
        task=run.task,
        task_parameters=run.task_parameters,
        method=run.method,
        method_parameters=run.method_parameters,
        text=text,
        output_dir=run.output_dir,
        settings_sha256=shaped_by,
        watched=watched,
        say=say,
    )


def measure(run: Run, say: Say, *, again: bool = False, watched: bool = False) -> Path:
    """Measure the adapter of these settings, or find it measured; returns its directory.

    What was measured before on the same weights and base, and is not measured now, stays.
    """
    found = adapter.read(run.adapter_dir)
    adapter.check_measurable(found)
    sha256 = found.sha256()
    known = freshness.fresh(record.read(run.adapter_dir), sha256)
    known = with_history(known, run.adapter_dir, sha256)
    to_measure.check_subject(run, found, known)
    require_train(watched)
    run = to_measure.on_known_base(run, known) if known.training else run
    share(say, "the documents")
    with processes.main_first():
        text = to_measure.evaluation_text(run, known)
    bits = to_measure.quantization(run, known)
    if not again and known.measuring_sha256 == to_measure.taken_with(run, found, known, text, bits):
        say(f"measured already on these weights, with these settings: {run.adapter_dir}")
        _write(run, _described(run, known), known)
        return run.adapter_dir
    labels = to_measure.labels(run, found, known, text)
    subject = subject_of(run, found, bits, text, labels)

    def keep(measures: Measures, base: record.BaseModel) -> None:
        to_measure.check_loaded(base, known)
        measured = _measured(run, known, measures, _cited(base, run), text.facts if text else None)
        _write(run, measured, known)

    take(run, subject, to_measure.still_valid(run, found, known, bits), say, keep)
    done = record.read(run.adapter_dir)
    done.measuring_sha256 = to_measure.taken_with(run, found, done, text, bits)
    record.write(run.adapter_dir, done)
    return run.adapter_dir


def share(say: Say, what: str) -> None:
    """Join the other processes of the launcher, where there are several."""
    if processes.count() > 1:
        processes.join()
        say(f"{processes.count()} processes share {what}")


def subject_of(
    run: Run,
    found: adapter.Adapter,
    bits: dict[str, Any] | None,
    text: Corpus | None,
    labels: tuple[str, ...],
) -> Subject:
    """What is handed to every measure."""
    from hubkit.measures.subject import Subject

    return Subject(
        adapter=found,
        base=run.settings.base,
        task=run.task,
        task_parameters=run.task_parameters,
        quantization=bits,
        settings=run.settings.measuring,
        context=run.settings.training.block_size,
        text=text,
        labels=labels,
    )


def take(
    run: Run,
    subject: Subject,
    known: Measures,
    say: Say,
    keep: Callable[[Measures, record.BaseModel], None],
) -> None:
    """Take measures. Raises MeasureError where memory does not suffice."""
    import torch

    from hubkit.measures import run as measuring
    from hubkit.models import limits

    if run.settings.training.threads:
        torch.set_num_threads(run.settings.training.threads)
    try:
        measuring.measure(subject, known, say, keep)
    except (RuntimeError, MemoryError) as error:
        if not limits.is_out_of_memory(error):
            raise
        raise MeasureError(
            "out of memory while measuring", "lower measuring.batch_size or context"
        ) from error


def count(directory: Path) -> Path:
    """Write into the record what an adapter's files tell by themselves, without its base.

    What was counted with the base stays. Returns the directory.
    """
    found, known = adapter.read(directory), record.read(directory)
    sha256 = found.sha256()
    fresh = with_history(freshness.fresh(known, sha256), directory, sha256)
    counted = counts(found)
    kept = msgspec.structs.replace(
        fresh.measures,
        parameters=fresh.measures.parameters or counted.parameters,
        size=fresh.measures.size or counted.size,
    )
    new = msgspec.structs.replace(freshness.with_measures(fresh, kept), hubkit_version=__version__)
    if new != known:
        record.write(directory, new)
    return directory


def is_foreign(directory: Path) -> bool:
    """Whether nothing is known of an adapter's training and measures, but for what its files tell."""
    known = record.read(directory)
    return known.training is None and not known.measures.were_taken


def counts(found: adapter.Adapter) -> Measures:
    """The parameters and bytes that an adapter's files tell by themselves."""
    facts = gather(found.directory, adapter=found, record=Record())
    published = [found.directory / name for name in files.ADAPTER_FILES]
    size = Size(
        adapter_sha256=facts.sha256,
        adapter_weights_bytes=facts.weights_bytes,
        adapter_directory_bytes=sum(path.stat().st_size for path in published if path.is_file()),
    )
    return Measures(parameters=facts.parameters, size=size)


def _measured(
    run: Run, known: Record, measures: Measures, base: record.BaseModel, text: record.Dataset | None
) -> Record:
    """The record with new measures; not yet marked as complete."""
    dataset = known.dataset
    if text and known.training is None:
        dataset = freshness.only_evaluated(text)
    return msgspec.structs.replace(
        freshness.with_measures(_described(run, known), measures),
        hubkit_version=__version__,
        task=run.task.NAME,
        base_model=base,
        dataset=dataset,
        measuring_sha256=None,
    )


def _described(run: Run, known: Record) -> Record:
    """The record with what the settings say in words, which no digest covers: names, notes, licences."""
    base, dataset, data = known.base_model, known.dataset, run.settings.data
    if base:
        base = msgspec.structs.replace(base, note=run.settings.base.note or base.note)
    if dataset and data and dataset.id == data.id and known.training and not run.settings.adapter:
        name = data.name or dataset.name
        dataset = msgspec.structs.replace(dataset, name=name, note=data.note, license=data.license)
    return msgspec.structs.replace(known, base_model=base, dataset=dataset)


def _write(run: Run, new: Record, known: Record) -> None:
    """Write the record where it changed; of several processes, the main one does."""
    if new != known and processes.is_main():
        record.write(run.adapter_dir, new)


def forecast(run: Run, *, fresh: bool = False) -> list[str]:
    """What `train` and `measure` would do for these settings, without doing it; empty: both are done.

    Reads the text, and no model.
    """
    require_train()
    from hubkit.models import corpus
    from hubkit.training import checkpoints

    known = record.read(run.adapter_dir) if run.adapter_dir.is_dir() else Record()
    todo, data = [], run.settings.data
    text = None
    if data:
        text = corpus.load(data, run.settings.training.seed, only_evaluation=bool(run.settings.adapter))
    if not run.settings.adapter:
        if text is None:
            raise no_dataset()
        shaped_by = runs.training_sha256(run, text.facts.train_sha256)
        begun = checkpoints.is_of(run.output_dir / checkpoints.FOLDER, shaped_by)
        if fresh or begun or not _is_trained(run, known, text.facts.train_sha256):
            if not fresh:
                _check_replaceable(run, shaped_by)
            words = text.facts.train_words or 0
            todo.append(
                f"train {run.method.TITLE} on {words:,} words of {text.facts.name}, into {run.adapter_dir}"
            )
    if todo or not to_measure.is_measured(run, known):
        todo.append("measure it, and write its card")
    return todo


def no_dataset() -> SettingsError:
    """What to say where there is nothing to train on."""
    return SettingsError(
        "there is no dataset to train on", "add dataset: to the settings, or adapter: to load one"
    )


def _is_trained(run: Run, known: Record, train_sha256: str | None) -> bool:
    """Whether the adapter that these settings describe lies there, whole; by however many processes."""
    names = (adapter.WEIGHTS_NAME, adapter.CONFIG_NAME)
    there = all((run.adapter_dir / name).is_file() for name in names)
    if not there or known.training is None:
        return False
    shaped_by = runs.training_sha256(run, train_sha256, known.training.processes or 1)
    if known.training.settings_sha256 != shaped_by:
        return False
    return freshness.is_trained(known, adapter.read(run.adapter_dir).sha256())


def _check_replaceable(run: Run, shaped_by: str) -> None:
    """Refuse to train over an adapter of other settings; what a stop left of these ones may go.

    Raises SettingsError.
    """
    if not (run.adapter_dir / adapter.WEIGHTS_NAME).is_file():
        return
    from hubkit.training import checkpoints

    if not checkpoints.is_of(run.output_dir / checkpoints.FOLDER, shaped_by):
        raise SettingsError(
            f"{run.adapter_dir} holds an adapter that was not trained with these settings",
            "give another output_dir, or --fresh to train anew over it",
        )


def _method(run: Run) -> Method:
    """The method with all its parameters: those that were left at their defaults too."""
    parameters = msgspec.structs.asdict(run.method_parameters)
    said = {name: value for name, value in parameters.items() if value is not None}
    return Method(name=run.method.NAME, parameters=said)


def _cited(base: record.BaseModel, run: Run) -> record.BaseModel:
    """The base's facts with what only the settings know."""
    return msgspec.structs.replace(base, note=run.settings.base.note)
