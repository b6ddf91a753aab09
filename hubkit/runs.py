"""A run: the settings with the task and method that they name, and the digests that tell runs apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from hubkit import (
    adapter,
    base_model,
    files,
    freshness,
    from_hub,
    methods,
    processes,
    record,
    recorded,
    tasks,
)
from hubkit.errors import SettingsError
from hubkit.record import Record
from hubkit.settings import Data, HubAdapter, Settings, from_plain
from hubkit.yaml_source import Source


@dataclass(frozen=True)
class Run:
    """Settings, checked by the task and the method that they name."""

    settings: Settings
    task: ModuleType
    task_parameters: Any
    method: ModuleType
    method_parameters: Any
    quantization: dict[str, Any] | None = None  # of the base, where something else than the method tells it

    @property
    def output_dir(self) -> Path:
        """Where checkpoints and the adapter go."""
        return Path(self.settings.output_dir)

    @property
    def adapter_dir(self) -> Path:
        """The adapter that the settings name, or the one that training writes."""
        given = self.settings.adapter
        if isinstance(given, HubAdapter):
            given = given.path
        return Path(given) if given else self.output_dir / "adapter"


def prepare(settings: Settings, source: Source) -> Run:
    """Check the parts of the settings that belong to a task and a method. Raises SettingsError."""
    if base_model.hub_id(settings.base.id) is None:
        wrong = f"{settings.base.id!r} is no model id of the Hub"
        way = "give the id to cite as base_model.id, and the directory as base_model.path"
        raise source.error(["base_model", "id"], f"base_model: {wrong}; {way}")
    run = Run(settings, *tasks.parse(settings.task, source), *methods.parse(settings.method, source))
    if run.settings.data:
        _check_kind(run, run.settings.data, source)
    return run


def _check_kind(run: Run, data: Data, source: Source) -> None:
    """The task must be able to learn from such text. Raises SettingsError."""
    can = {"labelled": ("text-classification",), "chat": ("causal-lm",)}.get(data.kind)
    if can and run.task.NAME not in can:
        column = next(name for name in COLUMNS if getattr(data, name))
        raise source.error(
            ["dataset", column], f"dataset.{column} is for the task {can[0]}, and this one is {run.task.NAME}"
        )


COLUMNS = ("label_column", "messages_column", "prompt_column")


def loaded(run: Run, say: Callable[[str], None]) -> Run:
    """The same with its adapter in a directory: one of the Hub is fetched. Raises HubError, AdapterError."""
    given = run.settings.adapter
    if given is None:
        return run
    if isinstance(given, HubAdapter):
        wanted: from_hub.Named | None = from_hub.Named(given.id, given.revision)
        into = run.adapter_dir
    else:
        wanted, into = from_hub.named(given), run.output_dir / "adapter"
    if wanted is None:
        return run
    with processes.main_first():
        directory = from_hub.at_hand(wanted, into, say)
    return replace(run, settings=msgspec.structs.replace(run.settings, adapter=str(directory)))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the flags of `hubkit measure` say in place of a settings file."""

    base_model: str | None = None
    base_path: str | None = None
    base_revision: str | None = None
    base_note: str | None = None
    task: str | None = None
    files: tuple[str, ...] = ()
    dataset: str | None = None
    context: int | None = None
    batch_sizes: tuple[int, ...] = ()
    stride: int | None = None
    documents: str | None = None
    precision: str | None = None
    batch_size: int | None = None
    max_eval_documents: int | None = None
    perplexity: bool | None = None
    classification: bool | None = None
    pseudo_perplexity: bool | None = None
    throughput: bool | None = None

    def conditions(self) -> dict[str, Any]:
        """What they say of how to measure, by the names of the settings."""
        values = {name: getattr(self, name) for name in _CONDITIONS}
        return {name: value for name, value in values.items() if value is not None}


_CONDITIONS = (
    "context", "stride", "documents", "precision", "batch_size", "max_eval_documents", "perplexity",
    "classification", "pseudo_perplexity", "throughput",
)  # fmt: skip


def overrides_of(told: Told) -> list[str]:
    """The flags as overrides of settings. Raises SettingsError where two flags name a text each."""
    if told.files and told.dataset is not None:
        raise SettingsError("--text and --dataset name a text each", "leave out one of them")
    given: dict[str, Any] = {
        "base_model.id": told.base_model,
        "base_model.path": told.base_path,
        "base_model.revision": told.base_revision,
        "base_model.note": told.base_note,
        "task.name": told.task,
    }
    given |= {f"measuring.{name}": value for name, value in told.conditions().items()}
    if told.batch_sizes:
        given["measuring.speed.batch_sizes"] = list(told.batch_sizes)
    if told.files:
        given["dataset"] = {"eval_files": list(told.files)}
    elif told.dataset is not None:
        name, *rest = told.dataset.split(":", 2)
        config = rest[0] if len(rest) == 2 else None
        given["dataset"] = {"id": name, "config": config, "eval_split": rest[-1] if rest else "test"}
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


