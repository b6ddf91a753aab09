"""Energy from counters that the test makes: a tree like the kernel's, and a driver like NVIDIA's."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hubkit.measures import energy

RANGE = 262_143_328_850  # microjoules, as on real processors


def zone(root: Path, folder: str, name: str, microjoules: int | str = 0, limit: int | str = RANGE) -> Path:
    path = root / folder
    path.mkdir(parents=True, exist_ok=True)
    for file, value in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", limit)):
        (path / file).write_text(f"{value}\n")
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Two packages with their subzones, and zones that count the same once more."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 700_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 300_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 9_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    (tmp_path / "intel-rapl").mkdir()  # the control type itself
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    held = SimpleNamespace(now=100.0)
    monkeypatch.setattr(time, "perf_counter", lambda: held.now)
    return held


def metered(machine: Path, clock: SimpleNamespace, reads: list[tuple[int, int]]) -> energy.Meter:
    """A meter that was read when both packages stood at these counts, ten seconds apart."""
    meter = energy.Meter(energy.Packages(machine))
    for first, second in reads:
        (machine / "intel-rapl:0/energy_uj").write_text(f"{first}\n")
        (machine / "intel-rapl:1/energy_uj").write_text(f"{second}\n")
        meter.read()
        clock.now += 10
    return meter


def test_packages_are_counted_and_no_zone_twice(machine: Path) -> None:
    packages = energy.Packages(machine)
    assert [path.name for path in packages.zones] == ["intel-rapl:0", "intel-rapl:1"]
    assert packages.read() == [1_000_000, 5_000_000]
    assert packages.source == "RAPL, processor packages"


def test_energy_is_what_was_counted_over_all_runs(machine: Path, clock: SimpleNamespace) -> None:
    meter = metered(machine, clock, [(1_000_000, 0), (31_000_000, 10_000_000), (31_000_000, 60_000_000)])
    found = meter.energy(samples=4, tokens=512, grams_per_kwh=None)
    assert found is not None
    assert (found.joules, found.seconds) == (90.0, 20.0)
    assert (found.samples, found.tokens) == (2 * 4, 2 * 512)  # two runs lie between three reads
    assert (found.grams_co2_per_kwh, found.factor_source) == (473.0, energy.WORLD_SOURCE)
    assert "2024" in energy.WORLD_SOURCE
    assert found.grams_co2 == pytest.approx(90 / 3_600_000 * 473)


def test_a_factor_of_ones_own_is_said_to_be_so(machine: Path, clock: SimpleNamespace) -> None:
    found = metered(machine, clock, [(0, 0), (3_600_000_000, 0)]).energy(1, 1, 56.0)
    assert found is not None
    assert found.grams_co2 == pytest.approx(0.001 * 56)
    assert (found.grams_co2_per_kwh, found.factor_source) == (56.0, "settings")


def test_a_counter_that_starts_again_is_carried_on(machine: Path, clock: SimpleNamespace) -> None:
    reads = [(RANGE - 2_000_000, 0), (3_000_000, 0), (4_000_000, 0), (RANGE, 0), (1_000_000, 0)]
    found = metered(machine, clock, reads).energy(1, 1, None)
    assert found is not None
    assert found.joules == pytest.approx(2 + 3 + 1 + (RANGE - 4_000_000) / 1e6 + 1)


@pytest.mark.parametrize("file", ["energy_uj", "max_energy_range_uj"])
@pytest.mark.parametrize("fault", ["missing", "folder", "words", "bytes"])
def test_one_package_that_cannot_be_read_leaves_no_sum_of_some(machine: Path, file: str, fault: str) -> None:
    path = machine / "intel-rapl:1" / file
    path.unlink()
    if fault == "folder":  # an OSError for root too, who may read everything
        path.mkdir()
    elif fault == "words":
        path.write_text("<unknown>\n")
    elif fault == "bytes":
        path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(energy.NoCounter):
        energy.Packages(machine)


def test_a_machine_without_packages_counts_nothing(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "psys", 5)
    (tmp_path / "intel-rapl:1").mkdir()  # without a name
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(energy.NoCounter):
            energy.Packages(root)


def test_a_zone_that_vanishes_leaves_no_figure(machine: Path, clock: SimpleNamespace) -> None:
    meter = metered(machine, clock, [(0, 0), (50_000_000, 0)])
    (machine / "intel-rapl:1/energy_uj").unlink()
    meter.read()
    (machine / "intel-rapl:1/energy_uj").write_text("5\n")  # it does not come back in the middle of a sum
    clock.now += 10
    meter.read()
    assert meter.energy(1, 1, None) is None


def test_a_count_above_its_own_range_is_not_believed(machine: Path, clock: SimpleNamespace) -> None:
    assert metered(machine, clock, [(RANGE + 5, 0), (3_000_000, 0)]).energy(1, 1, None) is None


def test_what_is_too_short_or_stands_still_is_left_out(machine: Path, clock: SimpleNamespace) -> None:
    assert metered(machine, clock, [(7, 7), (7, 7)]).energy(1, 1, None) is None  # a counter that never moves
    assert metered(machine, clock, [(7, 7)]).energy(1, 1, None) is None  # no run
    meter = metered(machine, clock, [(0, 0)])
    clock.now -= 9.5
    (machine / "intel-rapl:0/energy_uj").write_text("9000000\n")
    meter.read()
    assert (meter.seconds, meter.energy(1, 1, None)) == (0.5, None)


def test_without_a_counter_nothing_is_read() -> None:
    meter = energy.Meter(None)
    meter.read()
    assert meter.energy(1, 1, None) is None


class Driver:
    """NVML as its header declares it: a handle by UUID, then millijoules by handle."""

    def __init__(self, **counts: int) -> None:
        self.counts = {f"GPU-{uuid}".encode(): value for uuid, value in counts.items()}
        self.handles: list[bytes] = []
        self.supports = True

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        if uuid not in self.counts:
            return 6  # NVML_ERROR_NOT_FOUND
        self.handles.append(uuid)
        handle._obj.value = len(self.handles)
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, millijoules: Any) -> int:
        if not self.supports:
            return 3  # NVML_ERROR_NOT_SUPPORTED
        millijoules._obj.value = self.counts[self.handles[handle.value - 1]]
        return 0


def test_gpus_are_found_by_their_uuids(clock: SimpleNamespace) -> None:
    driver = Driver(a=5_000, b=2**40, other=1)
    meter = energy.Meter(energy.Gpus(["a", "b"], driver))
    meter.read()
    driver.counts[b"GPU-a"] += 70_000
    driver.counts[b"GPU-b"] += 30_000
    driver.counts[b"GPU-other"] += 10**9
    clock.now += 4
    meter.read()
    found = meter.energy(1, 10, None)
    assert found is not None
    assert (found.joules, found.seconds, found.source, found.tokens) == (100.0, 4.0, "NVML, 2 GPUs", 10)
    assert energy.Gpus(["other"], driver).source == "NVML, one GPU"


def test_a_gpu_that_does_not_count_has_no_figure(clock: SimpleNamespace) -> None:
    driver = Driver(a=9)
    with pytest.raises(energy.NoCounter):
        energy.Gpus(["missing"], driver)
    meter = energy.Meter(energy.Gpus(["a"], driver))
    meter.read()
    driver.counts[b"GPU-a"] = 1  # the driver was loaded again: its count began anew
    clock.now += 4
    meter.read()
    assert meter.energy(1, 1, None) is None
    driver.supports = False
    with pytest.raises(energy.NoCounter):
        energy.Gpus(["a"], driver)


def model_on(*names: str) -> Any:
    held = [SimpleNamespace(device=torch.device(name)) for name in names]
    return SimpleNamespace(parameters=lambda: held)


def test_the_counter_is_that_of_the_models_devices(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gpus(uuids: list[str]) -> Any:
        asked.append(uuids)
        return SimpleNamespace(source="gpus")

    monkeypatch.setattr(energy, "Packages", lambda: SimpleNamespace(source="packages"))
    monkeypatch.setattr(energy, "Gpus", gpus)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"uuid-{index}")
    )
    sources = [energy.counter(model_on(*names)) for names in (("cpu",), ("cuda:1", "cuda:0"))]
    assert [counter and counter.source for counter in sources] == ["packages", "gpus"]
    assert asked == [["uuid-0", "uuid-1"]]
    assert energy.counter(model_on("mps:0")) is None
    assert energy.counter(model_on("cuda:0", "cpu")) is None  # half of it would be told


def test_a_machine_that_tells_nothing_has_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> Any:
        raise energy.NoCounter("no")

    monkeypatch.setattr(energy, "Packages", none)
    monkeypatch.setattr(energy, "_nvml", none)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="u"))
    assert energy.counter(model_on("cpu")) is None
    assert energy.counter(model_on("cuda:0")) is None
