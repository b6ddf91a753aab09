"""Batch sizes one after the other until memory is full, and how that is foretold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hubkit.measures import free_memory, memory, sweep
from hubkit.models import limits
from hubkit.record import Rates

MB = 10**6


def test_each_size_is_measured_from_the_smallest_on() -> None:
    said: list[str] = []
    found = sweep.sweep([8, 1, 32, 8], lambda size: Rates(batch_size=size), None, said.append)
    assert [rates.batch_size for rates in found.rates] == [1, 8, 32]
    assert (found.out_of_memory_at, found.largest) == (None, 32)
    assert said == [f"measuring throughput, batch {size}" for size in (1, 8, 32)]


def test_the_first_that_does_not_fit_is_the_last() -> None:
    tried = []

    def measured(size: int) -> Rates:
        tried.append(size)
        if size > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return Rates(batch_size=size)

    said: list[str] = []
    found = sweep.sweep([1, 8, 32, 64], measured, None, said.append)
    assert tried == [1, 8, 32]
    assert (found.out_of_memory_at, found.foretold, found.largest) == (32, False, 8)
    assert said[-1] == "batch 32 does not fit into memory"


def test_what_is_no_lack_of_memory_is_not_taken_for_one() -> None:
    def measured(size: int) -> Rates:
        raise RuntimeError("shapes do not match")

    said: list[str] = []
    with pytest.raises(RuntimeError, match="shapes"):
        sweep.sweep([1], measured, None, said.append)


def test_what_an_attempt_held_is_free_again() -> None:
    import weakref

    held: list[weakref.ref[torch.Tensor]] = []

    def attempt() -> None:
        large = torch.zeros(1000)
        held.append(weakref.ref(large))
        raise MemoryError

    assert limits.unless_out_of_memory(attempt) is None
    assert held[0]() is None
    assert limits.unless_out_of_memory(lambda: 5) == 5


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with 2,000 MB free, and a process that takes 500 MB, 100 for any run, and 20 a sequence."""
    held = SimpleNamespace(free=2000 * MB, ran=[], by_sequence=20 * MB)

    class Peak:
        on_device = whole_process = False

        def read(self) -> tuple[int, str]:
            return 600 * MB + held.by_sequence * held.ran[-1], "peak"

    monkeypatch.setattr(memory, "Peak", Peak)
    monkeypatch.setattr(free_memory, "resident", lambda: 500 * MB)
    monkeypatch.setattr(free_memory, "available", lambda: held.free)
    return held


def grown(machine: SimpleNamespace, size: int = 1) -> sweep.Growth:
    found = sweep.growth(machine.ran.append, size)
    assert found is not None
    return found


def test_a_size_that_would_fill_the_memory_is_not_tried(machine: SimpleNamespace) -> None:
    tried = []

    def measured(size: int) -> Rates:
        tried.append(size)
        return Rates(batch_size=size, peak_memory_bytes=600 * MB + 20 * MB * size)

    said: list[str] = []
    found = sweep.sweep([4, 40, 90, 1024], measured, grown(machine), said.append)
    assert tried == [4, 40]
    assert (found.out_of_memory_at, found.foretold, found.largest) == (90, True, 40)
    assert said[-1] == "batch 90 was not tried: it would take about 2.2 GB more memory, and 2.0 GB are free"


def test_what_is_foretold_for_many_is_seen_in_runs_of_some(machine: SimpleNamespace) -> None:
    said: list[str] = []
    growth = grown(machine)
    assert growth.by_sequence == 120 * MB  # what any run takes is laid on the one sequence
    assert growth.fits(80, said.append)
    assert machine.ran == [1, 4, 16, 64]
    assert growth.by_sequence == pytest.approx(20 * MB, rel=0.1)
    assert not growth.fits(10_000, said.append)
    assert machine.ran == [1, 4, 16, 64]  # 256 would be too many already
    assert said == [
        "batch 10,000 was not tried: it would take about 237.2 GB more memory, and 2.0 GB are free"
    ]
    assert growth.fits(50, said.append)  # less than what ran


def test_a_size_seen_twice_counts_with_the_higher_memory(machine: SimpleNamespace) -> None:
    growth = grown(machine)
    growth.add(4, 1220 * MB)
    growth.add(4, 100 * MB)
    assert growth.by_sequence == 200 * MB  # of three sequences more; over all four it is less


def test_memory_that_runs_out_while_it_is_foretold_is_told(machine: SimpleNamespace) -> None:
    def run(size: int) -> None:
        if size > 4:
            raise MemoryError
        machine.ran.append(size)

    said: list[str] = []
    growth = sweep.growth(run, 1)
    assert growth is not None
    assert not growth.fits(40, said.append)
    assert said == ["batch 40 was not tried: memory ran out at batch 16"]


def test_where_the_system_does_not_tell_nothing_is_foretold(machine: SimpleNamespace) -> None:
    growth = grown(machine)
    machine.free = None
    said: list[str] = []
    assert growth.fits(4, said.append)
    assert sweep.growth(machine.ran.append, 1) is None
    assert machine.ran == [1]


def test_this_process_grows_with_the_batch() -> None:
    held = sweep.growth(lambda size: torch.ones(size * 4 * MB).sum(), 2)  # float32
    if held is None:
        pytest.skip("this system does not tell the peak of a process")
    assert held.by_sequence == pytest.approx(16 * MB, rel=0.25)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMORY = {"proc/meminfo": "MemTotal:  9000 kB\nMemAvailable:   5000 kB\nHugePages_Total: 0\n"}


def test_free_memory_is_the_machines(tmp_path: Path) -> None:
    assert free_memory.available(tree(tmp_path / "a", MEMORY)) == 5_000 * 1024
    assert free_memory.available(tmp_path / "nothing") is None
    assert free_memory.available(tree(tmp_path / "odd", {"proc/meminfo": "MemTotal: 1 kB\n"})) is None


def test_free_memory_is_what_the_tightest_control_group_leaves(tmp_path: Path) -> None:
    group = "sys/fs/cgroup"
    two = {
        "proc/self/cgroup": "0::/user/me\n",
        f"{group}/user/me/memory.max": "max\n",
        f"{group}/user/me/memory.current": "100\n",
        f"{group}/user/memory.max": "4000000\n",
        f"{group}/user/memory.current": "3000000\n",
        f"{group}/user/memory.stat": "anon 5\ninactive_file 200000\n",
    }
    assert free_memory.available(tree(tmp_path / "v2", MEMORY | two)) == 1_200_000
    one = {
        "proc/self/cgroup": "12:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n",
        f"{group}/memory/memory.limit_in_bytes": "3000000\n",  # as seen from within a container
        f"{group}/memory/memory.usage_in_bytes": "2500000\n",
        f"{group}/memory/memory.stat": "cache 9\ntotal_inactive_file 100\n",
    }
    assert free_memory.available(tree(tmp_path / "v1", MEMORY | one)) == 500_100
    endless = {**one, f"{group}/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert free_memory.available(tree(tmp_path / "endless", MEMORY | endless)) == 5_000 * 1024


def test_resident_memory_is_read(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/status": "Name:\tpython\nVmRSS:\t  2048 kB\n"})
    assert free_memory.resident(root) == 2048 * 1024
    assert free_memory.resident(tmp_path / "nothing") is None
