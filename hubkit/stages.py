"""The stages of a run that need torch: train, and measure. Each is skipped when its result is there already.

What is done is told by digests in the record: of the settings and the text that shaped the training, and of
the weights, text and settings that the measures were taken with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from hubkit import __version__, adapter, files, methods, record, tasks
from hubkit.errors import SettingsError
from hubkit.extras import require_train
from hubkit.record import Author, Method, Record
from hubkit.settings import Card, Settings, from_plain
from hubkit.yaml_source import Source

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """Settings, checked by the task and the method that they name."""

    settings: Settings
    task: ModuleType
    task_parameters: Any
    method: ModuleType
    method_parameters: Any

    @property
    def output_dir(self) -> Path:
        """Where checkpoints and the adapter go."""
        return Path(self.settings.output_dir)

    @property
    def adapter_dir(self) -> Path:
        """The adapter that the settings name, or the one that training writes."""
        return Path(self.settings.adapter) if self.settings.adapter else self.output_dir / "adapter"


def prepare(settings: Settings, source: Source) -> Run:
    """Check the parts of the settings that belong to a task and a method. Raises SettingsError."""
    return Run(settings, *tasks.parse(settings.task, source), *methods.parse(settings.method, source))


def train(
    run: Run, say: Say, *, fresh: bool = False, must_resume: bool = False, watched: bool = False
) -> Path:
    """Train the adapter of these settings, or find it trained; returns its directory."""
    require_train(watched)
    from hubkit.models import corpus
    from hubkit.training import fit

    if run.settings.data is None:
        raise SettingsError(
            "there is no dataset to train on", "add dataset: to the settings, or adapter: to load one"
        )
    text = corpus.load(run.settings.data, run.settings.training.seed)
    shaped_by = _training_sha256(run, text.facts.train_sha256)
    known = record.read(run.adapter_dir) if run.adapter_dir.is_dir() else Record()
    if (
        not fresh
        and known.training
        and known.training.settings_sha256 == shaped_by
        and _whole(run.adapter_dir)
    ):
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
    text = (
        corpus.load(data, run.settings.training.seed) if data and run.settings.measuring.perplexity else None
    )
    taken_with = _measuring_sha256(run, found.sha256(), text.facts.eval_sha256 if text else None)
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
            author=merged_author(known.author, run.settings.card),
        ),
    )
    return run.adapter_dir


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the flags of `hubkit measure` say in place of a settings file."""

    base_model: str | None = None
    base_path: str | None = None
    base_note: str | None = None
    task: str | None = None
    files: tuple[str, ...] = ()
    dataset: str | None = None
    context: int | None = None


def of_adapter(directory: Path, told: Told, overrides: list[str]) -> Run:
    """The run that an adapter directory describes by its record and its configuration, with flags over it.

    Raises SettingsError where neither tells the base model or the task.
    """
    found, known = adapter.read(directory), record.read(directory)
    base_id = told.base_model or (known.base_model.id if known.base_model else found.base_model)
    if not base_id:
        raise SettingsError(f"{directory} does not name its base model", "--base-model ID")
    if known.base_model and known.base_model.source == "local" and not told.base_path:
        raise SettingsError(
            f"{directory} was measured on local weights of {base_id}",
            "--base-path DIR names them; or give the CONFIG it was trained with",
        )
    task = tasks.of_adapter(found.config, None)
    task_name = told.task or known.task or (task.NAME if task else None)
    if not task_name:
        raise SettingsError(f"{directory} does not tell its task", f"--task, one of {', '.join(tasks.TASKS)}")
    note = told.base_note or (known.base_model.note if known.base_model else None)
    base = {
        "id": base_id,
        "path": told.base_path,
        "note": note,
        "revision": None if told.base_path else known.base_model and known.base_model.revision,
    }
    plain: dict[str, Any] = {"base_model": base, "task": task_name, "adapter": str(directory)}
    if known.method:
        plain["method"] = {"name": known.method.name, **known.method.parameters}
    plain["dataset"] = _data_of(told, known)
    plain["measuring"] = {"context": told.context or 512}
    return prepare(*from_plain(plain, overrides))


def _data_of(told: Told, known: Record) -> dict[str, Any] | None:
    """The text that the flags name, or the one of the record where it can be had again."""
    if told.files:
        return {"eval_files": list(told.files)}
    if told.dataset:
        name, _, rest = told.dataset.partition(":")
        config, _, split = rest.rpartition(":")
        return {"id": name, "config": config or None, "eval_split": split or "test"}
    data = known.dataset
    if data is None or not data.id:
        return None
    held_out = data.eval_split == "held out"
    plain = {"id": data.id, "config": data.config, "revision": data.revision, "text_column": data.text_column}
    splits = {"split": data.train_split} if held_out else {"eval_split": data.eval_split}
    return {key: value for key, value in {**plain, **splits}.items() if value}


def author(card: Card) -> Author:
    """The author's words of the settings, as the record keeps them."""
    return Author(**{name: getattr(card, name) for name in Author.__struct_fields__})


def merged_author(known: Author, card: Card) -> Author:
    """What the settings say, and for the rest what was said before."""
    given = {name: value for name in Author.__struct_fields__ if (value := getattr(card, name))}
    return msgspec.structs.replace(known, **given)


def _whole(directory: Path) -> bool:
    return (directory / adapter.WEIGHTS_NAME).is_file() and (directory / adapter.CONFIG_NAME).is_file()


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


def _base_digest(run: Run) -> Any:
    base = run.settings.base
    weights = sorted(Path(base.path).glob("*.safetensors")) if base.path else []
    return [base.id, base.revision, files.sha256_of(weights) if weights else None]


def _training_sha256(run: Run, train_sha256: str | None) -> str:
    shape = msgspec.to_builtins(run.settings.training)
    for harmless in ("save_steps", "log_steps", "threads"):
        shape.pop(harmless, None)
    return _sha256([_base_digest(run), _task(run), msgspec.to_builtins(_method(run)), shape, train_sha256])


def _measuring_sha256(run: Run, adapter_sha256: str, eval_sha256: str | None) -> str:
    settings = msgspec.to_builtins(run.settings.measuring)
    return _sha256([adapter_sha256, eval_sha256, _base_digest(run), _task(run), settings])


def _task(run: Run) -> Any:
    return [run.task.NAME, msgspec.to_builtins(run.task_parameters)]


def _sha256(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
