"""What the Hub's refusals mean: each as one line with the next step, and with no token in it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

import httpx2
from huggingface_hub import errors as hf

from hubkit.errors import HeadMoved, HubError, HubUnreachable, NotAuthorised, RepoMissing, RevisionMissing
from hubkit.hub_failures import ADDRESS

TOKENS_PAGE = "https://huggingface.co/settings/tokens"
AGAIN = "run the command again"
LOGIN_PAGE = f"check {ADDRESS}, and whether a proxy or a login page of this network answers instead"
_LOG_IN = "log in: hf auth login; or give --token"
_PROPOSE = "propose it by --create-pr, or use a token that may write"
_STORAGE_FULL = re.compile(r"storage (?:limit|space|patterns|quota)|quota exceeded", re.IGNORECASE)
_TOKEN_SHAPE = re.compile(r"\bhf_[A-Za-z0-9_]{4,}|(?<=Bearer )[^\s'\"]+")

# status -> (kind of error, what happened; {repo} and {said} are filled in, next step)
BY_STATUS: dict[int, tuple[Callable[[str, str], HubError], str, str]] = {
    400: (HubError, "the Hub refused it: {said}", "mend what it names, then run the command again"),
    401: (NotAuthorised, "the Hub does not accept this token", _LOG_IN),
    402: (HubError, "the plan of this account does not cover it: {said}", "https://huggingface.co/settings/billing"),
    403: (
        NotAuthorised,
        "this token may not write to {repo}: {said}",
        f"make a token that may, at {TOKENS_PAGE}, or choose another --repo-id",
    ),
    404: (HubError, "the Hub does not know what was asked of it about {repo}: {said}", f"check {ADDRESS}"),
    409: (HubError, "another change to {repo} is under way: {said}", AGAIN),
    412: (HeadMoved, "somebody committed to {repo} since the plan was made", AGAIN),
    413: (HubError, "the Hub finds the files for {repo} too large: {said}", "publish fewer or smaller files"),
    422: (HubError, "the Hub finds this invalid for {repo}: {said}", "check --repo-id and --revision"),
    429: (HubError, "the Hub was asked too often", "run the command again in some minutes"),
    507: (HubError, "the Hub cannot keep {repo}: {said}", "free some space where it keeps its files"),
}  # fmt: skip


def redact(text: str, token: str | None = None) -> str:
    """The text without anything that looks like a token."""
    for secret in (token, os.environ.get("HF_TOKEN")):
        if secret and secret.strip():
            text = text.replace(secret, "***").replace(secret.strip(), "***")
    return _TOKEN_SHAPE.sub("***", text)


def shows_token(error: BaseException, token: str | None) -> bool:
    """Whether a traceback of this exception, with all that it came of, would show a token."""
    seen: BaseException | None = error
    while seen is not None:
        if redact(repr(seen) + str(seen), token) != repr(seen) + str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def refuses_token(error: hf.HfHubHTTPError) -> bool:
    """Whether the Hub takes this token for none; huggingface_hub calls some of these a missing repo."""
    said = _said(error)
    return error.response.status_code == 401 and (
        "is expired" in said or said.startswith("Invalid credentials")
    )


def why_not_create(account: dict[str, Any], repo_id: str) -> str | None:
    """Why a token may not create a repo, by what the Hub says of the token; None when it may."""
    owner = repo_id.partition("/")[0]
    access = account.get("auth", {}).get("accessToken", {})
    if access.get("role") == "read":
        return "it may only read"
    if access.get("role") == "fineGrained":
        scopes = access.get("fineGrained", {}).get("scoped", [])
        writes = [scope["entity"].get("name") for scope in scopes if "repo.write" in scope["permissions"]]
        return None if owner in writes else f"it is fine-grained, with no right to write to repos of {owner}"
    owners = {account["name"], *(organization["name"] for organization in account.get("orgs", []))}
    return None if owner in owners else f"it is a token of {account['name']}"


def explain(
    error: Exception, repo: str, token: str | None = None, endpoint: str | None = None
) -> HubError | None:
    """What an exception of huggingface_hub means for a person; None when it is not about the Hub."""
    known = _explain(error, repo, endpoint or "its address")
    if known is None:
        return None
    return type(known)(redact(known.message, token), known.hint)


def _explain(error: Exception, repo: str, endpoint: str) -> HubError | None:
    if isinstance(error, hf.HfHubHTTPError):
        return _refusal(error, repo)
    if isinstance(error, hf.OfflineModeIsEnabled):
        return HubUnreachable(
            "huggingface_hub is in offline mode", "unset HF_HUB_OFFLINE, or use --local-hub DIR"
        )
    if isinstance(error, hf.LocalTokenNotFoundError | hf.OIDCError):
        return _no_token(error)
    if isinstance(error, hf.HFValidationError):
        return HubError(f"{repo} is not a repo id: {_first_line(error)}", "give it as user/name")
    if isinstance(error, hf.LocalEntryNotFoundError):
        return HubUnreachable(
            f"cannot reach the Hub for a file of {repo}", "check the network, then run the command again"
        )
    if isinstance(error, httpx2.LocalProtocolError):
        return NotAuthorised(
            "the token holds characters that no token has", "give --token without line breaks"
        )
    if isinstance(error, httpx2.HTTPError | httpx2.InvalidURL | ConnectionError):
        return HubUnreachable(
            f"cannot talk to the Hub at {endpoint}: {_first_line(error)}", f"check {ADDRESS}, then {AGAIN}"
        )
    if isinstance(error, ValueError) and "Invalid metadata in README.md" in str(error):
        return HubError(str(error), "write the card anew: hubkit card --adapter DIR")
    if isinstance(error, ValueError) and str(error).startswith("LFS batch API returned errors"):
        said = " ".join(str(error).split()).partition(": ")[2]
        return _storage_full(repo, said) or HubError(
            f"the Hub takes no large files for {repo}: {said}", AGAIN
        )
    if isinstance(error, json.JSONDecodeError):
        return HubError(f"what answers at {endpoint} is no Hub: it sent no JSON about {repo}", LOGIN_PAGE)
    if isinstance(error, ValueError | LookupError | TypeError | AttributeError):
        return HubError(
            f"what answers at {endpoint} is no Hub, by what it said of {repo}: {_first_line(error)}",
            LOGIN_PAGE,
        )
    return None


def _no_token(error: Exception) -> HubError:
    if isinstance(error, hf.OIDCError):
        return NotAuthorised(
            f"this job has no identity to show: {_first_line(error)}",
            "give it `permissions: id-token: write`, or unset HF_OIDC_RESOURCE and set HF_TOKEN",
        )
    return NotAuthorised(
        f"no Hub token: {_first_line(error)}", "log in: hf auth login; or use --local-hub DIR"
    )


def _storage_full(repo: str, said: str) -> HubError | None:
    if not _STORAGE_FULL.search(said):
        return None
    return HubError(
        f"there is no storage left for {repo}: {said}",
        "delete what is not needed, or see https://huggingface.co/settings/billing",
    )


def _refusal(error: hf.HfHubHTTPError, repo: str) -> HubError:
    status = error.response.status_code
    if isinstance(error, hf.GatedRepoError):
        return NotAuthorised(f"{repo} is gated", f"ask for access at https://huggingface.co/{repo}")
    if isinstance(error, hf.DisabledRepoError):
        return HubError(f"{repo} was disabled by the Hub", "write to its support")
    said = _said(error)
    if status == 400 and error.response.url.path == "/oauth/token":
        return NotAuthorised(
            f"the Hub gives this job no token for {repo}: {said}",
            f"see the Trusted Publishers in the settings of {repo}: issuer, repository, branch and workflow",
        )
    if refuses_token(error) and "is expired" in said:
        return NotAuthorised(f"this token has expired: {said}", f"make a new one at {TOKENS_PAGE}")
    if unseen := _unseen(error, repo):
        return unseen
    if isinstance(error, hf.RevisionNotFoundError):
        return RevisionMissing(f"{repo} has no such revision", "check --revision")
    if isinstance(error, hf.EntryNotFoundError):
        return HubError(f"{repo} has no such file: {error.response.url.path}", "check its id and revision")
    if status in (400, 402, 403, 413) and (full := _storage_full(repo, said)):
        return full
    if status in BY_STATUS:
        kind, message, hint = BY_STATUS[status]
        return kind(message.format(repo=repo, said=said), _PROPOSE if "create_pr=1" in said else hint)
    kind = HubUnreachable if status >= 500 else HubError
    return kind(f"the Hub answered {status} about {repo}: {said}", AGAIN)


def _unseen(error: hf.HfHubHTTPError, repo: str) -> HubError | None:
    """What it means that a repo is not to be seen: missing, hidden, or asked of what is no Hub."""
    answer, asked = error.response, error.response.request.url
    had_token = "Authorization" in answer.request.headers
    if isinstance(error, hf.RepositoryNotFoundError) and not refuses_token(error):
        if had_token:
            hint = "check --repo-id and whose token it is"
            return RepoMissing(f"there is no repo {repo}, or this token cannot see it", hint)
        return RepoMissing(
            f"there is no repo {repo} to be seen without a token", f"check its id, or {_LOG_IN}"
        )
    if answer.status_code == 401 and not had_token:
        return NotAuthorised(f"the Hub asks for a token for {repo}, and none was found", _LOG_IN)
    if answer.status_code == 404 and not _of_a_hub(answer):
        where = f"{asked.scheme}://{asked.netloc.decode()}"
        return HubError(f"what answers at {where} is no Hub: it does not know {asked.path}", LOGIN_PAGE)
    return None


def _of_a_hub(response: httpx2.Response) -> bool:
    """Whether a refusal has any of the marks of a Hub's: its headers, or JSON."""
    kind = response.headers.get("Content-Type", "")
    return "json" in kind or any(
        name.lower().startswith(("x-error-", "x-repo-")) for name in response.headers
    )


def _said(error: hf.HfHubHTTPError) -> str:
    said = error.server_message or error.response.headers.get("X-Error-Message") or "it gave no reason"
    return " ".join(said.split())[:300].rstrip(".")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
