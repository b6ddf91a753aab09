"""What a model and a machine can hold: positions, memory, disk."""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable
from typing import Any, TypeVar

from hubkit.errors import SettingsError

T = TypeVar("T")


def positions(model: Any) -> int | None:
    """How many tokens a sequence may have for this model; None where it sets no limit.

    Models of RoBERTa's kind number positions from `padding_idx + 1`: a table of 514 holds 512 tokens.
    """
    told = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(told, int) or told < 1:
        return None
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and isinstance(padding, int):
            return min(told, int(module.num_embeddings) - padding - 1)
    return told


def check_length(model: Any, setting: str, tokens: int) -> None:
    """Refuse sequences that are longer than the model's positions. Raises SettingsError."""
    longest = positions(model)
    if longest and tokens > longest:
        raise SettingsError(
            f"{setting}: {tokens:,} tokens are longer than the model's {longest:,} positions",
            f"lower {setting}",
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out, of the machine or of the device."""
    import torch

    said = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(sign in said for sign in signs)


def unless_out_of_memory(work: Callable[[], T]) -> T | None:
    """What some work gives; None where memory ran out, and then what the attempt held is free again."""
    import torch

    try:
        return work()
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
    gc.collect()  # after the except clause: the error holds what was computed
    torch.cuda.empty_cache()
    return None


def is_disk_full(error: BaseException) -> bool:
    """Whether it says that nothing more can be written; torch and safetensors say it in words only."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    said = str(error).lower()
    return "no space left on device" in said or "pytorchstreamwriter failed writing" in said