def of_adapter(directory: Path, told: Told, overrides: list[str]) -> Run:
    """The run that an adapter directory describes by its record and its configuration, with flags over it.

    What was measured before is measured under the same conditions. Raises SettingsError where neither tells
    the base model or the task.
    """
    found = adapter.read(directory)
    known = freshness.fresh(record.read(directory), found.sha256())
    base_id = known.base_model.id if known.base_model else base_model.hub_id(found.base_model)
    if not (base_id or told.base_model):
        raise SettingsError(f"{directory} does not name its base model", "--base-model ID")
    if known.base_model and known.base_model.source == "local" and not told.base_path:
        raise SettingsError(
            f"{directory} was trained or measured on local weights of {base_id}",
            "--base-path DIR names them; or give the CONFIG it was trained with",
        )
    task = tasks.of_adapter(found.config, None)
    task_name = told.task or known.task or (task.NAME if task else None)
    if not task_name:
        raise SettingsError(f"{directory} does not tell its task", f"--task, one of {', '.join(tasks.TASKS)}")
    plain: dict[str, Any] = {
        "base_model": _base_of(found, known, told, base_id),
        "task": recorded.task(task_name, known),
        "adapter": str(directory),
        "dataset": recorded.data(known),
        "measuring": _measuring(known, told),
    }
    if known.dataset and known.dataset.hold_out:
        plain["training"] = {"seed": known.dataset.hold_out.seed}
    if known.method:
        plain["method"] = {"name": known.method.name, **known.method.parameters}
    where = directory / record.RECORD_NAME
    given = [*overrides_of(told), *_columns(known, told, directory, plain), *overrides]
    run = prepare(*from_plain(plain, given, where if where.is_file() else None))
    known_bits = known.base_model.quantization if known.base_model else None
    return replace(run, quantization=known_bits) if known_bits and not known.method else run


def _columns(known: Record, told: Told, directory: Path, plain: dict[str, Any]) -> list[str]:
    """How the rows of a text are read, of one that flags name too, as overrides."""
    text = known.dataset
    if text is None or not (plain["dataset"] or told.files or told.dataset is not None):
        return []
    read = recorded.columns(text) if text.columns else {}
    template = directory / "chat_template.jinja"
    if text.chat_template_sha256 and template.is_file():
        read["chat_template"] = str(template)
    return [f"dataset.{name}={json.dumps(value)}" for name, value in read.items() if name != "streaming"]


def _measuring(known: Record, told: Told) -> dict[str, Any]:
    """The recorded conditions; how many documents were measured says nothing of a text that is given now."""
    conditions = recorded.measuring(known)
    if told.files or told.dataset is not None:
        conditions.pop("max_eval_documents", None)
    return conditions


def _base_of(found: adapter.Adapter, known: Record, told: Told, base_id: str | None) -> dict[str, Any]:
    """The base as it was loaded last; an adapter without a record names the revision in its configuration."""
    note = known.base_model.note if known.base_model else None
    revision = known.base_model.revision if known.base_model else found.config.get("revision")
    return {"id": base_id or told.base_model, "note": note, "revision": None if told.base_path else revision}


def under_record(run: Run, known: Record) -> Run:
    """The same with the conditions that the record's measures were taken under in place of its own."""
    conditions = recorded.measuring(known)
    plain = {
        "base_model": msgspec.to_builtins(run.settings.base),
        "task": recorded.task(run.task.NAME, known),
        "measuring": {
            **conditions,
            "perplexity": known.measures.perplexity is not None,
            "classification": known.measures.classification is not None,
        },
    }
    told = prepare(*from_plain(plain))
    settings = msgspec.structs.replace(run.settings, measuring=told.settings.measuring)
    return replace(run, settings=settings, task_parameters=told.task_parameters)


def _base_digest(run: Run) -> list[str | None]:
    base = run.settings.base
    weights = base_model.weight_files(Path(base.path)) if base.path else []
    return [base.id, base.revision, files.sha256_of(weights) if weights else None]


def training_sha256(run: Run, train_sha256: str | None, processes: int = 1) -> str:
    """A digest of what shapes an adapter: base, task, method, training settings and text.

    Each of several processes reads a batch of the size that the settings say.
    """
    shape = _whole(run.settings.training)
    if processes > 1:
        shape["processes"] = processes
    for harmless in ("save_steps", "log_steps", "threads", "report_to"):
        shape.pop(harmless, None)
    method = [run.method.NAME, _whole(run.method_parameters)]
    return _sha256([_base_digest(run), _task(run), method, shape, train_sha256, *_template(run)])


def measuring_sha256(
    run: Run, known: Record, adapter_sha256: str, eval_sha256: str | None, bits: dict[str, Any] | None
) -> str:
    """A digest of what shapes its measures: weights, base and its bits, task, measuring settings and text.

    A base without a revision is the one that was loaded before.
    """
    base = _base_digest(run)
    base[1] = base[1] or (known.base_model.revision if known.base_model else None)
    settings = _whole(run.settings.measuring)
    settings["context"] = settings["context"] or run.settings.training.block_size
    return _sha256([adapter_sha256, eval_sha256, base, bits, _task(run), settings, *_template(run)])


def _template(run: Run) -> list[str]:
    """The digest of a chat template that the settings name; nothing where they name none."""
    named = run.settings.data.chat_template if run.settings.data else None
    return [files.sha256(Path(named))] if named and Path(named).is_file() else []


def _task(run: Run) -> Any:
    return [run.task.NAME, _whole(run.task_parameters)]


def _whole(part: Any) -> Any:
    """Settings as plain data, defaults too: a default of another version is another setting."""
    if isinstance(part, msgspec.Struct):
        return {name: _whole(getattr(part, name)) for name in part.__struct_fields__}
    return part


def _sha256(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
