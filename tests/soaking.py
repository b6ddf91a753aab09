"""What the long trials share: adapters of any size, hubkit as a process of its own, its peak of memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fake_adapter

from hubkit import adapter
from hubkit.localhub.xet import parse_shard

LONG = os.environ.get("HUBKIT_SOAK", "short") == "long"
WEIGHTS = "adapter_model.safetensors"
PUSHED = ("README.md", "adapter_config.json", WEIGHTS, "hubkit.json")
MB = 1_000_000
PATIENCE = 240.0  # seconds after which a process that should have ended is a hang
# What a caller's environment must not bring into a trial.
_LEFT_OUT = ("HF_", "HUGGING_FACE_", "HUBKIT_", "XET_", "COLUMNS", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def write_adapter(directory: Path, size: int) -> Path:
    """A LoRA adapter with random weights of about this many bytes, with record and card."""
    fake_adapter.write(directory)
    rows = size // 64
    half = rows * 32
    names = ("A.weight", [8, rows], 0), ("B.weight", [rows, 8], half)
    entries = {
        f"base_model.model.x.query.lora_{name}": {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [start, start + half],
        }
        for name, shape, start in names
    }
    header = json.dumps(entries).encode()
    with (directory / WEIGHTS).open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for start in range(0, 2 * half, MB):
            file.write(_random_floats(min(MB, 2 * half - start)))
    fake_adapter.measure(directory, adapter.read(directory).sha256())
    return directory


def _random_floats(size: int) -> bytes:
    """Random bytes that are finite as float32: the exponent of each is kept below the top."""
    content = bytearray(os.urandom(size))
    top = content[3::4]
    content[3::4] = top.translate(_NO_TOP_EXPONENT)
    return bytes(content)


_NO_TOP_EXPONENT = bytes(byte & 0xBF for byte in range(256))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user who set nothing but where huggingface_hub keeps its files."""
    kept = {key: value for key, value in os.environ.items() if not key.upper().startswith(_LEFT_OUT)}
    return {**kept, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1", **more}


@dataclass
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str
    peak: int  # bytes of memory that it held at once at most
    seconds: float


@dataclass
class Process:
    """A command that runs; its output goes to files, so that nothing blocks it."""

    command: list[str]
    env: Mapping[str, str]
    logs: Path
    room: int | None = None  # bytes that a file may grow to
    peak: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / "out").open("wb") as out, (self.logs / "err").open("wb") as err:
            self.popen = subprocess.Popen(
                self.command, env=dict(self.env), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                preexec_fn=self._prepare,
            )  # fmt: skip

    def _prepare(self) -> None:
        """A shell starts its background jobs with SIGINT ignored, and the tests may run in one."""
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if self.room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, self.room))

    @property
    def err(self) -> str:
        """What it said so far."""
        return (self.logs / "err").read_text()

    def until(self, there: Callable[[], bool]) -> bool:
        """Wait until something is so; whether the process still ran by then."""
        while not there():
            if self.popen.poll() is not None:
                return False
            assert time.monotonic() - self.started < PATIENCE
            time.sleep(0.001)
        return self.popen.poll() is None

    def until_seconds(self, seconds: float) -> bool:
        """Wait until so many seconds after its start."""
        return self.until(lambda: time.monotonic() - self.started >= seconds)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(number)

    def end(self) -> Ended:
        """Wait for its end."""
        while self.popen.poll() is None:
            self.peak = max(self.peak, peak_of(self.popen.pid))
            if time.monotonic() - self.started > PATIENCE:
                self.popen.kill()
                raise AssertionError(f"{' '.join(self.command)} hangs: {self.err}")
            time.sleep(0.002)
        seconds = time.monotonic() - self.started
        return Ended(self.popen.returncode, (self.logs / "out").read_text(), self.err, self.peak, seconds)


def peak_of(pid: int) -> int:
    """The most memory that a process held at once so far, in bytes."""
    with contextlib.suppress(OSError, StopIteration):
        status = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return 0


def publishing(directory: Path, endpoint: str, token: str, repo: str, *more: str) -> list[str]:
    """The command that publishes a directory."""
    where = ["--adapter", str(directory), "--repo-id", repo, "--endpoint", endpoint, "--token", token]
    return [sys.executable, "-m", "hubkit", "publish", *where, *more]


_CREATING_A_COMMIT = """\
import sys
from huggingface_hub import CommitOperationAdd, HfApi
endpoint, token, directory, repo, *names = sys.argv[1:]
api = HfApi(endpoint, token)
api.create_repo(repo)
added = [CommitOperationAdd(name, f"{directory}/{name}") for name in names]
api.create_commit(repo, added, commit_message="bare")
"""


def creating_a_commit(directory: Path, endpoint: str, token: str, repo: str) -> list[str]:
    """The command that sends the same files by the bare client."""
    return [sys.executable, "-c", _CREATING_A_COMMIT, endpoint, token, str(directory), repo, *PUSHED]


@contextlib.contextmanager
def serving(directory: Path, logs: Path) -> Iterator[tuple[Process, str, str]]:
    """`hubkit serve` as a process of its own, with its address and its token."""
    command = [sys.executable, "-m", "hubkit", "serve", str(directory), "--port", "0"]
    process = Process(command, environment(logs / "home"), logs)
    try:
        assert process.until(lambda: (logs / "out").read_text().endswith("\n")), process.err
        yield process, (logs / "out").read_text().strip(), (directory / "token").read_text().strip()
    finally:
        process.signal(signal.SIGTERM)
        process.end()


def lfs_objects(hub: Path) -> set[str]:
    """The digests of the LFS objects of a store."""
    return {path.parent.name + path.name for path in (hub / "objects" / "lfs").glob("??/*")}


def xet_files(hub: Path) -> set[str]:
    """The digests of the files that came by Xet as a whole."""
    shards = (hub / "xet").glob("*/xet/xorbs/shards/*.mdb")
    return {file.sha256 for shard in shards for file in parse_shard(shard.read_bytes(), shard)}


def xet_bytes(hub: Path) -> int:
    """The bytes of all chunks that came by Xet, each counted as often as it was sent."""
    found = {}
    for path in (hub / "xet").glob("*/xet/xorbs/xorbs/*"):
        with contextlib.suppress(FileNotFoundError):  # a temporary one
            status = path.stat()
            found[status.st_ino] = status.st_size
    return sum(found.values())


def assert_store_is_whole(hub: Path) -> None:
    """Every object holds what its name says, and nothing is missing that a commit names."""
    for path in (hub / "objects" / "lfs").glob("??/*"):
        assert sha256(path) == path.parent.name + path.name, path
    for path in (hub / "objects" / "blobs").glob("??/*"):
        content = path.read_bytes()
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        assert digest == path.parent.name + path.name, path
