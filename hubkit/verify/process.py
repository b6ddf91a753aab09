"""A program in a clean process: a small environment, its own folder, a time limit, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import site
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hubkit.card.snippets import Block
from hubkit.verify import child

# What the program is told of the machine. Everything else stays here: tokens, addresses, caches, settings.
PASSED = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "OMP_NUM_THREADS",
    "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
)  # fmt: skip
KEPT = 200_000  # bytes of what is printed
GRACE = 5.0  # seconds for the pipes of a process that has ended


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. `result` is None where it did not get to say."""

    result: dict[str, Any] | None
    stdout: bytes  # its beginning
    stderr: bytes  # its end
    seconds: float
    exit_code: int | None  # None: the time limit ended it


def environment(folder: Path, endpoint: str, threads: int | None = None) -> dict[str, str]:
    """The whole environment of the program; its home and its caches lie in `folder`."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    if threads:
        passed["OMP_NUM_THREADS"] = str(threads)
    # Where this machine's libraries are, when they are not in the interpreter's own place; "" and relative
    # folders are left out, so that no file of the user's stands in for a library.
    extra = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(part)]
    if extra:
        passed["PYTHONPATH"] = os.pathsep.join(extra)
    if site.ENABLE_USER_SITE:
        passed["PYTHONUSERBASE"] = site.getuserbase()
    return {
        **passed,
        "HOME": str(made(folder / "home")),
        "TMPDIR": str(made(folder / "tmp")),
        "HF_HOME": str(made(folder / "hf")),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
    }


def made(folder: Path) -> Path:
    """The folder, made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(
    card: str, blocks: Sequence[Block], folder: Path, cwd: Path, variables: dict[str, str], limit: float
) -> Ended:
    """Run blocks of a card as one program, in `cwd`; it gets `limit` seconds."""
    plan, result = folder / "plan.json", folder / "result.json"
    parts = [{"code": block.code, "line": block.line} for block in blocks]
    text = card.replace("\r\n", "\n").replace("\r", "\n")
    plan.write_text(json.dumps({"name": "README.md", "card": text, "blocks": parts}), encoding="utf-8")
    no_user_site = [] if site.ENABLE_USER_SITE else ["-s"]
    command = [sys.executable, "-P", *no_user_site, str(child.__file__), str(plan), str(result)]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a group of its own: Ctrl-C does not reach it, and it is ended as a whole
    )
    printed, said = _Kept(process.stdout, False), _Kept(process.stderr, True)
    exit_code: int | None = None
    try:
        with suppress(subprocess.TimeoutExpired):
            exit_code = process.wait(limit)
        seconds = time.monotonic() - began
    finally:
        _end(process)
        out, err = printed.content(), said.content()
    return Ended(_read(result) if exit_code is not None else None, out, err, seconds, exit_code)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _read(result: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


class _Kept:
    """What comes out of a pipe: read to its end by a thread, and kept in part, its end or its beginning."""

    def __init__(self, pipe: IO[bytes] | None, end: bool) -> None:
        assert pipe is not None
        self._pipe, self._end, self._content = pipe, end, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while piece := os.read(self._pipe.fileno(), 1 << 16):
            whole = self._content + piece
            self._content = whole[-KEPT:] if self._end else whole[:KEPT]

    def content(self) -> bytes:
        """What was kept, once the program has ended."""
        self._thread.join(GRACE)
        if not self._thread.is_alive():  # else something that it let loose still holds the pipe
            self._pipe.close()
        return self._content
