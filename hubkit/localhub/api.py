"""The endpoints that create repos and tell of them, as huggingface_hub's HfApi calls them."""

from __future__ import annotations

import hashlib
from html import escape
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import Response

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub.call import Call, Refusal, reply
from hubkit.localhub.card import file_entry, parse_card
from hubkit.localhub.history import last_commits
from hubkit.localhub.paging import page_of, page_size
from hubkit.localhub.repo import Commit, NotThere, Repo, Tree, check_ref_name

# huggingface_hub/hf_api.py (list_repo_tree): a page holds 1,000 entries, or 100 with `expand`.
PAGE = 1000
PAGE_EXPANDED = 100
COMMITS_PAGE = 50
COMMITS_PAGE_MAX = 1000


def validate_yaml(call: Call) -> Response:
    """POST /api/validate-yaml."""
    card = parse_card(call.text("content"))
    errors = [{"message": problem} for problem in card.problems]
    warnings = [] if card.has_metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    return reply({"errors": errors, "warnings": warnings}, 400 if errors else 200)


def _named_repo(call: Call) -> str:
    if call.json().get("type", "model") not in ("model", None):
        raise Refusal(400, "The local Hub holds models only")
    return f"{call.json().get('organization') or call.user().user}/{call.text('name')}"


def create_repo(call: Call) -> Response:
    """POST /api/repos/create."""
    user = call.user(write=True)
    repo_id = _named_repo(call)
    call.check_creator(repo_id)
    wanted = call.json()
    if wanted.get("files") or wanted.get("license"):
        raise Refusal(400, "The local Hub creates repos without files: commit them next")
    private = wanted.get("visibility") == "private" or wanted.get("private") is True
    url = f"{call.hub.endpoint}/{repo_id}"
    if any(repo.id == repo_id for repo in call.store.repos()):
        message = "You already created this model repo"
        raise Refusal(409, message, body={"error": message, "url": url})
    repo = call.store.create(repo_id, private=private, author=user.user)
    return reply({"url": url, "name": repo_id, "id": repo.facts["key"]})


def delete_repo(call: Call) -> Response:
    """DELETE /api/repos/delete."""
    repo = call.find_repo(_named_repo(call), write=True)
    call.store.delete(repo.id)
    return reply({})


def move_repo(call: Call) -> Response:
    """POST /api/repos/move."""
    repo = call.find_repo(call.text("fromRepo"), write=True)
    call.check_creator(call.text("toRepo"))
    call.store.move(repo.id, call.text("toRepo"))
    return reply({})


def settings(call: Call) -> Response:
    """PUT /api/models/ID/settings."""
    repo = call.repo(write=True)
    wanted = {key: value for key, value in call.json().items() if value is not None}
    if "visibility" in wanted:
        wanted["private"] = _one_of(wanted, "visibility", ("public", "private")) == "private"
    facts = {
        key: _one_of(wanted, key, allowed)
        for key, allowed in (
            ("private", (True, False)),
            ("gated", ("auto", "manual", False)),
            ("discussionsDisabled", (True, False)),
        )
        if key in wanted
    }
    repo.update(**facts)
    told = ("private", "gated", "discussionsDisabled")
    return reply({key: repo.facts.get(key, False) for key in told})


def _one_of(wanted: dict[str, Any], key: str, allowed: tuple[object, ...]) -> Any:
    """A setting that knows a few values; true and 1 are two of them."""
    value = wanted[key]
    if not any(value is known or (isinstance(value, str) and value == known) for known in allowed):
        raise Refusal(400, f'"{key}" must be one of {", ".join(map(repr, allowed))}, not {value!r}')
    return value


def auth_check(call: Call) -> Response:
    """GET /api/models/ID/auth-check, and the same with /write."""
    call.check_content(call.repo(write=call.request.url.path.endswith("/write")))
    return reply({})


def _folders(tree: Tree) -> dict[str, str]:
    """Every folder of a tree with an id that changes whenever something below it does."""
    below: dict[str, list[str]] = {}
    for path, file in tree.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            below.setdefault("/".join(parts[:depth]), []).append(f"{path} {file.oid}")
    return {folder: hashlib.sha1("\n".join(lines).encode()).hexdigest() for folder, lines in below.items()}


