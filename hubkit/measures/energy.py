"""Energy that the machine itself counts while runs are timed: by NVML for GPUs, by RAPL for processors.

The counters are of whole devices: everything that ran on the GPU or on the processor package in that time is
in them, not this process alone; memory, disks, fans and the loss of the power supply are not. Where the
machine has no counter, or does not let it be read (Linux keeps RAPL's for root), there is no figure: nothing
is estimated from a processor's name or rated power.

RAPL: the kernel's powercap interface (Documentation/power/powercap/powercap.rst), packages only, as their
subzones (core, uncore, dram) and the platform's own zone would count energy twice. NVML:
nvmlDeviceGetTotalEnergyConsumption, in millijoules, for GPUs since Volta; by the driver's own library, so
that no package is needed. A GPU that is split (MIG) has none.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Protocol

from hubkit.record import Energy

POWERCAP = Path("/sys/class/powercap")
SHORTEST = 1.0  # seconds; NVML renews its counter ten times a second or so
WORLD_GRAMS_PER_KWH = 473.0
WORLD_SOURCE = "Ember, Global Electricity Review 2025: the world's mean in 2024"
JOULES_PER_KWH = 3.6e6


class NoCounter(Exception):
    """The machine does not tell, or no longer."""


class Counter(Protocol):
    """Counters of energy that only grow, but for those that start again."""

    source: str
    ranges: list[int | None]  # where each starts again, in microjoules; None: never

    def read(self) -> list[int]:
        """Microjoules by each. Raises NoCounter."""


class Packages:
    """The processor packages, by RAPL. Raises NoCounter where one of them cannot be read."""

    source = "RAPL, processor packages"

    def __init__(self, root: Path = POWERCAP) -> None:
        zones = sorted(root.glob("intel-rapl:*"))  # AMD's are named so too; subzones are intel-rapl:0:0
        self.zones = [zone for zone in zones if zone.name.count(":") == 1 and _is_package(zone)]
        if not self.zones:
            raise NoCounter("no processor package has a counter of energy")
        self.ranges: list[int | None] = [_number(zone / "max_energy_range_uj") for zone in self.zones]
        self.read()

    def read(self) -> list[int]:
        """Microjoules by package. Raises NoCounter."""
        return [_number(zone / "energy_uj") for zone in self.zones]


def _is_package(zone: Path) -> bool:
    try:
        return (zone / "name").read_text().startswith("package")
    except (OSError, ValueError):
        return False


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError) as error:
        raise NoCounter(f"{file} cannot be read") from error


class Gpus:
    """The GPUs with these UUIDs, by NVML. Raises NoCounter where one of them does not count."""

    def __init__(self, uuids: list[str], library: Any = None) -> None:
        import ctypes

        self.nvml = library or _nvml()
        _check(self.nvml.nvmlInit_v2())
        self.handles = []
        for uuid in uuids:
            handle = ctypes.c_void_p()
            _check(self.nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode(), ctypes.byref(handle)))
            self.handles.append(handle)
        self.source = f"NVML, {len(uuids)} GPUs" if len(uuids) > 1 else "NVML, one GPU"
        self.ranges: list[int | None] = [None] * len(uuids)
        self.read()

    def read(self) -> list[int]:
        """Microjoules by GPU. Raises NoCounter."""
        import ctypes

        found = []
        for handle in self.handles:
            millijoules = ctypes.c_ulonglong()
            _check(self.nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)))
            found.append(millijoules.value * 1000)
        return found


def _nvml() -> Any:
    import ctypes

    try:
        return ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError as error:
        raise NoCounter("NVIDIA's driver brings no NVML here") from error


def _check(code: int) -> None:
    if code:  # NVML_SUCCESS is 0
        raise NoCounter(f"NVML answers {code}")


def counter(model: Any) -> Counter | None:
    """What counts the energy of the devices that a model lies on; None where nothing does."""
    import torch

    devices = {parameter.device for parameter in model.parameters()}
    kinds = {device.type for device in devices}
    try:
        if kinds == {"cuda"}:
            indices = sorted(device.index or 0 for device in devices)
            return Gpus([str(torch.cuda.get_device_properties(i).uuid) for i in indices])
        return Packages() if kinds == {"cpu"} else None
    except (NoCounter, AttributeError):  # AttributeError: a driver or a torch that is too old to be asked
        return None


class Meter:
    """Adds up what a counter counts from the first `read` to the last.

    To be read after each run: a counter may start again, and twice between two reads would not be seen.
    """

    def __init__(self, counter: Counter | None) -> None:
        self.counter = counter
        self.microjoules = 0
        self.seconds = 0.0
        self.runs = -1  # counted, from the read before the first
        self._last: list[int] = []
        self._at = 0.0

    def read(self) -> None:
        """Add what was counted since the last time; a counter that fails or goes back is given up."""
        if self.counter is None:
            return
        now = time.perf_counter()
        try:
            found = self.counter.read()
            if self._last:
                pairs = zip(self._last, found, self.counter.ranges, strict=True)
                self.microjoules += sum(_grown(*pair) for pair in pairs)
                self.seconds += now - self._at
        except NoCounter:
            self.counter = None
            return
        self._last, self._at = found, now
        self.runs += 1

    def energy(self, samples: int, tokens: int, grams_per_kwh: float | None) -> Energy | None:
        """The energy of all runs, of so many samples and tokens each; None where it was not counted.

        Runs that took less than a second together are too short for the counters.
        """
        if self.counter is None or self.seconds < SHORTEST or self.microjoules <= 0:
            return None
        joules = self.microjoules / 1e6
        factor = grams_per_kwh or WORLD_GRAMS_PER_KWH
        return Energy(
            joules=joules,
            seconds=self.seconds,
            source=self.counter.source,
            tokens=tokens * self.runs,
            samples=samples * self.runs,
            grams_co2=joules / JOULES_PER_KWH * factor,
            grams_co2_per_kwh=factor,
            factor_source=WORLD_SOURCE if factor == WORLD_GRAMS_PER_KWH else "settings",
        )


def _grown(before: int, now: int, starts_again: int | None) -> int:
    """What was counted between two reads. Raises NoCounter where the counter went back."""
    if now >= before:
        return now - before
    if starts_again is None or before > starts_again:
        raise NoCounter("the counter went back")
    return now - before + starts_again
