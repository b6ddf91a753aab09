"""Xet uploads by hf_xet's own store in a directory (`local://`), and their way into the LFS objects.

Each write token opens a fresh directory, since one process at a time can use such a store. The client puts
chunks and shards there; a shard says which files of which sha256 they make up. When a commit names one, or
its sender asks by the LFS batch whether it is here, the file is put together, checked, and kept as an LFS
object. The sender may be at it still: what is not whole by then is left alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from starlette.responses import Response

from hubkit.localhub.call import Call, Hub, Refusal, reply
from hubkit.localhub.community import writable
from hubkit.localhub.objects import Damaged

LIFETIME = 3600
IDLE = 120
_WITH_VERIFICATION = 1 << 31
_WITH_METADATA = 1 << 30
_ENTRY = 48  # bytes of each record in a shard, and of its own header
LATEST = 8  # directories that are looked at for what an uploader sent before
NOTES = Path("shard-session", "xorb_metadata")  # where the client writes down, every 20 s, what it has sent
AT_REST = 0.02  # seconds without a write; the clock that stamps files goes by 4 ms, or 10
TRIES = 100
_joining = threading.Lock()

# Left alone, hf_xet reads gigabytes ahead, and reports to its server.
_BLOCK = 4_000_000  # with 64 MB, joining takes 400 MB of memory and is no faster
_SETTINGS = {
    "reconstruction.min_reconstruction_fetch_size": _BLOCK,
    "reconstruction.max_reconstruction_fetch_size": _BLOCK,
    "reconstruction.download_buffer_size": _BLOCK,
    "reconstruction.download_buffer_perfile_size": _BLOCK,
    "reconstruction.download_buffer_limit": _BLOCK,
    "reconstruction.min_prefetch_buffer": 0,
    "telemetry.enabled": False,
}


class XetFile(NamedTuple):
    """A file that a shard describes."""

    sha256: str
    xet_hash: str
    size: int
    store: Path


def token(call: Call) -> Response:
    """GET /api/models/ID/xet-write-token/REV, and xet-read-token."""
    owner = None
    if call.param("kind") == "write":
        owner = call.participant(writable(call)).sender
    else:
        call.check_content(call.repo())
    if not call.hub.xet:
        raise Refusal(404, "This Hub has no Xet storage")
    place = call.hub.xet_root / uuid.uuid4().hex
    place.mkdir(parents=True)
    with _joining:
        tidy(call.hub)
        if owner:
            _offer(call.hub.xet_root, place, owner)
    until, address, secret = int(time.time()) + LIFETIME, f"local://{place}", uuid.uuid4().hex
    headers = {
        "X-Xet-Cas-Url": address,
        "X-Xet-Access-Token": secret,
        "X-Xet-Token-Expiration": str(until),
    }
    return reply({"accessToken": secret, "exp": until, "casUrl": address}, headers=headers)


def _offer(root: Path, place: Path, owner: str) -> None:
    """Link into a new directory what its user sent before, so that the client does not send it again.

    It finds chunks by the shards in its cache, and those of an upload that broke off by its notes on that.
    Each directory was offered what the ones before it hold, so the latest are enough.
    """
    ours = place / "xet"
    latest = sorted(root.glob("*/owner"), key=lambda path: path.stat().st_mtime)[-LATEST:]
    for other in latest:
        if _owner(other.parent) == owner:
            theirs = other.parent / "xet"
            _link(theirs / "xorbs" / "xorbs", ours / "xorbs" / "xorbs", "default.*")
            _link(theirs / "xorbs" / "shards", ours / "xorbs" / "shards", "*.mdb*")
            _link(theirs / "shard-cache", ours / "shard-cache", "*.mdb")
            _link(theirs / NOTES, ours / NOTES, "*.mdb")
    (place / "owner").write_text(owner)


def _link(source: Path, target: Path, pattern: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob(pattern):
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(path, target / path.name)


def tidy(hub: Hub) -> None:
    """Drop the directories whose files are all kept, once they are idle, and the old ones."""
    for place in hub.xet_root.glob("*"):
        idle = time.time() - max(path.stat().st_mtime for path in (place, *place.glob("xet/xorbs/*/")))
        files = list(_files(hub.xet_root, place.name))
        kept = bool(files) and all(hub.store.objects.lfs_size(file.sha256) is not None for file in files)
        if idle > (IDLE if kept else 2 * LIFETIME):
            shutil.rmtree(place, ignore_errors=True)


def _owner(place: Path) -> str:
    """Who sends to a directory."""
    with contextlib.suppress(OSError):
        return (place / "owner").read_text()
    return ""


def receive(hub: Hub, sha256: str, owner: str) -> bool:
    """Whether this user sent a file by Xet; it is an LFS object then. Refusal where all of it is damaged.

    It is put together also where the object is here: it may be another's, and naming it is not sending it.
    """
    damaged: Refusal | None = None
    with _joining:
        # A shard is linked into the directories of later uploads, which may not have their index yet.
        for file in _files(hub.xet_root):
            if file.sha256 == sha256 and _owner(file.store) == owner:
                try:
                    _join(hub, file)
                    return True
                except Refusal as error:
                    damaged = error
    if damaged:
        raise damaged
    return False


def _files(root: Path, name: str = "*") -> Iterator[XetFile]:
    for shard in sorted(root.glob(f"{name}/xet/xorbs/shards/*.mdb")):
        with contextlib.suppress(FileNotFoundError):  # its client has just renamed it
            yield from parse_shard(shard.read_bytes(), shard.parents[3])


def parse_shard(data: bytes, store: Path) -> Iterator[XetFile]:
    """The files that a shard describes; reading stops where a record is cut off.

    https://huggingface.co/docs/xet/shard: a header, then for each file a record of its hash, flags and number
    of segments, the segments, their verification if flagged, the sha256 if flagged; a record of ones ends it.
    """
    at = _ENTRY
    while at + _ENTRY <= len(data):
        file_hash, flags, count = struct.unpack_from("<32sII", data, at)
        if file_hash == b"\xff" * 32:
            return
        at += _ENTRY
        segments = range(at, at + _ENTRY * count, _ENTRY)
        at += _ENTRY * count * (2 if flags & _WITH_VERIFICATION else 1)
        metadata = at
        at += _ENTRY if flags & _WITH_METADATA else 0
        if at > len(data):
            return
        size = sum(struct.unpack_from("<I", data, segment + 36)[0] for segment in segments)
        if flags & _WITH_METADATA:
            yield XetFile(_hex(data[metadata : metadata + 32]), _hex(file_hash), size, store)


def _hex(digest: bytes) -> str:
    """Xet writes a digest as four little-endian numbers."""
    return "".join(f"{part:016x}" for part in struct.unpack("<4Q", digest))


def _join(hub: Hub, file: XetFile) -> None:
    import hf_xet

    work = hub.store.objects.scratch / uuid.uuid4().hex
    try:
        config = hf_xet.XetConfig()
        known = set(config.keys())
        config = config.with_config({key: value for key, value in _SETTINGS.items() if key in known})
        group = hf_xet.XetSession(config).new_download_stream_group(
            endpoint=f"local://{_view(file.store, work)}",
            token="local",
            token_expiry_unix_secs=int(time.time()) + LIFETIME,
        )
        with hub.store.objects.incoming() as new:
            for chunk in group.download_stream(hf_xet.XetFileInfo(file.xet_hash, file.size)):
                new.write(chunk)
            hub.store.objects.keep(new, file.sha256, file.size)
    except Damaged as error:
        raise Refusal(400, f"The Xet upload is damaged: {error}") from None
    except (RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of this machine; those of hf_xet have no number
        raise Refusal(400, f"The Xet upload is not whole: {error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _view(store: Path, view: Path) -> Path:
    """The same chunks and shards in another directory: the client still has the index of its own open."""
    for folder in ("xorbs", "shards"):
        place = view / "xet" / "xorbs" / folder
        place.mkdir(parents=True)
        _link(store / "xet" / "xorbs" / folder, place, "*")
    for index in (store / "xet" / "xorbs").glob("*.redb"):
        _copy_at_rest(index, view / "xet" / "xorbs" / index.name)
    return view


def _copy_at_rest(index: Path, copy: Path) -> None:
    """Copy an index while its client does not write to it: with half a change hf_xet fails, for good.

    Between two writes it is what a client that was killed there leaves, which it can read.
    """
    for _ in range(TRIES):
        before = index.stat()
        if time.time() - before.st_mtime > AT_REST:
            shutil.copy(index, copy)
            after = index.stat()
            if (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size):
                return
        time.sleep(AT_REST)
    raise Refusal(400, "The Xet upload is still under way")
