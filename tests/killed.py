"""A training as a process of its own that is ended by SIGKILL at a chosen moment."""

from __future__ import annotations

import functools
import multiprocessing
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import tiny

from hubkit import adapter, record

KILLED = -signal.SIGKILL
MOMENTS = (  # what ends it; which time that this moment comes
    ("between steps", 1),
    ("between steps", 5),
    ("between steps", 8),
    ("in the optimizer's file", 2),
    ("before the last file", 2),
    ("in the last file", 3),
    ("after a checkpoint", 1),
    ("after a checkpoint", 3),
    ("while an older one is removed", 1),
    ("before the adapter", 1),
    ("between the adapter's files", 1),
    ("before the record", 1),
    ("after the record", 1),
    ("while checkpoints are removed", 1),
)
FEW = (("between steps", 8), ("in the optimizer's file", 2), ("before the adapter", 1))
SETTINGS: dict[
    str, Any
] = {  # an epoch has a few steps; logs, looks and checkpoints come at steps of their own
    "max_steps": 12,
    "epochs": 20,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "save_steps": 3,
    "log_steps": 2,
    "eval_steps": 5,
    "precision": "float32",
}
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["killed", "hubkit.training.fit", "hubkit.stages", "tiny"])


def train(
    run_of: Callable[[], Any], moment: tuple[str, int] | None = None, *, largest: int | None = None
) -> int | None:
    """Train in another process, which is killed at the moment; gives its exit code, -9 for that.

    `largest` is how many bytes a file that it writes may have.
    """
    process = _server.Process(target=_train, args=(run_of, moment, largest))
    process.start()
    process.join()
    return process.exitcode


def run_of(task: str, base: Path, directory: Path, changes: dict[str, Any]) -> Callable[[], Any]:
    """What makes the settings of a short run, in whatever process."""
    return functools.partial(tiny.run, task, base, directory, **changes)


def ended(directory: Path) -> tuple[bytes, bytes, list[Any]]:
    """What training left: the adapter's bytes, its configuration's, and all losses."""
    facts = record.read(directory).training
    assert facts is not None
    files = (directory / name for name in (adapter.WEIGHTS_NAME, adapter.CONFIG_NAME))
    weights, config = (path.read_bytes() for path in files)
    return weights, config, facts.history


def _train(run_of: Callable[[], Any], moment: tuple[str, int] | None, largest: int | None) -> None:
    from hubkit import stages
    from hubkit.errors import HubkitError

    os.environ["OMP_NUM_THREADS"] = "1"
    if moment:
        _bombs()[moment[0]](moment[1])
    run = run_of()
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    try:
        stages.train(run, tiny.quiet)
    except HubkitError as error:
        sys.exit(error.exit_code)


def _end() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it lives on")


def _before(
    place: Any, name: str, matters: Callable[..., bool] = lambda *_, **__: True
) -> Callable[..., None]:
    """End the process before the call of a function, at the given time that it matters."""
    return lambda time: _at(place, name, matters, time, lambda *given: None)


def _at(place: Any, name: str, matters: Any, time: int, first: Callable[..., Any]) -> None:
    plain, seen = getattr(place, name), 0

    def ends(*given: Any, **named: Any) -> Any:
        nonlocal seen
        seen += bool(matters(*given, **named))
        if seen == time and matters(*given, **named):
            first(*given)
            _end()
        return plain(*given, **named)

    setattr(place, name, ends)


def _half(what: Any, path: Any, *rest: Any) -> None:
    """As much of a file as was on the disk when the process was killed."""
    Path(path).write_bytes(b"PK\x03\x04" + bytes(1000))


def _half_beside(path: Path, content: bytes) -> None:
    path.with_name(f".{path.name}.1-0").write_bytes(content[:20])


def _one_file_less(path: Path, *rest: Any) -> None:
    sorted(path.iterdir())[0].unlink()


def _bombs() -> dict[str, Callable[[int], None]]:
    import torch

    from hubkit import files
    from hubkit.training import checkpoints, fit, guard, legs, saving

    def optimizer(what: Any, path: Any, *rest: Any) -> bool:
        return str(path).endswith("optimizer.pt")

    def last_file(path: Path, content: bytes) -> bool:
        return path.name == legs.NAME

    def record_file(path: Path, content: bytes) -> bool:
        return path.name == record.RECORD_NAME

    def config(path: Path, target: Path) -> bool:
        return path.name == adapter.CONFIG_NAME

    def in_finish(time: int) -> None:
        _at(
            fit,
            "finish",
            lambda job: True,
            1,
            lambda job: _one_file_less(checkpoints._all(job.checkpoints)[0]),
        )

    return {
        "between steps": _before(guard.Guard, "on_step_begin"),
        "in the optimizer's file": lambda time: _at(torch, "save", optimizer, time, _half),
        "before the last file": _before(legs, "write"),
        "in the last file": lambda time: _at(files, "write_atomically", last_file, time, _half_beside),
        "after a checkpoint": lambda time: _after_save(checkpoints.Clock, time),
        "while an older one is removed": lambda time: _at(
            shutil, "rmtree", lambda path, **_: "checkpoint-" in str(path), time, _one_file_less
        ),
        "before the adapter": _before(saving, "save"),
        "between the adapter's files": _before(Path, "replace", config),
        "before the record": _before(files, "write_atomically", record_file),
        "after the record": _before(fit, "finish"),
        "while checkpoints are removed": in_finish,
    }


def _after_save(clock: Any, time: int) -> None:
    plain, seen = clock.on_save, 0

    def ends(self: Any, *given: Any, **named: Any) -> None:
        nonlocal seen
        plain(self, *given, **named)
        seen += 1
        if seen == time:
            _end()

    clock.on_save = ends
