"""Where a push goes: to the Hub when there is a token, to a local Hub otherwise, and the latter is said.

The local Hub is started by a function that is handed in (`hubkit.localhub.start`), so that this package does
not depend on it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hubkit import hub_rules
from hubkit.errors import HubError, MissingExtra, NotAuthorised, RepoMissing
from hubkit.hub import Hub, find_token, named_endpoint
from hubkit.publishing import after, jobs, remote_card, revisions, stopping
from hubkit.publishing.options import PushOptions
from hubkit.publishing.plan import check_visibility, full_repo_id

LOCAL_USER = "local"  # the user of a local Hub when none is named
FALLBACK = Path("local-hub")
SERVE_PORT = 8765  # where `hubkit serve` listens


class LocalHub(Protocol):
    """A local Hub that is being served."""

    @property
    def endpoint(self) -> str: ...  # noqa: D102

    @property
    def token(self) -> str: ...  # noqa: D102

    @property
    def user(self) -> str: ...  # noqa: D102

    @property
    def owned(self) -> bool: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


StartLocalHub = Callable[[Path], LocalHub]


@dataclass(frozen=True, kw_only=True)
class Target:
    """An open Hub to publish to. `line` is what the user must be told about the choice."""

    hub: Hub
    local_hub: Path | None = None  # its directory, when it is a local one
    local_user: str | None = None
    stays: bool = True  # whether its address still answers when this process has ended
    line: str | None = None

    def user(self) -> str:
        """The user whom the token belongs to."""
        return self.local_user or jobs.user(self.hub)

    def announce(self, options: PushOptions, say: Callable[[str], None]) -> None:
        """Say, before any work, that a local Hub takes the place of the Hub, where it does."""
        if self.line:
            (options.insist or say)(self.line)

    def check(self, repo_id: str, options: PushOptions) -> None:
        """Find out early, before hours of work, that the push would be refused.

        Raises HubError, and CardError where the card on the Hub is somebody's and may not be replaced.
        """
        branch = revisions.branch(options.revision)
        repo = self.hub.repo(repo_id, branch)
        check_visibility(repo, options.private)
        revisions.check_on_hub(self.hub, repo, branch)
        if options.create_pr:
            if repo is None:
                raise RepoMissing(
                    f"there is no repo {repo_id} to open a pull request at", "publish without --create-pr"
                )
        elif not (options.dry_run or revisions.is_pull_request(branch)):
            self.hub.check_writable(repo_id)
        if repo and (why := after.refusal(self.hub, repo.id, repo.head, options)):
            raise why
        if repo and repo.head and not (options.create_pr or options.force or options.dry_run):
            files = self.hub.files(repo_id, repo.head)
            if no := remote_card.refusal_for_good(self.hub, repo_id, repo.head, files):
                raise no

    @property
    def endpoint(self) -> str:
        """Where the Hub is, or will be once `serve_command` runs."""
        return self.hub.endpoint if self.stays else f"http://127.0.0.1:{SERVE_PORT}"

    def address(self, repo_id: str) -> str:
        """Where a repo's page is, or will be once `serve_command` runs."""
        return f"{self.endpoint}/{repo_id}"

    def how_to_see_private(self, repo_id: str) -> str | None:
        """How the page of a private repo is seen, for a local Hub: until then it looks as if it were not."""
        if self.local_hub is None:
            return None
        token = f"the token in {self.local_hub / 'token'}" if self.local_user else "the token"
        return f"{repo_id} is private; to see it, sign in on its page with {token}"

    @property
    def serve_command(self) -> str | None:
        """The command that shows what was published, for a local Hub that ends with this process."""
        return None if self.stays else f"{program()} serve {shlex.quote(str(self.local_hub))}"


def program() -> str:
    """hubkit as the user can run it: by its name, or by a path where no hubkit is on the PATH."""
    running = Path(sys.argv[0])
    as_module = running.parts[-2:] == ("hubkit", "__main__.py")
    if shutil.which("hubkit") or not (as_module or running.name == "hubkit"):
        return "hubkit"
    path = Path(os.path.abspath(sys.executable if as_module else running))
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    words = str(path) if len(path.parts) > 1 else f"./{path}"
    return shlex.quote(words) + (" -m hubkit" if as_module else "")


