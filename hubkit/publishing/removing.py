"""Files on the Hub that go in the same commit: hubkit's own that this adapter no longer has, and those named.

A file is hubkit's own when the commit that last changed it was hubkit's. What is pushed is never removed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from hubkit import adapter
from hubkit.hub import Hub, RemoteFile
from hubkit.publishing import traces
from hubkit.publishing.contents import CARD_NAME, FIGURES, names

OTHER_WEIGHTS = "adapter_model.bin"  # of the format that was used before safetensors
NEVER = (".gitattributes", CARD_NAME, adapter.WEIGHTS_NAME)


def find(
    hub: Hub,
    repo_id: str,
    head: str | None,
    remote: Mapping[str, RemoteFile],
    pushed: Collection[str],
    card: bytes,
    patterns: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """The paths to remove, and notes. `pushed` are the files that stay or come, `card` the card among them.

    `*` in a pattern stands for slashes too, and a pattern that ends with one for all below it.
    """
    if head is None:
        return [], [_nothing(pattern, remote, pushed) for pattern in patterns]
    others = sorted(path for path in remote if path not in pushed and path not in NEVER)
    gone: set[str] = set()
    notes = []
    for pattern in patterns:
        named = [path for path in others if _names(pattern, path)]
        notes += [] if named else [_nothing(pattern, remote, pushed)]
        gone.update(named)
    stale = [path for path in others if path not in gone and _is_stale(path, pushed, card)]
    return sorted(gone | _of_hubkit(hub, repo_id, head, stale)), notes


def _is_stale(path: str, pushed: Collection[str], card: bytes) -> bool:
    """Whether this would be of no use beside the files that are pushed."""
    if path == OTHER_WEIGHTS:
        return adapter.WEIGHTS_NAME in pushed
    is_figure = fnmatchcase(path, f"{FIGURES}/*.png") and path.count("/") == 1
    return is_figure and not names(card, path)


def _of_hubkit(hub: Hub, repo_id: str, head: str, paths: list[str]) -> set[str]:
    """Those among the files that a commit of hubkit's brought."""
    if not paths:
        return set()
    messages = hub.messages(repo_id, head)
    last = hub.last_commits(repo_id, head, paths)
    return {path for path, commit in last.items() if traces.brings(messages.get(commit, ""))}


def _names(pattern: str, path: str) -> bool:
    return fnmatchcase(path, pattern + "*" * pattern.endswith("/"))


def _nothing(pattern: str, remote: Mapping[str, RemoteFile], pushed: Collection[str]) -> str:
    """Why a pattern deletes nothing."""
    stays = [path for path in sorted(remote) if _names(pattern, path)]
    if not stays:
        return f"--delete {pattern} names no file on the Hub"
    here = [path for path in stays if path in pushed]
    why = "is pushed from this directory" if here else "never goes"
    return f"--delete {pattern} deletes nothing: {(here or stays)[0]} {why}"
