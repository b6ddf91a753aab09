"""How many bytes of large files a namespace may hold, when the Hub was started with a limit.

The wording and the two statuses are the real Hub's: 403 where large files are announced
(https://github.com/huggingface/huggingface_hub/issues/3049), 400 at the commit that names them.
"""

from __future__ import annotations

from collections.abc import Iterable

from hubkit.localhub.call import Call, Refusal
from hubkit.localhub.repo import Repo

PRIVATE_FULL = (
    "Private repository storage limit reached, please upgrade your plan "
    "to increase your private storage limit"
)
PUBLIC_FULL = "You have exceeded your public storage space, please upgrade your plan to increase it"


def held(call: Call, namespace: str) -> dict[str, int]:
    """The large files that the branches, tags and pull requests of a namespace hold, with their sizes."""
    found: dict[str, int] = {}
    for repo in call.store.repos():
        if repo.id.split("/")[0] == namespace:
            heads = {oid for kind in ("heads", "tags", "pr") for oid in repo.refs(kind).values()}
            for head in heads:
                found |= {file.sha256: file.size for file in repo.tree(head).values() if file.sha256}
    return found


def check(call: Call, repo: Repo, new: Iterable[tuple[str, int]], status: int) -> None:
    """Refuse large files that would not fit beside those that are there."""
    if call.hub.quota_bytes is None:
        return
    wanted = held(call, repo.id.split("/")[0]) | dict(new)
    if sum(wanted.values()) > call.hub.quota_bytes:
        raise Refusal(status, PRIVATE_FULL if repo.private else PUBLIC_FULL)
