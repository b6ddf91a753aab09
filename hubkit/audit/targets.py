"""What an audit was asked to look at: cards, adapter directories, directories of many, repos on the Hub."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit import hub_rules
from hubkit.adapter import CONFIG_NAME, WEIGHTS_NAME
from hubkit.audit import subject
from hubkit.audit.subject import CARD_NAME, Subject
from hubkit.errors import HubkitError

if TYPE_CHECKING:
    from hubkit.hub import Hub


def cards(target: Path) -> list[Path]:
    """The cards that a path stands for: itself, the one in it, or those of the adapters below it."""
    if target.is_file():
        return [target]
    if (target / CONFIG_NAME).is_file():
        if not (target / CARD_NAME).is_file():
            raise HubkitError(
                f"there is no {CARD_NAME} in {target}", f"write one: hubkit card --adapter {target}"
            )
        return [target / CARD_NAME]
    below = [
        path.parent / CARD_NAME
        for path in sorted(target.rglob(CONFIG_NAME))
        if (path.parent / CARD_NAME).is_file() and not _is_hidden(path.relative_to(target))
    ]
    if below:
        return below
    if (target / CARD_NAME).is_file():
        return [target / CARD_NAME]
    raise HubkitError(
        f"{target} holds no card, and no adapter directory with one",
        "give a card, an adapter directory, a directory of them, or a repo id",
    )


def _is_hidden(path: Path) -> bool:
    """Whether it lies in a hidden folder, or in one of training's checkpoints."""
    return any(part.startswith((".", "checkpoint-")) for part in path.parts[:-1])


@contextlib.contextmanager
def subjects(
    target: str, adapter_dir: Path | None, base_config: Path | None, hub: Callable[[], Hub]
) -> Iterator[Iterator[Subject]]:
    """The subjects that a path or a repo id stands for. A path that is there comes before a repo id.

    `hub` is called for a repo id alone. Raises HubkitError.
    """
    if adapter_dir and not any((adapter_dir / name).is_file() for name in (CONFIG_NAME, WEIGHTS_NAME)):
        raise HubkitError(f"there is no adapter in {adapter_dir}", "give its directory to --adapter")
    path = Path(target)
    if path.exists():
        yield (subject.load(card, adapter_dir, base_config) for card in cards(path))
    elif hub_rules.is_repo_id(target, namespace=True):
        from hubkit.audit import remote

        with remote.fetched(target, hub()) as files:
            yield iter([subject.load_remote(files, adapter_dir, base_config)])
    else:
        raise HubkitError(
            f"there is no file and no directory {target!r}, and it is no id of a repo (user/name)",
            "give a card, an adapter directory, or a repo id",
        )
