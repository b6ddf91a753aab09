"""Batch sizes one after the other until memory is full, and how that is foretold."""

from __future__ import annotations

from pathlib import Path

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


def test_a_size_that_would_fill_the_memory_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "available", lambda: 1000 * MB)
    monkeypatch.setattr(free_memory, "resident", lambda: 500 * MB)
    tried = []

    def measured(size: int) -> Rates:
        tried.append(size)
        return Rates(batch_size=size, peak_memory_bytes=(600 + 20 * size) * MB)

    said: list[str] = []
    growth = sweep.Growth([(1, 620 * MB), (2, 630 * MB)])  # 10 MB a sequence, it seems
    assert growth.by_sequence == 10 * MB
    found = sweep.sweep([4, 16, 48, 1024], measured, growth, said.append)
    assert tried == [4, 16]  # with 10 MB, 48 would fit; what 16 took tells that it needs (920 + 640 - 500) MB
    assert (found.out_of_memory_at, found.foretold, found.largest) == (48, True, 16)
    assert said[-1] == "batch 48 was not tried: it would take about 1.2 GB more memory, and 1.0 GB are free"
    assert growth.by_sequence == 20 * MB
    growth.add(16, 100 * MB)  # less than before: what is foretold stays on the safe side
    assert growth.by_sequence == 20 * MB
    assert growth.fits(4, said.append)  # smaller than what was measured: no question


def test_where_the_system_does_not_tell_nothing_is_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "available", lambda: None)
    said: list[str] = []
    assert sweep.Growth([(1, 10), (2, 20)]).fits(10**9, said.append)
    assert sweep.growth(lambda size: None, 1) is None


def test_growth_is_what_one_run_and_one_of_twice_the_size_take(monkeypatch: pytest.MonkeyPatch) -> None:
    class Peak:
        on_device = whole_process = False

        def read(self) -> tuple[int, str]:
            return (100 + 7 * ran[-1]) * MB, "peak"

    ran: list[int] = []
    monkeypatch.setattr(memory, "Peak", Peak)
    monkeypatch.setattr(free_memory, "resident", lambda: 100 * MB)
    monkeypatch.setattr(free_memory, "available", lambda: 10_000 * MB)
    found = sweep.growth(ran.append, 4)
    assert found is not None
    assert ran == [4, 8]
    assert found.points == [(4, 128 * MB), (8, 156 * MB)]
    assert found.by_sequence == 7 * MB
    monkeypatch.setattr(free_memory, "available", lambda: 50 * MB)  # not even for twice as many
    ran.clear()
    found = sweep.growth(ran.append, 4)
    assert found is not None
    assert (ran, found.by_sequence) == ([4], 7 * MB)


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
