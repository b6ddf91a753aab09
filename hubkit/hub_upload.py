"""The large files of a commit, sent ahead of it: by Xet where the server offers it, by LFS otherwise.

The Hub keeps them by their digests, so this may be repeated at will: what it has is not sent again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from hubkit import __version__, hub_rules, interrupts
from hubkit.errors import HubError, NoXet
from hubkit.hub import Hub, LocalFile
from hubkit.hub_sending import Sending, Streams, xet_told_to

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

Storage = Literal["xet", "lfs"]
MOST_ASKED = 256  # large files in one question, as many as the client asks for at once


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the files of a commit go."""

    hub: Hub
    repo_id: str
    revision: str
    create_pr: bool


def addition(file: LocalFile) -> CommitOperationAdd:
    """The file as huggingface_hub wants it."""
    from huggingface_hub import CommitOperationAdd

    operation = CommitOperationAdd(file.path, file.source)
    operation.upload_info.sha256 = bytes.fromhex(file.sha256)  # it was hashed for the plan already
    return operation


def upload(
    to: Destination, files: Sequence[LocalFile], additions: list[CommitOperationAdd]
) -> tuple[Storage | None, tuple[str, ...]]:
    """Send the large ones of the files. Gives how they went, and what to tell the user."""
    large = any(hub_rules.goes_to_lfs(file.path, file.size) for file in files)
    switched_off = _xet_switched_off()
    try:
        if switched_off or (large and (refused := _xet_refusal(to))):
            raise NoXet("Xet storage is switched off" if switched_off else refused)
        _leave_out_what_is_there(to, additions)
        sent = _to_send(additions)
        _send(to, additions, by_xet=True)
        return "xet" if sent else None, ()
    except NoXet as reason:
        _send_by_lfs(to, additions)
        note = () if switched_off else (f"{reason.message}: the weights went by LFS",)
        return ("lfs", note) if large else (None, ())


def _to_send(additions: list[CommitOperationAdd]) -> list[CommitOperationAdd]:
    """The large ones of the files that are not known to be on the Hub."""
    return [
        one
        for one in additions
        if hub_rules.goes_to_lfs(one.path_in_repo, one.upload_info.size) and not one._is_uploaded
    ]


def _leave_out_what_is_there(to: Destination, additions: list[CommitOperationAdd]) -> None:
    """Ask the Hub which large files it has as a whole, and mark them as the client's own upload by LFS does.

    By Xet the client does not ask: it goes by its notes of what it sent, and those of a process that was
    killed lack the last of it. Where the Hub does not say, all of them go.
    """
    from huggingface_hub.lfs import post_lfs_batch_info
    from huggingface_hub.utils._headers import build_hf_headers

    large = _to_send(additions)
    if not large:
        return
    headers = build_hf_headers(token=to.hub.api.token, library_name="hubkit", library_version=__version__)
    with contextlib.suppress(HubError, ValueError, AttributeError), to.hub.calling(to.repo_id):
        known, _, _ = post_lfs_batch_info(
            [one.upload_info for one in large[:MOST_ASKED]],
            token=None,  # it is in the headers
            repo_type="model",
            repo_id=to.repo_id,
            revision=None if to.create_pr else quote(to.revision, safe=""),
            endpoint=to.hub.endpoint,
            headers=headers,
            transfers=["basic", "multipart"],
        )
        there = {one["oid"] for one in known if one.get("actions") is None}
        for one in large:
            if one.upload_info.sha256.hex() in there:
                one._upload_mode, one._is_uploaded = "lfs", True


def _send_by_lfs(to: Destination, additions: list[CommitOperationAdd]) -> None:
    """Send them by LFS, a second time if need be: an upload whose end was not heard of cannot be ended again.

    What the first time brought is there by then, and is not sent again.
    """
    try:
        _send(to, additions, by_xet=False)
    except HubError as error:
        if type(error) is not HubError:
            raise
        _send(to, additions, by_xet=False)


def _send(to: Destination, additions: list[CommitOperationAdd], by_xet: bool) -> None:
    """Upload the large ones of the files. What the Hub has already is not sent again."""
    large = _to_send(additions)
    total = sum(one.upload_info.size for one in large)
    with Sending(total, to.hub.progress and not _bars_unwanted()) as sending, bars(False):
        try:
            if by_xet:
                guard = _xet_guard(to, additions)
                with to.hub.calling(to.repo_id), guard, xet_told_to(sending), _loopback_without_proxy():
                    _preupload(to, additions)
            else:
                with to.hub.calling(to.repo_id), _as_streams(additions, Streams(sending)):
                    # One large file at a time: several go in threads, for which a Ctrl-C would wait.
                    _preupload(to, [one for one in additions if one not in large[1:]])
                    for one in large[1:]:
                        _preupload(to, [one])
        finally:
            to.hub.outcome.sent += total if sending.sent is None and by_xet else sending.sent or 0


