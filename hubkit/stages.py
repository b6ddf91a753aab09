"""The stages of a run that need torch: train, and measure. Each is skipped when its result is there already.

What is done is told by digests in the record: of the settings and the text that shaped the training, and of
the weights, text and settings that the measures were taken with.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from hubkit import __version__, adapter, record, runs
from hubkit.errors import SettingsError
from hubkit.extras import require_train
from hubkit.record import Author, Method, Record
from hubkit.runs import Run
from hubkit.settings import Card

Say = Callable[[str], None]


def train(
    run: Run, say: Say, *, fresh: bool = False, must_resume: bool = False, watched: bool = False
) -> Path:
    """Train the adapter of these settings, or find it trained; returns its directory."""
    require_train(watched)
    from hubkit.models import corpus
    from hubkit.training import fit

    if run.settings.data is None:
        raise _no_dataset()
    text = corpus.load(run.settings.data, run.settings.training.seed)
    shaped_by = runs.training_sha256(run, text.facts.train_sha256)
    known = record.read(run.adapter_dir) if run.adapter_dir.is_dir() else Record()
    if not fresh and _is_trained(run, known, shaped_by):
        say(f"trained already with these settings: {run.adapter_dir}")
        return run.adapter_dir
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
            training=outcome.facts,
            author=author(run.settings.card),
        ),
    )
    fit.finish(job)
    return outcome.adapter_dir


def measure(run: Run, say: Say, *, again: bool = False, watched: bool = False) -> Path:
    """Measure the adapter of these settings, or find it measured; returns its directory."""
    require_train(watched)
    import torch

    from hubkit.measures import run as measuring
    from hubkit.models import corpus

    found = adapter.read(run.adapter_dir)
    known = record.read(run.adapter_dir)
    data = run.settings.data
    text = None
    if data and run.settings.measuring.perplexity:
        text = corpus.load(data, run.settings.training.seed, only_evaluation=True)
    taken_with = runs.measuring_sha256(run, found.sha256(), text.facts.eval_sha256 if text else None)
    if not again and known.measuring_sha256 == taken_with:
        say(f"measured already on these weights, with these settings: {run.adapter_dir}")
        return run.adapter_dir
    if run.settings.training.threads:
        torch.set_num_threads(run.settings.training.threads)
    subject = measuring.Subject(
        adapter=found,
        base=run.settings.base,
        task=run.task,
        task_parameters=run.task_parameters,
        quantization=_quantization(run, known),
        settings=run.settings.measuring,
        context=run.settings.training.block_size,
        text=text,
    )
    measures, base = measuring.measure(subject, say)
    record.write(
        run.adapter_dir,
        msgspec.structs.replace(
            known,
            hubkit_version=__version__,
            task=run.task.NAME,
            base_model=_cited(base, run),
            dataset=known.dataset or (_only_evaluated(text.facts) if text else None),
            measures=measures,
            measuring_sha256=taken_with,
        ),
    )
    return run.adapter_dir


def forecast(run: Run) -> list[str]:
    """What `train` and `measure` would do for these settings, without doing it; empty: both are done.

    Reads the text, and no model.
    """
    require_train()
    from hubkit.models import corpus

    known = record.read(run.adapter_dir) if run.adapter_dir.is_dir() else Record()
    todo, data = [], run.settings.data
    text = None
    if data:
        text = corpus.load(data, run.settings.training.seed, only_evaluation=bool(run.settings.adapter))
    if not run.settings.adapter:
        if text is None:
            raise _no_dataset()
        shaped_by = runs.training_sha256(run, text.facts.train_sha256)
        if not _is_trained(run, known, shaped_by):
            words = text.facts.train_words or 0
            todo.append(
                f"train {run.method.TITLE} on {words:,} words of {text.facts.name}, into {run.adapter_dir}"
            )
    digest = text.facts.eval_sha256 if text and run.settings.measuring.perplexity else None
    if todo or known.measuring_sha256 != runs.measuring_sha256(
        run, adapter.read(run.adapter_dir).sha256(), digest
    ):
        todo.append("measure it, and write its card")
    return todo


def _no_dataset() -> SettingsError:
    return SettingsError(
        "there is no dataset to train on", "add dataset: to the settings, or adapter: to load one"
    )


def author(card: Card) -> Author:
    """The author's words of the settings, as the record keeps them."""
    return Author(**{name: getattr(card, name) for name in Author.__struct_fields__})


def _is_trained(run: Run, known: Record, shaped_by: str) -> bool:
    """Whether the adapter that these settings describe lies there, whole."""
    names = (adapter.WEIGHTS_NAME, adapter.CONFIG_NAME)
    there = all((run.adapter_dir / name).is_file() for name in names)
    return there and known.training is not None and known.training.settings_sha256 == shaped_by


def _method(run: Run) -> Method:
    return Method(name=run.method.NAME, parameters=msgspec.to_builtins(run.method_parameters))


def _cited(base: record.BaseModel, run: Run) -> record.BaseModel:
    """The base's facts with what only the settings know."""
    return msgspec.structs.replace(base, note=run.settings.base.note)


def _only_evaluated(facts: record.Dataset) -> record.Dataset:
    """The facts of a text that an adapter was measured on and not, as far as is known, trained on."""
    return msgspec.structs.replace(
        facts,
        train_split=None,
        train_sha256=None,
        train_documents=None,
        train_words=None,
        overlap=None,
        duplicate_documents_dropped=None,
        duplicate_paragraphs_dropped=None,
    )


def _quantization(run: Run, known: Record) -> dict[str, Any] | None:
    """How the base was quantised: by the record, by the file beside the adapter, or by the method."""
    if known.base_model and known.base_model.quantization:
        return known.base_model.quantization
    beside = run.adapter_dir / "quantization_config.json"
    if run.settings.adapter and beside.is_file():
        plain: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        return plain
    return run.method.quantization(run.method_parameters)  # type: ignore[no-any-return]
