"""The one room that talks to the Hub: HfApi with time limits, retries, and errors as one line.

A `Hub` is handed an endpoint and a token. With no token, huggingface_hub finds one itself (HF_OIDC_RESOURCE,
HF_TOKEN, the file of `hf auth login`). huggingface_hub is imported when a Hub is made, not with this module.

Everything here may safely be done twice, so it is repeated when the Hub stumbles (hub_client.py). What may
not, making a commit, is in hub_commit.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit import __version__, hub_rules
from hubkit.errors import HubError, HubUnreachable, NotAuthorised

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

    from hubkit.hub_client import Patience

THE_HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a commit: its git blob id, its size, and its SHA-256 when it is stored by LFS or Xet."""

    oid: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to push: where it lies and where it goes; `oid` is its git blob id (small files only)."""

    path: str
    source: Path
    size: int
    sha256: str
    oid: str | None = None
    modified_ns: int = 0  # when it was hashed

    def equals(self, remote: RemoteFile | None) -> bool:
        """Whether the Hub holds these bytes under this path."""
        if remote is None:
            return False
        return remote.sha256 == self.sha256 if remote.sha256 else remote.oid == self.oid


@dataclass(slots=True)
class Outcome:
    """What is known of a push while it is under way, for when it is interrupted."""

    created: str | None = None  # a repo that was made for it
    landed: str | None = None  # its commit, or the address of its pull request
    sent: int = 0  # bytes of files that went over the wire
    in_doubt: str = ""  # what is known of a commit that was sent and never answered


@dataclass(frozen=True, slots=True)
class Repo:
    """A model repo: its id (the new one, when it was renamed), visibility, and the head of a revision."""

    id: str
    private: bool
    head: str | None  # None: the repo has no such revision


def named_endpoint() -> str | None:
    """The Hub that HF_ENDPOINT names, where that is another than the one of all."""
    named = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/")
    return named if named and named != THE_HUB else None


def find_token() -> bool:
    """Whether a Hub token is at hand: a Trusted Publisher, HF_TOKEN, or the file of `hf auth login`."""
    if os.environ.get("HF_OIDC_RESOURCE"):
        return True  # the exchange itself is left to the first call
    from huggingface_hub import get_token

    return get_token() is not None


class Hub:
    """The Hub at an endpoint, seen with a token."""

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        patience: Patience | None = None,
        progress: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """`tell` gets the line that the Hub is slow to answer, once for each such line."""
        from huggingface_hub import HfApi

        from hubkit import hub_client

        hub_client.install()
        self.patience = patience or hub_client.Patience(tell=hub_client.once(tell))
        self.progress = progress  # whether uploads may draw bars on stderr
        self.outcome = Outcome()
        self._token = token.strip() if token else None
        self._messages: dict[tuple[str, str], dict[str, str]] = {}
        self.api: HfApi = HfApi(
            (endpoint or "").strip().rstrip("/") or named_endpoint(),
            self._token,
            library_name="hubkit",
            library_version=__version__,
        )

    @property
    def anonymous(self) -> bool:
        """Whether no token goes along: then a private repo looks as if it were not there."""
        return not (self._token or find_token())

    @property
    def of_those_seen(self) -> str:
        """Which repos are meant where one is not there: what is private shows to some tokens only."""
        return "to be seen without a token" if self.anonymous else "that this token can see"

    @property
    def endpoint(self) -> str:
        """The address of this Hub, without a slash at the end."""
        return self.api.endpoint

    def user(self) -> str:
        """The name of the user that the token belongs to."""
        with self.calling("this user"):
            return str(self.api.whoami()["name"])

    def check_writable(self, repo_id: str) -> None:
        """See that the token may write to a repo, or create it. Raises NotAuthorised."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        from hubkit.hub_answers import refuses_token, why_not_create

        with self.calling(repo_id):
            try:
                self.api.auth_check(repo_id, write=True)
                return
            except GatedRepoError:
                raise
            except RepositoryNotFoundError as error:
                if refuses_token(error):
                    raise
                if os.environ.get("HF_OIDC_RESOURCE"):
                    return  # the token of a Trusted Publisher is no user's; the push will tell
                account = self.api.whoami()
        if why := why_not_create(account, repo_id):
            raise NotAuthorised(
                f"this token may not create {repo_id}: {why}",
                "make one that may at https://huggingface.co/settings/tokens, or choose another --repo-id",
            )

    def repo(self, repo_id: str, revision: str = hub_rules.DEFAULT_BRANCH) -> Repo | None:
        """A model repo and the head of one of its revisions; None when there is none to be seen."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        from hubkit.hub_answers import refuses_token

        with self.calling(repo_id):
            try:
                try:
                    info = self.api.model_info(repo_id, revision=revision)
                    return Repo(info.id, bool(info.private), info.sha)
                except RevisionNotFoundError:
                    info = self.api.model_info(repo_id)
                    return Repo(info.id, bool(info.private), None)
            except GatedRepoError:
                raise
            except RepositoryNotFoundError as error:
                if refuses_token(error):
                    raise
                return None

    def files(self, repo_id: str, commit: str) -> dict[str, RemoteFile]:
        """The files of a commit, by path."""
        from huggingface_hub.hf_api import RepoFile

        with self.calling(repo_id):
            tree = list(self.api.list_repo_tree(repo_id, recursive=True, revision=commit))
        return {
            entry.path: RemoteFile(entry.blob_id, entry.size, entry.lfs.sha256 if entry.lfs else None)
            for entry in tree
            if isinstance(entry, RepoFile)
        }

    def messages(self, repo_id: str, commit: str) -> dict[str, str]:
        """The commits up to this one, the newest first, and what each says below its title."""
        if (repo_id, commit) not in self._messages:  # what a commit comes from never changes
            with self.calling(repo_id):
                made = self.api.list_repo_commits(repo_id, revision=commit)
            self._messages[repo_id, commit] = {one.commit_id: one.message for one in made}
        return self._messages[repo_id, commit]

    def last_commits(self, repo_id: str, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """For files of a commit, the commit that last changed each."""
        from huggingface_hub.hf_api import RepoFile

        with self.calling(repo_id):
            found = self.api.get_paths_info(repo_id, list(paths), revision=commit, expand=True)
        return {
            entry.path: entry.last_commit.oid
            for entry in found
            if isinstance(entry, RepoFile) and entry.last_commit
        }

    def read(self, repo_id: str, path: str, commit: str) -> bytes:
        """The bytes of a small file at a commit, as the Hub serves them."""
        from huggingface_hub import hf_hub_url, hf_raise_for_status

        url = hf_hub_url(repo_id, path, revision=commit, endpoint=self.endpoint)
        response = self.request(repo_id, "GET", url)
        with self.calling(repo_id):
            hf_raise_for_status(response)
        return response.content

    def read_range(self, repo_id: str, path: str, commit: str, start: int, end: int) -> bytes:
        """Some bytes of a file at a commit: from `start` up to, and without, `end`."""
        from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
        from huggingface_hub.utils._headers import build_hf_headers

        url = hf_hub_url(repo_id, path, revision=commit, endpoint=self.endpoint)
        with self.calling(repo_id):
            headers = build_hf_headers(token=self._token, library_name="hubkit", library_version=__version__)
            headers["Range"] = f"bytes={start}-{end - 1}"
            with get_session().stream("GET", url, headers=headers) as response:
                hf_raise_for_status(response)
                if response.status_code != 206 and start:
                    raise HubError(f"{self.endpoint} gives no part of {path}", "use a downloaded copy")
                content = b""
                for chunk in response.iter_bytes():  # a server may ignore the range and send all
                    content += chunk
                    if len(content) >= end - start:
                        break
        return content[: end - start]

    def validate_card(self, repo_id: str, card: str) -> list[str]:
        """What the Hub warns about in a card. Raises HubError when it would refuse it."""
        content = {"content": card, "repoType": "model"}
        response = self.request(repo_id, "POST", f"{self.endpoint}/api/validate-yaml", content)
        with self.calling(repo_id):
            answer = response.json()
            problems = [str(error["message"]) for error in answer.get("errors", [])]
            warnings = [str(warning["message"]) for warning in answer.get("warnings", [])]
        if problems:
            raise HubError(f"the Hub refuses the card: {'; '.join(problems)}", "hubkit card --adapter DIR")
        return warnings

    def request(self, repo_id: str, method: str, url: str, content: object = None) -> httpx2.Response:
        """The answer to one request with our token, whatever its status."""
        from huggingface_hub import get_session
        from huggingface_hub.utils._headers import build_hf_headers

        with self.calling(repo_id):
            headers = build_hf_headers(token=self._token, library_name="hubkit", library_version=__version__)
            return get_session().request(method, url, headers=headers, json=content)

    def download(self, repo_id: str, path: str, revision: str | None = None) -> Path:
        """A file of a model repo in huggingface_hub's cache, fetched if need be."""
        # Without `patient`: huggingface_hub repeats downloads itself, and has the cache to fall back to.
        with self._errors(repo_id):
            return Path(self.api.hf_hub_download(repo_id, path, revision=revision))

    def create_repo(self, repo_id: str, private: bool | None) -> None:
        """Create a model repo; one that is there already is left as it is. `None`: the Hub's default."""
        try:
            with self.calling(repo_id):
                self.api.create_repo(repo_id, private=private, repo_type="model", exist_ok=True)
        except HubUnreachable as error:
            with contextlib.suppress(HubError):
                if self.repo(repo_id):  # the answers were lost, and not the work
                    self.outcome.created = repo_id
                    return
            raise error from None
        self.outcome.created = repo_id

    def create_branch(self, repo_id: str, branch: str, start: str) -> None:
        """Create a branch at a commit; one that is there already is left as it is."""
        with self.calling(repo_id):
            self.api.create_branch(repo_id, branch=branch, revision=start, exist_ok=True)

    @contextlib.contextmanager
    def calling(self, repo: str) -> Iterator[None]:
        """A call to the Hub: patient, and with its errors explained."""
        from hubkit.hub_client import patient

        with patient(self.patience), self._errors(repo):
            yield

    @contextlib.contextmanager
    def _errors(self, repo: str) -> Iterator[None]:
        from hubkit.hub_answers import explain, shows_token

        try:
            yield
        except HubError:
            raise
        except Exception as caught:
            error = caught
            if isinstance(caught, RuntimeError) and isinstance(caught.__cause__, Exception):
                error = caught.__cause__  # a failed upload by LFS comes wrapped in a RuntimeError
            if isinstance(error, HubError):
                raise error from None
            known = explain(error, repo, self._token, self.endpoint)
            if known is None:
                raise
            raise known from (None if shows_token(caught, self._token) else error)
