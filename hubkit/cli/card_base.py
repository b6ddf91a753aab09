"""What `hubkit card` does for --base-config, --base-path and --base-from-hub: count the base too."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hubkit import adapter, base_model, counting
from hubkit.adapter import PROMPT_TYPES
from hubkit.card import facts as card_facts
from hubkit.card.facts import Facts
from hubkit.cli import common
from hubkit.counting import base_files
from hubkit.counting.base_files import BaseFiles
from hubkit.errors import BaseModelError, CardError, MissingExtra
from hubkit.record import Record


@dataclass(frozen=True)
class Base:
    """The base's files that the options name, and where its config.json lies; None where it is on the Hub."""

    files: BaseFiles
    config: Path | None

    @contextlib.contextmanager
    def config_file(self) -> Iterator[Path]:
        """Its config.json on this machine."""
        if self.config is not None:
            yield self.config
            return
        with tempfile.TemporaryDirectory(prefix="hubkit-base-") as folder:
            path = Path(folder, base_files.CONFIG)
            path.write_text(json.dumps(self.files.config), encoding="utf-8")
            yield path


def named(
    config: Path | None, directory: Path | None, from_hub: bool, told: Record, adapter_dir: Path
) -> Base | None:
    """The base that the options name. Raises CardError, BaseModelError, AdapterError, HubError."""
    if sum((config is not None, directory is not None, from_hub)) > 1:
        raise CardError(
            "--base-config, --base-path and --base-from-hub name one base each", "give one of them"
        )
    if config is not None:
        return Base(base_files.config_only(config), config)
    if directory is not None:
        return Base(base_files.local(directory), directory / base_files.CONFIG)
    return Base(_on_hub(told, adapter_dir), None) if from_hub else None


def _on_hub(told: Record, adapter_dir: Path) -> BaseFiles:
    from hubkit.hub import Hub

    known = told.base_model
    base_id = base_model.hub_id(known.id if known else adapter.read(adapter_dir).base_model)
    if base_id is None:
        raise BaseModelError(
            f"{adapter_dir} does not say where on the Hub its base is", "say so: --base-model ID"
        )
    return base_files.on_hub(Hub(), base_id, known.revision if known else None)


def gathered(adapter_dir: Path, told: Record, base: Base | None) -> Facts:
    """The facts of the adapter, with what the base's configuration adds."""
    if base is None:
        return card_facts.gather(adapter_dir, record=told)
    with base.config_file() as config:
        return card_facts.gather(adapter_dir, record=told, base_config=config)


def counted(facts: Facts, base: Base, quiet: bool) -> Facts:
    """The facts with the total: counted from the files, or where they do not tell it, on the meta device.

    What was counted on the loaded model stays. Raises AdapterError and BaseModelError.
    """
    if facts.parameters.total is not None and facts.parameters.counted_on == "loaded model":
        return facts
    try:
        return facts.with_total(counting.count(facts.adapter, base.files, facts.task, facts.sha256))
    except counting.NotExact as error:
        reason = str(error)
    if facts.adapter.peft_type in PROMPT_TYPES:
        common.hint(f"Total parameters left out: {reason}.", quiet)
        return facts
    from hubkit.models.counting import count_with_base

    try:
        with base.config_file() as config:
            name = facts.task.NAME if facts.task else None
            return facts.with_total(count_with_base(facts.adapter.directory, config, name))
    except MissingExtra as error:
        common.hint(f"Total parameters left out: {reason}, and {error}", quiet)
        return facts
