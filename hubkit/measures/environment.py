"""The machine and the library versions that a number came from; no host name, no user, no path."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from hubkit.record import Environment

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "tokenizers",
    "safetensors",
)


def environment(where: str) -> Environment:
    """Facts about this process, with `where` as the device it computes on."""
    import torch

    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        libraries={name: version for name in LIBRARIES if (version := _version(name))},
        cpu=_cpu(),
        cpu_count=os.cpu_count(),
        threads=torch.get_num_threads(),
        memory_bytes=_memory(),
        device=where,
        accelerator=torch.cuda.get_device_name(0) if where == "cuda" else None,
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
