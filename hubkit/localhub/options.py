"""What a local Hub can be told when it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hubkit.localhub.auth import Publisher, Token
from hubkit.localhub.switchboard import Switchboard

PART_SIZE = 64_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """How a Hub behaves; `localhub.start` says what each of these is."""

    tokens: Mapping[str, Token] = field(default_factory=dict)
    xet: bool = True
    part_size: int = PART_SIZE
    mounts: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    switchboard: Switchboard | None = None
    storage_origin: bool = False
    quota_bytes: int | None = None
    publishers: Sequence[Publisher] = ()

    def special(self) -> str | None:
        """What was asked for that only a Hub of one's own can do, in words."""
        asked = {
            "these tokens": self.tokens,
            "these mounts": self.mounts,
            "this switchboard": self.switchboard,
            "a storage of its own": self.storage_origin,
            "a quota": self.quota_bytes is not None,
            "these publishers": self.publishers,
        }
        return next((name for name, value in asked.items() if value), None)
