"""Files beside the card that somebody changed on the Hub since the directory here took account of it.

A card is joined (merging.py); of weights, a configuration or a record one stays and one is lost, so the push
stops until the user decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hubkit import record
from hubkit.errors import CardError
from hubkit.hub import Hub, RemoteFile
from hubkit.publishing import remote_card
from hubkit.publishing.contents import CARD_NAME, Contents
from hubkit.publishing.merging import There
from hubkit.publishing.planned import PlannedFile
from hubkit.record import Pushed

BOOKKEEPING = ("pushed", "written")  # keys of a record that tell of the card and not of the adapter


def changed(
    there: There, files: Sequence[PlannedFile], contents: Contents, pushed: Pushed | None
) -> list[str]:
    """Those of the planned files in which a push would lose what somebody else wrote on the Hub."""
    ours = [file.path for file in files if file.change == "changed" and file.path != CARD_NAME]
    if not ours or pushed is None:
        return []
    found = remote_card.ancestor(there.hub, there.repo_id, there.commit, there.card, pushed)
    if found is None or found.commit == there.commit:
        return []
    was = there.hub.files(there.repo_id, found.commit)
    lost = [path for path in ours if there.files[path] != was.get(path)]
    if record.RECORD_NAME in lost and _tells_nothing_else(there, found.commit, was, contents):
        lost.remove(record.RECORD_NAME)
    return lost


def refusal(repo_id: str, paths: Sequence[str]) -> CardError:
    """Why the push stops."""
    was = "was" if len(paths) == 1 else "were"
    return CardError(
        f"{', '.join(paths)} of {repo_id} {was} changed there since this directory was published,"
        " and that would be lost",
        "take it over into the directory (hf download gets it), or --force replaces it;"
        " the history keeps it, and --create-pr proposes yours",
    )


def facts(content: bytes) -> Any:
    """What a record says of the adapter; of one that cannot be read, its bytes."""
    try:
        known = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content
    if not isinstance(known, dict):
        return content
    return {key: value for key, value in known.items() if key not in BOOKKEEPING}


def _tells_nothing_else(there: There, commit: str, was: Mapping[str, RemoteFile], contents: Contents) -> bool:
    """Whether the record there says of the adapter what ours does, or what it said before."""
    name = record.RECORD_NAME
    known = [facts(contents.read(name))]
    if name in was:
        known.append(facts(_read(there.hub, there.repo_id, commit, was)))
    return facts(_read(there.hub, there.repo_id, there.commit, there.files)) in known


def _read(hub: Hub, repo_id: str, commit: str, files: Mapping[str, RemoteFile]) -> bytes:
    """The record of a commit; of one that is too large, its id, which no other has."""
    file = files[record.RECORD_NAME]
    if file.size > remote_card.LARGEST:
        return str(file.oid).encode()
    return hub.read(repo_id, record.RECORD_NAME, commit)
