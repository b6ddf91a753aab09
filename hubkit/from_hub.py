"""An adapter from the Hub, at a revision, laid into a directory of the user's.

Fetched are the files that make up an adapter, its card, its record and its training's history. Never a
pickle: adapter_model.bin, training_args.bin and the like are not fetched, whatever else the repo holds. The
files are fetched beside the directory and moved there when all have come.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hubkit import adapter, files, found, hub_rules, record
from hubkit.errors import AdapterError, HubkitError, HubUnreachable, RepoMissing, RevisionMissing
from hubkit.hub import Hub, RemoteFile
from hubkit.record import Origin

CARD_NAME = "README.md"
LARGEST = {CARD_NAME: 5_000_000, record.RECORD_NAME: record.LARGEST, found.NAME: found.LARGEST}  # bytes
WANTED = (*files.ADAPTER_FILES, *LARGEST)
ROOT = Path("runs")  # where adapters go that are given no place


@dataclass(frozen=True)
class Named:
    """An adapter on the Hub: its repo, and a branch, tag or commit."""

    repo_id: str
    revision: str | None = None

    @property
    def place(self) -> Path:
        """Where it goes when nobody says where."""
        return ROOT / self.repo_id


def named(text: str) -> Named | None:
    """The adapter that `owner/name` or `owner/name@revision` names; None for a directory or another path."""
    repo_id, at, revision = text.partition("@")
    if Path(text).exists() or not hub_rules.is_repo_id(repo_id, namespace=True) or (at and not revision):
        return None
    return Named(repo_id, revision or None)


def at_hand(wanted: Named, into: Path | None, say: Callable[[str], None]) -> Path:
    """The directory that an adapter of the Hub lies in: it is fetched. Raises AdapterError or HubError."""
    try:
        return fetch(Hub(tell=say), wanted, into or wanted.place, say)
    except HubUnreachable as error:
        message = f"there is no directory {wanted.repo_id}; on the Hub: {error.message}"
        raise HubUnreachable(message, error.hint) from error


def fetch(hub: Hub, wanted: Named, directory: Path, say: Callable[[str], None]) -> Path:
    """Lay the adapter into a directory; one that holds it at that commit already is left as it is.

    Raises HubError where the Hub does not have it, AdapterError where the repo or the directory holds
    something else.
    """
    had = _origin(directory)
    if had and had.repo_id == wanted.repo_id and had.commit == wanted.revision and _is_whole(directory):
        return directory
    repo = hub.repo(wanted.repo_id, wanted.revision or hub_rules.DEFAULT_BRANCH)
    if repo is None:
        raise RepoMissing(
            f"there is no model {wanted.repo_id} at {hub.endpoint} {hub.of_those_seen},"
            f" and no directory {wanted.repo_id}",
            "check the name",
        )
    if repo.head is None:
        raise RevisionMissing(
            f"{repo.id} has no revision {wanted.revision or hub_rules.DEFAULT_BRANCH}",
            "name a branch, a tag or a commit of it",
        )
    origin = Origin(repo_id=repo.id, commit=repo.head)
    if had == origin and _is_whole(directory):
        say(f"{repo.id} is at {repo.head[:12]}, as in {directory}")
        return directory
    _check_free(directory, had, origin)
    present = _wanted(hub.files(repo.id, repo.head), repo.id, repo.head)
    size = sum(file.size for file in present.values())
    say(f"fetching {repo.id} at {repo.head[:12]}: {len(present)} files, {size:,} bytes, into {directory}")
    _lay(hub, origin, list(present), directory)
    return directory


def _origin(directory: Path) -> Origin | None:
    return record.read(directory).origin if directory.is_dir() else None


def _is_whole(directory: Path) -> bool:
    return all((directory / name).is_file() for name in (adapter.CONFIG_NAME, adapter.WEIGHTS_NAME))


def _check_free(directory: Path, had: Origin | None, origin: Origin) -> None:
    """Refuse a directory that holds another adapter, or anything else. Raises AdapterError."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    holds = f"{had.repo_id} at {had.commit[:12]}" if had else "something else"
    raise AdapterError(
        f"{directory} holds {holds}, and {origin.repo_id} at {origin.commit[:12]} would go there",
        "name another directory: --into DIR, or output_dir in the settings; or move this one away",
    )


def _wanted(present: dict[str, RemoteFile], repo_id: str, commit: str) -> dict[str, RemoteFile]:
    """Those of a repo's files that are fetched. Raises AdapterError where they are no adapter."""
    at = f"{repo_id} at {commit[:12]}"
    if adapter.CONFIG_NAME not in present:
        raise AdapterError(
            f"{at} has no {adapter.CONFIG_NAME}: it holds no adapter of PEFT",
            "name an adapter's repo; a base model goes into base_model",
        )
    if adapter.WEIGHTS_NAME not in present:
        if adapter.PICKLE_NAME in present:
            raise AdapterError(
                f"{at} has its weights in a pickle alone ({adapter.PICKLE_NAME}), which can run any code",
                f"ask its author for {adapter.WEIGHTS_NAME}",
            )
        raise AdapterError(f"{at} has no {adapter.WEIGHTS_NAME}", "name another --adapter or revision")
    return {
        path: file
        for path, file in present.items()
        if path in WANTED and file.size <= LARGEST.get(path, file.size)
    }


def _lay(hub: Hub, origin: Origin, paths: list[str], directory: Path) -> None:
    """Fetch into a folder beside, look at what came, write where it is from, and rename the folder."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    except OSError as error:
        raise AdapterError(
            f"cannot make {directory}: {error.strerror or error}", "name another: --into DIR"
        ) from error
    try:
        for path in paths:
            with hub.calling(origin.repo_id):
                hub.api.hf_hub_download(
                    origin.repo_id, path, revision=origin.commit, local_dir=scratch / "adapter"
                )
        come = scratch / "adapter"
        shutil.rmtree(come / ".cache", ignore_errors=True)
        _check_come(come, origin)
        _signed(come, origin)
        if directory.is_dir():
            directory.rmdir()  # empty, as was looked at
        come.rename(directory)
    except OSError as error:
        raise AdapterError(
            f"cannot write {directory}: {error.strerror or error}", "make room, or name another: --into DIR"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_come(directory: Path, origin: Origin) -> None:
    """Name the repo, and not the folder that goes, where what came cannot be read. Raises AdapterError."""
    try:
        adapter.read(directory)
        record.read(directory)
    except HubkitError as error:
        what = error.message.replace(f"{directory}/", "")
        raise AdapterError(
            f"{origin.repo_id} at {origin.commit[:12]}: {what}",
            "name another revision, or tell its author; nothing was kept",
        ) from error


def _signed(directory: Path, origin: Origin) -> None:
    """Read what came as an adapter and a record, and write into the record where it is from."""
    sha256 = adapter.read(directory).sha256()
    known = record.read(directory)
    told = msgspec.structs.replace(known, origin=origin, repo_id=known.repo_id or origin.repo_id)
    record.write(directory, found.with_history(told, directory, sha256))
