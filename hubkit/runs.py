"""A run: the settings with the task and method that they name, and the digests that tell runs apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from hubkit import adapter, base_model, files, methods, record, tasks
from hubkit.errors import SettingsError
from hubkit.record import Record
from hubkit.settings import Settings, from_plain
from hubkit.yaml_source import Source


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
    named = known.base_model.id if known.base_model else base_model.hub_id(found.base_model)
    base_id = told.base_model or named
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


def _base_digest(run: Run) -> Any:
    base = run.settings.base
    weights = sorted(Path(base.path).glob("*.safetensors")) if base.path else []
    return [base.id, base.revision, files.sha256_of(weights) if weights else None]


def training_sha256(run: Run, train_sha256: str | None) -> str:
    """A digest of what shapes an adapter: base, task, method, training settings and text."""
    shape = msgspec.to_builtins(run.settings.training)
    for harmless in ("save_steps", "log_steps", "threads"):
        shape.pop(harmless, None)
    method = [run.method.NAME, msgspec.to_builtins(run.method_parameters)]
    return _sha256([_base_digest(run), _task(run), method, shape, train_sha256])


def measuring_sha256(run: Run, adapter_sha256: str, eval_sha256: str | None) -> str:
    """A digest of what shapes its measures: weights, base and its bits, task, measuring settings and text."""
    settings = msgspec.to_builtins(run.settings.measuring)
    settings.setdefault("context", run.settings.training.block_size)
    bits = run.method.quantization(run.method_parameters)
    return _sha256([adapter_sha256, eval_sha256, _base_digest(run), bits, _task(run), settings])


def _task(run: Run) -> Any:
    return [run.task.NAME, msgspec.to_builtins(run.task_parameters)]


def _sha256(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