@contextlib.contextmanager
def open_target(options: PushOptions, start_local_hub: StartLocalHub) -> Iterator[Target]:
    """Open the Hub that the options ask for: `--local-hub`, else the one at `--endpoint` or HF_ENDPOINT, else
    the real one if there is a token, else the local Hub in ./local-hub, and then `line` says so."""
    options.check()
    if options.token is not None and not options.token.strip():
        raise NotAuthorised(
            "--token is empty; a secret that is not set comes so",
            "set it, or leave --token out to use HF_TOKEN or the token of: hf auth login",
        )
    if options.local_hub is not None and options.endpoint is not None:
        raise HubError("--local-hub and --endpoint name two Hubs", "leave one of them out")
    has_token = bool(options.token) or find_token()
    fallback = options.local_hub is None and not (has_token or options.endpoint or named_endpoint())
    if (fallback or options.local_hub is not None) and options.repo_id:
        _check_local_id(options, asked_for=not fallback)  # before anything is made for it
    if options.local_hub is not None:
        with _local(options.local_hub, options, start_local_hub, None) as target:
            yield target
    elif not fallback:
        hub = Hub(options.endpoint, options.token, progress=options.progress, tell=options.tell)
        if not (has_token or options.dry_run):
            raise NotAuthorised(
                f"publishing to {hub.endpoint} needs a token, and none was found",
                "log in: hf auth login; or give --token",
            )
        target = Target(hub=hub)
        with stopping.told(target.hub):
            yield target
    else:
        doing = "this plans for" if options.dry_run else "publishing to"
        line = f"No Hub token found; {doing} the local Hub in ./{FALLBACK} instead."
        with _local(FALLBACK, options, start_local_hub, line) as target:
            yield target


@contextlib.contextmanager
def _local(directory: Path, options: PushOptions, start: StartLocalHub, line: str | None) -> Iterator[Target]:
    with contextlib.ExitStack() as stack:
        served = directory
        if options.dry_run and not directory.exists():  # a dry run leaves nothing behind
            served = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            started = start(served)
        except MissingExtra as error:
            if line is None:
                raise
            raise MissingExtra(
                f"no Hub token was found, and {error.message}",
                f"log in with: hf auth login; or, for the local Hub: {error.hint}",
            ) from None
        running = stack.enter_context(contextlib.closing(started))
        target = Target(
            hub=Hub(
                running.endpoint, options.token or running.token, progress=options.progress, tell=options.tell
            ),
            local_hub=directory,
            local_user=None if options.token else running.user,
            stays=not running.owned,
            line=line,
        )
        with stopping.told(target.hub):
            yield target


def resolve_repo_id(
    options: PushOptions, target: Target, default_name: str, recorded: str | None = None
) -> str:
    """The full id to publish under, known before the card is written, for its snippet names it.

    That is `--repo-id`, completed with the user of the token; else `recorded`, the id in the record; else, on
    a local Hub only, `default_name` made fit for an id. Elsewhere the user has to say.
    """
    if options.repo_id:
        return full_repo_id(options.repo_id, target.user)
    if recorded and hub_rules.is_repo_id(recorded, namespace=True):
        of_local = recorded.startswith(f"{LOCAL_USER}/")
        if of_local == (target.local_hub is not None):
            return recorded
    if target.local_hub is None:
        raise HubError("no repo to publish to was named", "give --repo-id user/name")
    return f"{target.user()}/{_name(default_name)}"


def _check_local_id(options: PushOptions, asked_for: bool) -> None:
    """A local Hub has one user, and an id of somebody else was meant for the Hub. Raises HubError."""
    repo_id = full_repo_id(options.repo_id or "", lambda: LOCAL_USER)
    owner, _, name = repo_id.rpartition("/")
    if owner == LOCAL_USER or options.token:  # whose token that is, the local Hub knows
        return
    if asked_for:
        raise NotAuthorised(
            f"a local Hub has one user, {LOCAL_USER}, and {repo_id} is not of that user",
            f"--repo-id {LOCAL_USER}/{name}",
        )
    raise NotAuthorised(
        f"publishing to {repo_id} needs a Hub token, and none was found",
        f"log in with: hf auth login; or publish to the local Hub with: --repo-id {LOCAL_USER}/{name}",
    )


def _name(text: str) -> str:
    """The text as the name of a repo: letters, digits and single - _ . between them."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)
    name = re.sub(r"[-.]{2,}", "-", name).strip("-.")[: hub_rules.REPO_NAME_MAX].rstrip("-.")
    return name if hub_rules.is_repo_id(name) else "adapter"