def _entries(
    repo: Repo, oid: str, paths: set[str] | None = None, *, expand: bool = False
) -> list[dict[str, Any]]:
    """Files and folders of a commit, all or those named."""
    tree = repo.tree(oid)
    entries: list[dict[str, Any]] = [
        {"type": "directory", "oid": sha1, "size": 0, "path": path} for path, sha1 in _folders(tree).items()
    ]
    entries += [file_entry(path, file) for path, file in tree.items()]
    entries = [entry for entry in entries if paths is None or entry["path"] in paths]
    if expand:
        touched = last_commits(repo, oid, [str(entry["path"]) for entry in entries])
        for entry in entries:
            last = touched[entry["path"]]
            entry["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
    return sorted(entries, key=lambda entry: str(entry["path"]))


def tree(call: Call) -> Response:
    """GET /api/models/ID/tree/REV/PATH."""
    repo = call.repo()
    oid, folder = call.oid(repo), call.param("path").strip("/")
    entries = _entries(repo, oid)
    prefix = f"{folder}/" if folder else ""
    inside = [entry for entry in entries if entry["path"].startswith(prefix)]
    if folder and not inside:
        raise NotThere("entry", f"{folder} does not exist at this revision")
    if not call.flag("recursive"):
        inside = [entry for entry in inside if "/" not in entry["path"][len(prefix) :]]
    if call.flag("expand"):
        inside = _entries(repo, oid, {entry["path"] for entry in inside}, expand=True)
    most = PAGE_EXPANDED if call.flag("expand") else PAGE
    return page_of(call, inside, page_size(call, most, most))


def paths_info(call: Call) -> Response:
    """POST /api/models/ID/paths-info/REV, with a form or with JSON."""
    repo = call.repo()
    if call.request.headers.get("content-type", "").startswith("application/json"):
        paths = call.json().get("paths", [])
        paths = [paths] if isinstance(paths, str) else paths
        if not isinstance(paths, list):
            raise Refusal(400, '"paths" must be a list of paths')
        form = {"paths": paths, "expand": [str(call.json().get("expand", False))]}
    else:
        form = parse_qs(call.body.decode("utf-8", "replace"))
    wanted = {str(path).strip("/") for path in form.get("paths", [])}
    expand = form.get("expand", [""])[0].lower() == "true"
    return reply(_entries(repo, call.oid(repo), wanted, expand=expand))


def refs(call: Call) -> Response:
    """GET /api/models/ID/refs."""
    repo = call.repo()
    numbers = {str(discussion.num) for discussion in repo.discussions()}

    def listed(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": oid} for n, oid in names.items()]

    answer = {
        "branches": listed("heads", repo.refs("heads")),
        "tags": listed("tags", repo.refs("tags")),
        "converts": [],
    }
    if call.flag("include_prs"):
        found = {n: oid for n, oid in repo.refs("pr").items() if n in numbers}
        answer["pullRequests"] = [item | {"name": f"pr/{item['name']}"} for item in listed("pr", found)]
    return reply(answer)


def commits(call: Call) -> Response:
    """GET /api/models/ID/commits/REV."""
    repo = call.repo()
    params = call.request.query_params
    formatted = "formatted" in {*params.getlist("expand"), *params.getlist("expand[]")}
    listed = [_commit(found, formatted) for found in repo.history(call.oid(repo))]
    return page_of(call, listed, page_size(call, COMMITS_PAGE, COMMITS_PAGE_MAX))


def _commit(found: Commit, formatted: bool) -> dict[str, Any]:
    """A commit of the list; `formatted` adds its texts as HTML, which is their escaped form here."""
    authors = [{"user": found.author, "avatar": "/mark.svg"}]
    told: dict[str, Any] = {
        "id": found.oid,
        "title": found.title,
        "message": found.message,
        "date": found.date,
    }
    if formatted:
        told["formatted"] = {"title": escape(found.title), "message": escape(found.message)}
    return {**told, "authors": authors}


def create_branch(call: Call) -> Response:
    """POST /api/models/ID/branch/NAME."""
    repo, name = call.repo(write=True), check_ref_name(call.param("branch"))
    wanted = call.json()
    with repo.lock:
        if repo.read_ref(name) and not (wanted.get("overwrite") is True and name != DEFAULT_BRANCH):
            raise Refusal(409, f"Reference already exists: refs/heads/{name}")
        if wanted.get("emptyBranch") is True:
            head = repo.write_commit({}, None, "Initialize branch", "", call.user().user)
        else:
            head = repo.resolve(call.text("startingPoint", DEFAULT_BRANCH))
        repo.write_ref(name, head)
    return reply({}, 201)


def delete_branch(call: Call) -> Response:
    """DELETE /api/models/ID/branch/NAME."""
    repo, name = call.repo(write=True), check_ref_name(call.param("branch"))
    if name == DEFAULT_BRANCH:
        raise Refusal(403, "Cannot delete the default branch")
    with repo.lock:
        repo.remove_ref(name)
    return reply({})


def create_tag(call: Call) -> Response:
    """POST /api/models/ID/tag/REV."""
    repo, name = call.repo(write=True), check_ref_name(call.text("tag"))
    with repo.lock:
        if repo.read_ref(f"refs/tags/{name}"):
            raise Refusal(409, f"Tag reference exists already: refs/tags/{name}")
        repo.write_ref(f"refs/tags/{name}", call.oid(repo))
    return reply({}, 201)


def delete_tag(call: Call) -> Response:
    """DELETE /api/models/ID/tag/NAME."""
    repo, name = call.repo(write=True), check_ref_name(call.param("rev"))
    with repo.lock:
        repo.remove_ref(f"refs/tags/{name}")
    return reply({})


def squash(call: Call) -> Response:
    """POST /api/models/ID/super-squash/BRANCH: one commit with the same files and no history."""
    repo, branch = call.repo(write=True), check_ref_name(call.param("rev"))
    with repo.lock:
        head = repo.read_ref(branch)
        if head is None and repo.read_ref(f"refs/tags/{branch}"):
            raise Refusal(400, "Invalid reference for a branch: the history of a tag cannot be squashed")
        if head is None:
            raise NotThere("revision", f"Invalid rev id: {branch}")
        title = call.text("message", "") or f"Super-squash branch '{branch}'"
        oid = repo.write_commit(repo.tree(head), None, title, "", call.user().user)
        repo.write_ref(branch, oid)
    return reply({"commitId": oid})
