"""One request to the Hub, as the endpoints see it: who asks, for which repo and revision, with what body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from hubkit.localhub.answers import Refusal, as_refusal, count, log, read_json, refusal_reply, reply
from hubkit.localhub.auth import Publisher, Token, cookie_name, find_token
from hubkit.localhub.repo import NotThere, Repo
from hubkit.localhub.store import Store

__all__ = [
    "Call",
    "Hub",
    "Refusal",
    "as_refusal",
    "count",
    "endpoint",
    "log",
    "read_json",
    "refusal_reply",
    "reply",
    "streaming",
]

JSON_MAX = 8_000_000
READ_ONLY = "You have read access but not the required permissions for this operation"


@dataclass(slots=True)
class Hub:
    """What every endpoint needs to know."""

    store: Store
    tokens: Mapping[str, Token]
    endpoint: str
    xet: bool
    part_size: int
    upload_key: bytes
    mounts: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    storage: str | None = None  # the origin of large files, when they have one of their own
    quota_bytes: int | None = None  # of the large files of a namespace
    publishers: Sequence[Publisher] = ()
    minted: dict[str, Token] = field(default_factory=dict)  # short-lived tokens that this Hub gave out
    xet_root: Path = field(init=False)

    def __post_init__(self) -> None:
        self.xet_root = self.store.root / "xet"


@dataclass(slots=True)
class Call:
    """A request with its body read, where it has a small one."""

    hub: Hub
    request: Request
    body: bytes = b""
    from_browser: bool = False

    @property
    def store(self) -> Store:
        """The store of the Hub."""
        return self.hub.store

    @property
    def token(self) -> Token | None:
        """The caller's token, None for an anonymous one; a wrong one is refused."""
        header = self.request.headers.get("authorization")
        secret = header.removeprefix("Bearer ") if header else None
        if secret is None and self.from_browser:
            # A browser shows pages with a cookie; it never changes anything, so no page can make it do so.
            secret = self.request.cookies.get(cookie_name(self.hub.endpoint))
        if not secret:
            return None
        token = find_token({**self.hub.tokens, **self.hub.minted}, secret)
        if header and token is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        if header and token and token.expired:
            raise Refusal(401, f'User Access Token "{token.name}" is expired')
        return None if token and token.expired else token

    def user(self, *, write: bool = False) -> Token:
        """The caller, who must have a token, and one that may write if asked so."""
        token = self.token
        if token is None:
            raise Refusal(401, "Invalid username or password.")
        if write and token.role == "read":
            raise Refusal(403, READ_ONLY)
        return token

    def param(self, name: str) -> str:
        """A part of the address, decoded."""
        return unquote(self.request.path_params.get(name, ""))

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query."""
        return self.request.query_params.get(name, default)

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query is switched on."""
        return self.query(name).lower() in ("1", "true")

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object; no body is an empty one."""
        value = read_json(self.body or b"{}")
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Refusal(400, "The body must be a JSON object")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A string of the body."""
        value = self.json().get(key, default)
        if not isinstance(value, str):
            raise Refusal(400, f'"{key}" must be a string')
        return value

    def items(self, key: str) -> list[dict[str, Any]]:
        """A list of objects of the body; absent, it is an empty one."""
        value = self.json().get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise Refusal(400, f'"{key}" must be a list of objects')
        return value

    def repo(self, *, write: bool = False) -> Repo:
        """The repo of the address, if the caller may see it, and write to it if asked so."""
        repo_id = f"{self.param('user')}/{self.param('name')}"
        renamed = self.store.renamed(repo_id)
        if renamed and self.sees(renamed):
            self._redirect(renamed.id)
        return self.find_repo(repo_id, write=write)

    def _redirect(self, new_id: str) -> None:
        """Send the caller to the same address of a repo that has another id now, as the Hub does."""
        asked = self.request.scope["raw_path"].decode("latin-1")
        old = "/{user}/{name}".format(**self.request.path_params)
        query = self.request.url.query
        location = asked.replace(old, f"/{new_id}", 1) + (f"?{query}" if query else "")
        message = f"Temporary Redirect. Redirecting to {location}"
        raise Refusal(307, message, headers={"Location": location})

    def find_repo(self, repo_id: str, *, write: bool = False) -> Repo:
        """A repo by its id, under the same conditions."""
        token = self.token
        try:
            repo = self.store.repo(repo_id)
        except NotThere:
            repo = None
        if repo is None or not self.sees(repo):
            if token:
                raise Refusal(404, "Repository not found", "RepoNotFound")
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        if repo.facts.get("disabled"):
            raise Refusal(403, "Access to this resource is disabled.")
        if write:
            self.check_owner(repo_id)
        return repo

    def sees(self, repo: Repo) -> bool:
        """Whether the caller may know of a repo."""
        token = self.token
        return not repo.private or (token is not None and token.may_see(repo.id))

    def check_owner(self, repo_id: str) -> None:
        """Refuse a caller who may not write to this repo."""
        self.permit(repo_id, self.user(write=True).may_write(repo_id))

    def check_creator(self, repo_id: str) -> None:
        """Refuse a caller who may not create a repo of this id."""
        self.permit(repo_id, self.user(write=True).may_create(repo_id))

    def permit(self, repo_id: str, granted: bool) -> None:
        """Refuse a caller to whom this was not granted, and say why."""
        namespace = repo_id.split("/")[0]
        if granted:
            return
        if self.user().owns(namespace):
            raise Refusal(403, READ_ONLY)
        raise Refusal(403, f'You don\'t have the rights to write under the namespace "{namespace}"')

    def participant(self, repo: Repo) -> Token:
        """The caller, who must be one that may open discussions and pull requests here."""
        token = self.user(write=True)
        if not token.may_discuss(repo.id):
            raise Refusal(403, READ_ONLY)
        return token

    def check_content(self, repo: Repo) -> None:
        """Refuse a caller who may know of a gated repo, but not have its files.

        https://huggingface.co/docs/hub/models-gated; huggingface_hub/errors.py (GatedRepoError).
        """
        token = self.token
        if not repo.facts["gated"] or (token and token.owns(repo.id.split("/")[0])):
            return
        if token is None:
            message = (
                f"Access to model {repo.id} is restricted. You must have access to it and be authenticated"
            )
            raise Refusal(401, f"{message} to access it. Please log in.", "GatedRepo")
        if token.user not in repo.facts.get("granted", ()) or not token.reads_gated:
            message = f"Access to model {repo.id} is restricted and you are not in the authorized list."
            raise Refusal(
                403, f"{message} Visit {self.hub.endpoint}/{repo.id} to ask for access.", "GatedRepo"
            )

    def oid(self, repo: Repo) -> str:
        """The commit that the revision of the address means."""
        return repo.resolve(self.param("rev"))


async def read_body(request: Request) -> bytes:
    """The body of a request that should be small."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_MAX:
            raise Refusal(413, "The body is too large")
    return bytes(body)


Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(function: Callable[[Call], Response], *, from_browser: bool = False) -> Endpoint:
    """An endpoint of a plain function: the body is read first, then the function runs in a worker thread."""

    async def answer(request: Request) -> Response:
        try:
            body = await read_body(request)
            call = Call(request.app.state.hub, request, body, from_browser)
            return await run_in_threadpool(function, call)
        except Exception as error:
            return refusal_reply(as_refusal(error))

    return answer


def streaming(function: Callable[[Call], Awaitable[Response]]) -> Endpoint:
    """An endpoint that reads its own body, piece by piece."""

    async def answer(request: Request) -> Response:
        try:
            return await function(Call(request.app.state.hub, request))
        except Exception as error:
            return refusal_reply(as_refusal(error))

    return answer
