"""One run of a sweep, from its settings file to its card, each stage a process of its own.

In the directory of a run lie settings.yaml (all that it needs to be run again alone), adapter/, checkpoints/
while it trains, log.txt (what the stages said) and run.json (how it stands). A stage that is done already is
passed over by the stage itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from hubkit import files, interrupts
from hubkit.errors import one_line
from hubkit.sweeping.matrix import Planned
from hubkit.yaml_reading import dump

SETTINGS, STATE, LOG = "settings.yaml", "run.json", "log.txt"
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM, 129)
LAST_OF_LOG = 20_000  # bytes
State = Literal["running", "done", "failed", "stopped"]


class Status(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a run stands, as run.json says it."""

    state: State
    settings_sha256: str  # of settings.yaml, and of the local texts that it names
    attempts: int = 1  # how many times it was begun
    seconds: dict[str, float] = {}  # of each stage, its process from start to end
    node: str | None = None  # of a Ray cluster: the id of the machine that ended it
    nodes: list[str] = []  # all that began it
    line: str | None = None  # why it failed


@dataclass(frozen=True)
class Job:
    """What a machine needs to know of a run; it travels to others as it is."""

    name: str
    directory: str
    settings_sha256: str
    template: str | None = None


Stage = tuple[str, list[str]]  # name, words after `hubkit`
RunStage = Callable[[Path, Sequence[str]], int]  # in a run's directory: its exit code


def job(one: Planned) -> Job:
    """Write the settings of a run beside its results, and give what runs it."""
    text = dump(one.plain).encode()
    one.directory.mkdir(parents=True, exist_ok=True)
    path = one.directory / SETTINGS
    if not path.is_file() or path.read_bytes() != text:
        files.write_atomically(path, text)
    return Job(one.name, str(one.directory), digest(one), one.run.settings.card.template)


def digest(one: Planned) -> str:
    """A digest of a run's settings and of the local texts that they name."""
    data = one.run.settings.data
    texts = [Path(path) for path in (*data.files, *data.eval_files)] if data else []
    known = [files.sha256(path) for path in texts if path.is_file()]
    return hashlib.sha256(json.dumps([dump(one.plain), known]).encode()).hexdigest()


def status(directory: Path) -> Status | None:
    """How a run stands; None where it was never begun, or nobody can read how."""
    try:
        return msgspec.json.decode((directory / STATE).read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return None


def is_done(one: Planned) -> bool:
    """Whether a run of these settings is done, and its adapter lies there."""
    found = status(one.directory)
    there = (one.directory / "adapter" / "hubkit.json").is_file()
    return there and found is not None and found.state == "done" and found.settings_sha256 == digest(one)


def stages(job: Job) -> list[Stage]:
    """The commands of a run, in order."""
    directory = Path(job.directory)
    config, adapter = str(directory / SETTINGS), str(directory / "adapter")
    template = ["--template", job.template] if job.template else []
    return [
        ("train", ["train", config]),
        ("measure", ["measure", config, "--adapter", adapter]),
        ("card", ["card", "--adapter", adapter, *template]),
    ]


def alone(directory: Path) -> str:
    """The command that runs a run again by itself."""
    named = Job(directory.name, str(directory), "")
    return " && ".join(shlex.join(["hubkit", *words]) for _, words in stages(named))


def execute(job: Job, run_stage: RunStage | None = None, node: str | None = None) -> Status:
    """Run all stages of a run; its status is written as it goes, and returned.

    A stage that fails ends the run. A signal is handed on to the stage at hand, which leaves a checkpoint,
    and raised again when that has ended.
    """
    directory, known = Path(job.directory), status(Path(job.directory))
    now = Status(
        state="running",
        settings_sha256=job.settings_sha256,
        attempts=known.attempts + 1 if known else 1,
        seconds=known.seconds if known and known.settings_sha256 == job.settings_sha256 else {},
        node=node,
        nodes=[*(known.nodes if known else []), *([node] if node else [])],
    )
    _write(directory, now)
    for name, words in stages(job):
        begun = time.monotonic()
        try:
            code = (run_stage or process)(directory, words)
        except KeyboardInterrupt:
            now.state = "stopped"
            _write(directory, now)
            raise
        if code:
            now.state = "stopped" if code in STOPPED else "failed"
            now.line = said_last(directory) or f"hubkit {name} ended with exit code {code}"
            break
        # one that was done before took the time that it took then
        now.seconds = {name: round(time.monotonic() - begun, 2), **now.seconds}
    else:
        now.state = "done"
    _write(directory, now)
    return now


def process(directory: Path, words: Sequence[str]) -> int:
    """Run a command of hubkit in a process of its own; its exit code. What it says goes to the log.

    It has its own group: of a Ctrl-C in the terminal it hears once, from here.
    """
    command = [sys.executable, "-m", "hubkit.sweeping.child", str(directory), *words]
    environment = {**os.environ, "HUBKIT_SWEEP_PARENT": str(os.getpid())}
    with open(directory / LOG, "ab") as log:
        log.write(f"$ {shlex.join(['hubkit', *words])}\n".encode())
        log.flush()
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        ) as running:
            try:
                return _ended(running)
            except KeyboardInterrupt as stop:
                number = stop.number if isinstance(stop, interrupts.Signalled) else signal.SIGINT
                running.send_signal(number)
                running.wait()
                raise


def _ended(running: subprocess.Popen[bytes]) -> int:
    """Wait in short turns: where a thread asks this one to stop, as Ray does, a long one would not end."""
    while True:
        try:
            return running.wait(1.0)
        except subprocess.TimeoutExpired:
            continue


def said_last(directory: Path) -> str | None:
    """The last line of the log that is an error of hubkit, else the last one."""
    try:
        with open(directory / LOG, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LAST_OF_LOG))
            lines = log.read().decode(errors="replace").split("$ hubkit ")[-1].splitlines()[1:]
    except OSError:
        return None
    lines = [line for line in lines if line.strip()][-50:]
    own = [line for line in lines if line.startswith("hubkit: ")]
    found = (own or lines)[-1:]
    return one_line(found[0].removeprefix("hubkit: ")) if found else None


def _write(directory: Path, now: Status) -> None:
    text = msgspec.json.format(msgspec.json.encode(now), indent=2)
    files.write_atomically(directory / STATE, text + b"\n")
