"""Who is asking, and what a token may do."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

TOKEN_FILE = "token"
_SECRET = re.compile(r"[!-~]+")
DEFAULT_USER = "local"
OIDC_USER = "[OIDC]"  # whom the Hub names as the author of what a Trusted Publisher pushed


@dataclass(frozen=True, slots=True)
class Scope:
    """What a fine-grained token may do with an entity: a namespace (`alice`) or one repo (`alice/x`)."""

    entity: str
    permissions: tuple[str, ...] = ("repo.content.read",)

    def covers(self, name: str) -> bool:
        """Whether a namespace or a repo belongs to the entity."""
        return self.entity in (name, name.split("/")[0])


@dataclass(frozen=True, slots=True)
class Publisher:
    """A Trusted Publisher: who may have a token for a repo, or a reading one of a user.

    An issuer of identity tokens, and the claims of a token that must match exactly.
    """

    resource: str
    issuer: str
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """Whose token it is, what it may do, and the organizations its user may write for.

    A fine-grained one may do what its `scopes` say, and what is `everywhere` permitted
    (https://huggingface.co/docs/hub/security-tokens); it sees private repos only where a scope covers them.
    """

    user: str
    role: Literal["read", "write", "fineGrained"] = "write"
    organizations: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()
    everywhere: tuple[str, ...] = ()
    reads_gated: bool = True
    expires: float | None = None  # in seconds, as time.time() counts them
    name: str = "local"

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= time.time()

    @property
    def sender(self) -> str:
        """Whose files these are while they are on their way: one job's are not another's."""
        return f"{self.user} {self.name} {self.scopes}" if self.user == OIDC_USER else self.user

    def owns(self, namespace: str) -> bool:
        """Whether a namespace belongs to this user."""
        return namespace == self.user or namespace in self.organizations

    def _allowed(self, name: str, *permissions: str) -> bool:
        return any(
            scope.covers(name) and not set(permissions).isdisjoint(scope.permissions) for scope in self.scopes
        )

    def _writes(self, name: str, permission: str) -> bool:
        if self.role == "fineGrained":
            return self._allowed(name, permission)
        return self.role == "write" and self.owns(name.split("/")[0])

    def may_see(self, repo_id: str) -> bool:
        """Whether it may know of a private repo."""
        if self.role == "fineGrained":
            return self._allowed(repo_id, "repo.content.read", "repo.write")
        return self.owns(repo_id.split("/")[0])

    def may_write(self, repo_id: str) -> bool:
        """Whether it may change a repo, its files and its settings."""
        return self._writes(repo_id, "repo.write")

    def may_create(self, repo_id: str) -> bool:
        """Whether it may create a repo: a scope on one repo is none on the namespace around it."""
        return self._writes(repo_id.split("/")[0], "repo.write")

    def may_discuss(self, repo_id: str) -> bool:
        """Whether it may open discussions and pull requests in a repo that it sees."""
        if self.role != "fineGrained":
            return self.role == "write"
        permitted = ("discussion.write", "repo.write")
        return "discussion.write" in self.everywhere or self._allowed(repo_id, *permitted)

    def may_see_collections(self, namespace: str) -> bool:
        """Whether it may know of the private collections of a namespace."""
        if self.role == "fineGrained":
            return self._allowed(namespace, "collection.read", "collection.write")
        return self.owns(namespace)

    def may_collect(self, namespace: str) -> bool:
        """Whether it may change the collections of a namespace."""
        return self._writes(namespace, "collection.write")


def cookie_name(endpoint: str) -> str:
    """The cookie with a visitor's token; browsers share cookies over ports, so its name has the port."""
    return f"hubkit_token_{endpoint.rpartition(':')[2]}"


def find_token(tokens: Mapping[str, Token], secret: str) -> Token | None:
    """The token of that secret; compares all of them in constant time, so that timing tells nothing."""
    found = None
    for known, token in tokens.items():
        if hmac.compare_digest(known.encode(), secret.encode()):
            found = token
    return found


def default_secret(root: Path) -> str:
    """The secret of the default user's token: made once for a directory, readable by its owner alone."""
    place = root / TOKEN_FILE
    with contextlib.suppress(FileNotFoundError):
        kept = place.read_bytes().strip().decode("ascii", "replace")
        if _SECRET.fullmatch(kept):  # a crash may have left an empty file
            return kept
    secret = "hf_" + secrets.token_urlsafe(24).replace("-", "x").replace("_", "y")
    new = root / f".{TOKEN_FILE}"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, place)
    return secret
