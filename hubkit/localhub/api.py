"""The endpoints that create repos and tell of them, as huggingface_hub's HfApi calls them."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.responses import Response

from hubkit.localhub.call import Call, Refusal, count, reply
from hubkit.localhub.card import file_entry, model_info, parse_card
from hubkit.localhub.history import last_commits
from hubkit.localhub.repo import NotThere, Repo, Tree, check_ref_name, now

PAGE = 1000
LIST_PAGE = 100
COMMITS_PAGE = 50


def whoami(call: Call) -> Response:
    """GET /api/whoami-v2."""
    token = call.user()
    orgs = [
        {"type": "org", "name": name, "fullname": name, "roleInOrg": "write"} for name in token.organizations
    ]
    access = {"displayName": "local", "role": token.role, "createdAt": now()}
    return reply(
        {
            "type": "user",
            "id": hashlib.sha1(token.user.encode()).hexdigest()[:24],
            "name": token.user,
            "fullname": token.user,
            "isPro": False,
            "avatarUrl": "/mark.svg",
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": access},
        }
    )


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
    call.check_owner(repo_id)
    private = call.json().get("visibility") == "private" or bool(call.json().get("private"))
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
    call.check_owner(call.text("toRepo"))
    call.store.move(repo.id, call.text("toRepo"))
    return reply({})


def settings(call: Call) -> Response:
    """PUT /api/models/ID/settings."""
    repo = call.repo(write=True)
    wanted = call.json()
    if "visibility" in wanted or "private" in wanted:
        repo.update(private=wanted.get("visibility") == "private" or wanted.get("private") is True)
    if wanted.get("gated") in ("auto", "manual", False):
        repo.update(gated=wanted["gated"])
    return reply({"private": repo.private, "gated": repo.facts["gated"]})


def auth_check(call: Call) -> Response:
    """GET /api/models/ID/auth-check, and the same with /write."""
    call.repo(write=call.request.url.path.endswith("/write"))
    return reply({})


def info(call: Call) -> Response:
    """GET /api/models/ID, and at a revision."""
    repo = call.repo()
    oid = repo.resolve(call.param("rev") or "main")
    return reply(model_info(repo, oid, blobs=call.flag("blobs")))


def list_models(call: Call) -> Response:
    """GET /api/models."""
    params = call.request.query_params
    filters = [part for value in params.getlist("filter") for part in value.split(",")]
    found = [model_info(repo, repo.resolve("main")) for repo in call.store.repos() if call.sees(repo)]
    found = [model for model in found if _matches(model, call, filters)]
    key = {"lastModified": "lastModified", "createdAt": "createdAt"}.get(call.query("sort"))
    if key:
        found.sort(key=lambda model: str(model[key]), reverse=call.query("direction", "-1") != "1")
    size = min(_number(call.query("limit"), PAGE), LIST_PAGE)
    hidden = (
        () if call.flag("full") or params.getlist("expand") else ("siblings", "sha", "usedStorage", "config")
    )
    shown = [{k: v for k, v in model.items() if k not in hidden} for model in found]
    if not (call.flag("cardData") or params.getlist("expand")):
        shown = [{k: v for k, v in model.items() if k not in ("cardData", "model-index")} for model in shown]
    return _page(call, shown, size)


def _matches(model: dict[str, Any], call: Call, filters: list[str]) -> bool:
    marks = {*model["tags"], model.get("pipeline_tag"), model.get("library_name")}
    return (
        all(wanted in marks for wanted in filters)
        and all(
            call.query(key, str(model.get(key))) == str(model.get(key)) for key in ("author", "pipeline_tag")
        )
        and call.query("search").lower() in model["id"].lower()
    )


def _number(text: str, default: int) -> int:
    return count(text) or default


def _page(call: Call, items: list[Any], size: int) -> Response:
    """One page of a list; the address of the next one goes where the client looks for it."""
    start = _number(call.query("cursor"), 0)
    headers = {"X-Total-Count": str(len(items))}
    if start + size < len(items):
        query = [(k, v) for k, v in call.request.query_params.multi_items() if k != "cursor"]
        address = f"{call.hub.endpoint}{call.request.scope['path']}"
        headers["Link"] = f'<{address}?{urlencode([*query, ("cursor", str(start + size))])}>; rel="next"'
    return reply(items[start : start + size], headers=headers)


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
    return _page(call, inside, _number(call.query("limit"), PAGE))


def paths_info(call: Call) -> Response:
    """POST /api/models/ID/paths-info/REV, with a form or with JSON."""
    repo = call.repo()
    if call.request.headers.get("content-type", "").startswith("application/json"):
        form = {"paths": call.json().get("paths", []), "expand": [str(call.json().get("expand", False))]}
    else:
        form = parse_qs(call.body.decode("utf-8", "replace"))
    paths = {str(path).strip("/") for path in form.get("paths", [])}
    expand = form.get("expand", [""])[0].lower() == "true"
    return reply(_entries(repo, call.oid(repo), paths, expand=expand))


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
    listed = [
        {"id": c.oid, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": c.author}]}
        for c in repo.history(call.oid(repo))
    ]
    return _page(call, listed, _number(call.query("limit"), COMMITS_PAGE))


def create_branch(call: Call) -> Response:
    """POST /api/models/ID/branch/NAME."""
    repo, name = call.repo(write=True), check_ref_name(call.param("branch"))
    with repo.lock:
        if repo.read_ref(name):
            raise Refusal(409, f"Reference already exists: refs/heads/{name}")
        repo.write_ref(name, repo.resolve(call.text("startingPoint", "main")))
    return reply({}, 201)


def delete_branch(call: Call) -> Response:
    """DELETE /api/models/ID/branch/NAME."""
    repo, name = call.repo(write=True), check_ref_name(call.param("branch"))
    if name == "main":
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
    repo, branch = call.repo(write=True), check_ref_name(call.param("branch"))
    with repo.lock:
        files = repo.tree(repo.resolve(branch))
        repo.write_ref(branch, repo.write_commit(files, None, call.text("message"), "", call.user().user))
    return reply({})
