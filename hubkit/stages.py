"""The stages of a run that need torch: train, and measure. Each is skipped when its result is there already.

What is done is told by digests in the record: of the settings and the text that shaped the training, and of
the weights, text and settings that the measures were taken with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hubkit import __version__, adapter, base_model, files, freshness, record, runs
from hubkit.base_model import weight_files
from hubkit.card.facts import merge_authors
from hubkit.errors import MeasureError, SettingsError
from hubkit.extras import require_train
from hubkit.record import Measures, Method, Record
from hubkit.runs import Run

if TYPE_CHECKING:
    from hubkit.models.corpus import Corpus

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

    text = corpus.load(run.settings.data, run.settings.training.seed)
    shaped_by = runs.training_sha256(run, text.facts.train_sha256)
    known = record.read(run.adapter_dir) if run.adapter_dir.is_dir() else Record()
    begun = checkpoints.is_of(run.output_dir / checkpoints.FOLDER, shaped_by)  # anew, and stopped
    if not (fresh or begun) and _is_trained(run, known, shaped_by):
        say(f"trained already with these settings: {run.adapter_dir}")
        _write(run, _described(run, known), known)
        return run.adapter_dir
    if not fresh:
        _check_replaceable(run, shaped_by)
    job = fit.Job(
        training=run.settings.training,
        task=run.task,
        task_parameters=run.task_parameters,
        method=run.method,
        method_parameters=run.method_parameters,
        text=text,
        output_dir=run.output_dir,
        settings_sha256=shaped_by,
        watched=watched,
    )
    outcome = fit.fit(run.settings.base, job, say, fresh=fresh, must_resume=must_resume)
    record.write(
        outcome.adapter_dir,
        Record(
            hubkit_version=__version__,
            repo_id=known.repo_id,
            task=run.task.NAME,
            method=_method(run),
            base_model=_cited(outcome.base, run),
            dataset=msgspec.structs.replace(text.facts, train_tokens=outcome.train_tokens),
            training=msgspec.structs.replace(
                outcome.facts, adapter_sha256=adapter.read(outcome.adapter_dir).sha256()
            ),
            author=merge_authors(known.author, run.settings.card),
        ),
    )
    fit.finish(job)
    return outcome.adapter_dir


def measure(run: Run, say: Say, *, again: bool = False, watched: bool = False) -> Path:
    """Measure the adapter of these settings, or find it measured; returns its directory.

    What was measured before on the same weights and base, and is not measured now, stays.
    """
    found = adapter.read(run.adapter_dir)
    adapter.check_measurable(found)
    known = freshness.fresh(record.read(run.adapter_dir), found.sha256())
    _check_subject(run, found, known)
    require_train(watched)
    import torch

    from hubkit.measures import run as measuring
    from hubkit.models import limits

    text = _evaluation_text(run, known)
    bits = _quantization(run, known)
    if not again and known.measuring_sha256 == _taken_with(run, found, known, text, bits):
        say(f"measured already on these weights, with these settings: {run.adapter_dir}")
        _write(run, _described(run, known), known)
        return run.adapter_dir
    if run.settings.training.threads:
        torch.set_num_threads(run.settings.training.threads)
    subject = measuring.Subject(
        adapter=found,
        base=run.settings.base,
        task=run.task,
        task_parameters=run.task_parameters,
        quantization=bits,
        settings=run.settings.measuring,
        context=run.settings.training.block_size,
        text=text,
    )

    def keep(measures: Measures, base: record.BaseModel) -> None:
        measured = _measured(run, known, measures, _cited(base, run), text.facts if text else None)
        _write(run, measured, known)

    try:
        measuring.measure(subject, _still_valid(run, found, known, bits), say, keep)
    except (RuntimeError, MemoryError) as error:
        if not limits.is_out_of_memory(error):
            raise
        raise MeasureError(
            "out of memory while measuring", "lower measuring.batch_size or context"
        ) from error
    done = record.read(run.adapter_dir)
    done.measuring_sha256 = _taken_with(run, found, done, text, bits)
    record.write(run.adapter_dir, done)
    return run.adapter_dir


def _taken_with(
    run: Run, found: adapter.Adapter, known: Record, text: Corpus | None, bits: dict[str, Any] | None
) -> str:
    """The digest of everything that the measures depend on."""
    return runs.measuring_sha256(run, known, found.sha256(), text.facts.eval_sha256 if text else None, bits)


def _evaluation_text(run: Run, known: Record) -> Corpus | None:
    """The text to measure perplexity on; the very documents that were held out, where some were.

    Raises SettingsError where these settings hold out others: the adapter was trained on some of those.
    """
    from hubkit.models import corpus

    data = run.settings.data
    if data is None or not run.settings.measuring.perplexity:
        return None
    text = corpus.load(data, run.settings.training.seed, only_evaluation=True)
    if text.facts.hold_out is None:
        return text
    before = known.dataset if known.training else None
    if before is None or before.name != text.facts.name:  # nobody knows that it was held out from training
        facts = msgspec.structs.replace(text.facts, eval_split=freshness.SAMPLE, hold_out=None)
        return corpus.Corpus([], text.evaluation, facts)
    if before.train_sha256 != text.facts.train_sha256:
        raise SettingsError(
            f"these settings hold out other documents of {before.name} than the training did",
            "measure with the settings it was trained with, or name the text by dataset.eval_files",
        )
    return text


def _check_subject(run: Run, found: adapter.Adapter, known: Record) -> None:
    """The settings must speak of the adapter that lies there. Raises SettingsError."""
    named = (
        known.base_model.id if known.training and known.base_model else base_model.hub_id(found.base_model)
    )
    wanted = run.settings.base.id
    if named and named.rpartition("/")[2].lower() != wanted.rpartition("/")[2].lower():
        raise SettingsError(
            f"{run.adapter_dir} is an adapter of {named}, and base_model says {wanted}",
            "name the base it was trained on, or another adapter",
        )
    if known.training and known.task and known.task != run.task.NAME:
        raise SettingsError(
            f"{run.adapter_dir} was trained for {known.task}, and task says {run.task.NAME}",
            f"task: {known.task}",
        )
    trained_with = known.method.name if known.training and known.method else None
    if run.settings.adapter and trained_with and trained_with != run.method.NAME:
        raise SettingsError(
            f"{run.adapter_dir} was trained by {trained_with}, and method says {run.method.NAME}",
            f"method: {trained_with}",
        )


def _still_valid(run: Run, found: adapter.Adapter, known: Record, bits: dict[str, Any] | None) -> Measures:
    """The known measures that were taken on these weights and this base."""
    base, now = known.base_model, run.settings.base
    if base is None:
        return Measures()
    weights = files.sha256_of(weight_files(Path(now.path))) if now.path else None
    revision = None if now.path else now.revision or base.revision
    if (base.id, base.revision, base.weights_sha256) != (now.id, revision, weights):
        return Measures()
    if _recipe(base.quantization) != _recipe(bits):
        return Measures()
    return freshness.fresh_measures(known.measures, found.sha256())[0]


def _recipe(quantization: dict[str, Any] | None) -> dict[str, Any] | None:
    """How weights are quantised while loading, names of modules apart; not at all where they are already."""
    if not quantization or "quant_method" in quantization:
        return None
    return {key: value for key, value in quantization.items() if key != "llm_int8_skip_modules"}


def _measured(
    run: Run, known: Record, measures: Measures, base: record.BaseModel, text: record.Dataset | None
) -> Record:
    """The record with new measures; not yet marked as complete."""
    dataset = known.dataset
    if text and known.training is None:
        dataset = freshness.only_evaluated(text)
    return msgspec.structs.replace(
        _described(run, known),
        hubkit_version=__version__,
        task=run.task.NAME,
        base_model=base,
        dataset=dataset,
        measures=measures,
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
    """Write the record where it changed."""
    if new != known:
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
        if fresh or begun or not _is_trained(run, known, shaped_by):
            if not fresh:
                _check_replaceable(run, shaped_by)
            words = text.facts.train_words or 0
            todo.append(
                f"train {run.method.TITLE} on {words:,} words of {text.facts.name}, into {run.adapter_dir}"
            )
    if todo or not _is_measured(run, known):
        todo.append("measure it, and write its card")
    return todo


def _is_measured(run: Run, known: Record) -> bool:
    """Whether the record holds the measures of these weights under these settings."""
    found = adapter.read(run.adapter_dir)
    _check_subject(run, found, known)
    text, bits = _evaluation_text(run, known), _quantization(run, known)
    return known.measuring_sha256 == _taken_with(run, found, known, text, bits)


def no_dataset() -> SettingsError:
    """What to say where there is nothing to train on."""
    return SettingsError(
        "there is no dataset to train on", "add dataset: to the settings, or adapter: to load one"
    )


def _is_trained(run: Run, known: Record, shaped_by: str) -> bool:
    """Whether the adapter that these settings describe lies there, whole."""
    names = (adapter.WEIGHTS_NAME, adapter.CONFIG_NAME)
    there = all((run.adapter_dir / name).is_file() for name in names)
    if not there or known.training is None or known.training.settings_sha256 != shaped_by:
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


def _quantization(run: Run, known: Record) -> dict[str, Any] | None:
    """How the base is held while measuring: as it was in training; else as a file or the method tells."""
    if known.training:
        recorded = known.base_model.quantization if known.base_model else None
        # a base that is published quantized carries its own configuration, and needs none from here
        return None if "quant_method" in (recorded or {}) else recorded
    beside = run.adapter_dir / "quantization_config.json"
    if run.settings.adapter and beside.is_file():
        recipe = base_model.read_json(beside)
        recipe.pop("quant_method", None)
        return recipe
    if run.quantization and "quant_method" not in run.quantization:
        return run.quantization
    return run.method.quantization(run.method_parameters)  # type: ignore[no-any-return]
