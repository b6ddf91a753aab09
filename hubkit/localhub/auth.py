"""Who is asking, and what a token may do."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TOKEN_FILE = "token"
DEFAULT_USER = "local"


@dataclass(frozen=True, slots=True)
class Token:
    """Whose token it is, whether it may write, and the organizations it may write for."""

    user: str
    role: Literal["read", "write"] = "write"
    organizations: tuple[str, ...] = ()

    def owns(self, namespace: str) -> bool:
        """Whether a namespace belongs to this user."""
        return namespace == self.user or namespace in self.organizations


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
    try:
        return place.read_text().strip()
    except FileNotFoundError:
        secret = "hf_" + secrets.token_urlsafe(24).replace("-", "x").replace("_", "y")
        new = root / f".{TOKEN_FILE}"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret + "\n")
        os.replace(new, place)
        return secret
