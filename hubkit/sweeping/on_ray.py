"""Runs as tasks of a Ray cluster: each on a machine with room for it, and again on another when that is lost.

The machines work in one directory that all of them see (a shared file system), under the same path, with the
same hubkit; a run whose machine died goes on from its checkpoint there. Ray tells nobody of its use, and
starts no dashboard; a cluster that is started here listens on the loopback address alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hubkit.card import text
from hubkit.errors import SettingsError, one_line
from hubkit.sweeping import local
from hubkit.sweeping.local import Job, Status

if TYPE_CHECKING:
    from hubkit.sweeping.matrix import Planned, Resources

Say = Callable[[str], None]
LOOK = 0.5  # seconds between looks at what has begun
LEAVING = 150.0  # seconds that runs have to write a checkpoint when the sweep is stopped
STORE = 100_000_000  # bytes of the object store: what travels is the name of a directory
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
# Ray takes a loopback address for this machine's address on the network, but where this is switched off.
KEEPS_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def runner(
    address: str | None, resources: Resources, say: Say
) -> Callable[..., Iterator[tuple[Planned, Status]]]:
    """What runs jobs on the cluster at an address, or on one that is started here and ends with them."""

    def run(jobs: Sequence[tuple[Planned, Job]], begun: Say) -> Iterator[tuple[Planned, Status]]:
        if jobs:
            with connected(address):
                say(_room(resources))
                yield from _all(jobs, resources, begun)

    return run


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """While the block runs, be the driver of a cluster. Raises SettingsError where there is none."""
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    if address is None or address.rpartition(":")[0] in LOOPBACK:
        os.environ.setdefault(KEEPS_LOOPBACK, "0")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    own = {
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        "object_store_memory": STORE,
    }
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address or "local", **quiet, **({} if address else own))
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise SettingsError(
            f"--ray {address or ''}: no cluster could be joined: {one_line(str(error))[:200]}",
            "ray start --head starts one; give its HOST:PORT",
        ) from error
    try:
        for number, handler in handlers.items():  # Ray takes SIGTERM for itself
            signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()


def _room(resources: Resources) -> str:
    """How many runs fit at once, and on how many machines. Raises SettingsError where none ever does."""
    import ray

    needs = {"CPU": resources.num_cpus, "GPU": resources.num_gpus}
    fits = [
        min(int(node["Resources"].get(name, 0) // need) for name, need in needs.items() if need)
        for node in ray.nodes()
        if node["Alive"]
    ]
    if not any(fits):
        raise SettingsError(
            f"no machine of the cluster has num_cpus: {resources.num_cpus:g} and"
            f" num_gpus: {resources.num_gpus:g}",
            "lower them under resources: of the sweep, or join a larger machine",
        )
    machines = text.plural(sum(1 for fit in fits if fit), "machine")
    return f"{machines} with room for {text.plural(sum(fits), 'run')} at once"


def _all(
    jobs: Sequence[tuple[Planned, Job]], resources: Resources, begun: Say
) -> Iterator[tuple[Planned, Status]]:
    """Hand out all jobs, and yield each as it ends; where this is stopped, the runs stop in order too."""
    import ray

    task = ray.remote(execute).options(
        num_cpus=resources.num_cpus,
        num_gpus=resources.num_gpus,
        max_retries=resources.retries,
        retry_exceptions=False,
        scheduling_strategy="SPREAD",
    )
    before = {one.name: _attempts(one) for one, _ in jobs}
    open_ = {task.remote(job, os.getcwd()): one for one, job in jobs}
    waiting = {one.name: one for one, _ in jobs}
    try:
        while open_:
            ended, _ = ray.wait(list(open_), num_returns=1, timeout=LOOK)
            for one in [one for name, one in waiting.items() if _attempts(one) > before[name]]:
                begun(waiting.pop(one.name).name)
            for ref in ended:
                yield open_[ref], _status(ref, open_[ref])
                del open_[ref]
    except KeyboardInterrupt:
        for ref in open_:
            ray.cancel(ref, force=False)
        ray.wait(list(open_), num_returns=len(open_), timeout=LEAVING)
        raise


def _attempts(one: Planned) -> int:
    known = local.status(one.directory)
    return known.attempts if known else 0


def _status(ref: Any, one: Planned) -> Status:
    import ray

    try:
        return msgspec.convert(ray.get(ref), Status)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        line = f"its machine was lost, and so were those of its retries: {one_line(' '.join(lines))[:300]}"
        return Status(state="failed", settings_sha256="", line=line if _is_loss(error) else lines[-1])


def _is_loss(error: Exception) -> bool:
    import ray

    return not isinstance(error, ray.exceptions.RayTaskError)


def execute(job: Job, directory: str) -> dict[str, Any]:
    """One run, on whichever machine it was given to, in the directory that the sweep was started in."""
    import ray

    if not Path(job.directory).is_absolute():
        os.chdir(directory)
    node = ray.get_runtime_context().get_node_id()
    found: dict[str, Any] = msgspec.to_builtins(local.execute(job, node=node))
    return found