def _preupload(to: Destination, additions: list[CommitOperationAdd]) -> None:
    to.hub.api.preupload_lfs_files(
        to.repo_id, additions, revision=to.revision, create_pr=to.create_pr, free_memory=False
    )


@contextlib.contextmanager
def _xet_guard(to: Destination, additions: list[CommitOperationAdd]) -> Iterator[None]:
    """An upload by Xet, within a time limit. Raises NoXet when Xet fails, whatever the reason is.

    The client says so by bare exceptions of many kinds. A silent server holds it for minutes, and so its
    session is ended when an upload is slower than the slowest that we put up with.
    """
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils._xet import abort_xet_session

    patience = to.hub.patience
    size = sum(addition.upload_info.size for addition in additions)
    limit = 2 * patience.answer_seconds + size / patience.slowest_upload
    expired = threading.Event()

    abort: Callable[[], None] = abort_xet_session

    def end() -> None:
        expired.set()
        abort()

    timer = threading.Timer(limit, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt as error:  # what an ended session raises, in each thread that uses it
        ended = expired.is_set() or threading.current_thread() is not threading.main_thread()
        if isinstance(error, interrupts.Signalled) or interrupts.came() or not ended:
            raise
        raise NoXet("Xet storage was too slow") from error
    except (HubError, HfHubHTTPError, HTTPError):
        raise  # of the Hub itself
    except Exception as error:
        raise NoXet("Xet storage failed") from error
    finally:
        timer.cancel()


@contextlib.contextmanager
def _loopback_without_proxy() -> Iterator[None]:
    """Keep hf_xet, which goes by the environment, from asking a proxy for a Hub on this machine.

    No proxy can reach that, and hf_xet would try for minutes.
    """
    from hubkit.hub_client import LOOPBACK

    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    said = before["NO_PROXY"] or before["no_proxy"]
    value = ",".join([*([said] if said else []), *LOOPBACK])
    os.environ.update(dict.fromkeys(before, value))
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old


def _xet_switched_off() -> bool:
    from huggingface_hub.utils._runtime import is_xet_available

    return not is_xet_available()


def _xet_refusal(to: Destination) -> str:
    """Why there is no Xet, if there is none, by asking for a token as the client will: it keeps no status."""
    where = "None?create_pr=1" if to.create_pr else quote(to.revision, safe="")
    url = f"{to.hub.endpoint}/api/models/{to.repo_id}/xet-write-token/{where}"
    try:
        answer = to.hub.request(to.repo_id, "GET", url)
    except HubError as error:
        return f"Xet storage does not answer ({error.message})"
    if answer.is_success:
        return ""
    if answer.status_code == 404:
        return "this server offers no Xet storage"
    return f"this server refuses Xet storage, with status {answer.status_code}"


def _bars_unwanted() -> bool:
    from huggingface_hub.constants import HF_HUB_DISABLE_PROGRESS_BARS

    return HF_HUB_DISABLE_PROGRESS_BARS is True


@contextlib.contextmanager
def bars(wanted: bool) -> Iterator[None]:
    """Let huggingface_hub draw its progress bars only where they are wanted."""
    from huggingface_hub.constants import HF_HUB_DISABLE_PROGRESS_BARS as said
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    if wanted or said is not None:  # what the environment says is not ours to overrule
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextlib.contextmanager
def _as_streams(additions: list[CommitOperationAdd], streams: Streams) -> Iterator[None]:
    """Hand the files over as open streams, which huggingface_hub sends by LFS, for as long as that takes."""
    paths: list[Any] = [addition.path_or_fileobj for addition in additions]
    logger = logging.getLogger("huggingface_hub._commit_api")
    level = logger.level
    with contextlib.ExitStack() as stack:
        for addition, path in zip(additions, paths, strict=True):
            addition.path_or_fileobj = stack.enter_context(streams.open(Path(path)))
        logger.setLevel(logging.ERROR)  # it would say that it falls back to LFS; the caller says so
        try:
            yield
        finally:
            logger.setLevel(level)
            for addition, path in zip(additions, paths, strict=True):
                addition.path_or_fileobj = path
