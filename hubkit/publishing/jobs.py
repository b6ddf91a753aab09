"""Jobs of CI that publish without a stored secret (Trusted Publishers): their token is no user's.

It writes to one repo for an hour. So that a job finds the pull request that an earlier run of it opened, the
first commit of that carries a mark of the workflow; whose it is, nobody reads in it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from hubkit import hub_rules
from hubkit.errors import NotAuthorised
from hubkit.hub import Hub
from hubkit.publishing import traces

# What names a workflow: of GitHub's https://docs.github.com/en/actions/reference/workflows-and-actions/variables,
# of GitLab's https://docs.gitlab.com/ci/variables/predefined_variables/. A reference after an @ does not.
_WORKFLOW = (("GITHUB_REPOSITORY", "GITHUB_WORKFLOW_REF"), ("CI_PROJECT_PATH", "CI_JOB_NAME"))
INSTEAD = "unset HF_OIDC_RESOURCE and set HF_TOKEN"


def resource(hub: Hub) -> str | None:
    """The repo that the token of a Trusted Publisher is for; None where another token is in use."""
    named = os.environ.get("HF_OIDC_RESOURCE", "")
    return named if "/" in named and hub.api.token is None else None


def mark(environment: Mapping[str, str] = os.environ) -> str | None:
    """A digest of the workflow that runs here; None where that is not known."""
    for names in _WORKFLOW:
        values = [environment.get(name, "").partition("@")[0] for name in names]
        if all(values):
            return hashlib.sha256("\n".join(values).encode()).hexdigest()[:16]
    return None


def signed(hub: Hub, description: str) -> str:
    """The description of a commit that opens a pull request, with the mark of the job that opens it."""
    found = mark() if resource(hub) else None
    return f"{description}{traces.OF_JOB}{found}" if found else description


def could_be_ours(author: str) -> bool:
    """Whether the Hub names a Trusted Publisher so: as no user can be named ("[OIDC]")."""
    return not hub_rules.is_repo_id(author)


def user(hub: Hub) -> str:
    """The user of the token, who completes an id. Raises NotAuthorised with a word for CI in a job."""
    if known := resource(hub):
        raise NotAuthorised(
            f"the token of a Trusted Publisher is no user's, who could complete an id: it is for {known}",
            f"give --repo-id {known}",
        )
    return hub.user()
