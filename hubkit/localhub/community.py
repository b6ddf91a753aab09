"""Discussions and pull requests."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from starlette.responses import Response

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub.call import Call, Refusal, count, reply
from hubkit.localhub.history import Changes, changes_between, file_diff
from hubkit.localhub.repo import Discussion, Exists, NotThere, Repo, Tree, now
from hubkit.localhub.tokens import person

PAGE = 50


def event(kind: str, author: str, data: dict[str, Any]) -> dict[str, Any]:
    """Something that happened in a discussion."""
    return {
        "id": uuid.uuid4().hex[:24],
        "type": kind,
        "createdAt": now(),
        "author": person(author),
        "data": data,
    }


def _comment(author: str, text: str) -> dict[str, Any]:
    latest = {"raw": text, "html": "", "updatedAt": now(), "author": person(author)}
    edits = {"edited": False, "hidden": False, "numEdits": 0, "editors": [author], "editorAvatarUrls": []}
    return event("comment", author, {**edits, "latest": latest, "reactions": []})


def open_pull_request(
    repo: Repo,
    base: str,
    change: Callable[[Tree], Tree],
    *,
    title: str,
    message: str,
    author: str,
    parent: str | None = None,
) -> Discussion:
    """A pull request of one commit; its discussion is written last, and makes it visible.

    It starts at `parent` where one is given, and at the head of its base otherwise: a stale parent is no
    conflict yet (huggingface_hub/hf_api.py, create_commit).
    """
    with repo.lock:
        head = repo.resolve(base)
        if parent:
            head = next((c.oid for c in repo.history(head) if c.oid.startswith(parent)), "")
        if not head:
            raise NotThere("revision", f"Invalid rev id: {parent}")
        num = repo.next_number()
        oid = repo.write_commit(change(repo.tree(head)), head, title, message, author)
        repo.write_ref(f"refs/pr/{num}", oid)
        events = [event("commit", author, {"subject": title, "oid": oid})]
        if message:
            events.insert(0, _comment(author, message))
        pull = Discussion(num, title, author, now(), "open", True, base, head, None, events)
        repo.save_discussion(pull)
        return pull


def pull_request_of(repo: Repo, revision: str) -> Discussion | None:
    """The pull request whose reference a revision is, or None."""
    number = count(revision.removeprefix("refs/pr/")) if revision.startswith("refs/pr/") else None
    return next((d for d in repo.discussions() if d.num == number and d.is_pull_request), None)


def writable(call: Call) -> Repo:
    """The repo of a commit; whoever may write somewhere may propose one, and add to what they proposed."""
    user = call.user(write=True)
    if call.flag("create_pr"):
        call.participant(repo := call.repo())
        check_open_to_discussion(repo)
        return repo
    pull = pull_request_of(call.repo(), call.param("rev"))
    if pull is None or pull.author != user.user:
        return call.repo(write=True)
    call.participant(repo := call.repo())
    return repo


def check_open_to_discussion(repo: Repo) -> None:
    """Refuse discussions and pull requests where the owner wants none."""
    if repo.facts.get("discussionsDisabled"):
        raise Refusal(403, "Discussions are disabled for this repo")


def note_commit(repo: Repo, revision: str, title: str, oid: str, author: str) -> None:
    """Tell in a pull request of a commit to its reference."""
    with repo.lock:
        pull = pull_request_of(repo, revision)
        if pull:
            pull.events.append(event("commit", author, {"subject": title, "oid": oid}))
            repo.save_discussion(pull)


def create(call: Call) -> Response:
    """POST /api/models/ID/discussions; a pull request opened so is a draft until it has a commit."""
    repo = call.repo()
    user = call.participant(repo)
    check_open_to_discussion(repo)
    is_pull_request = bool(call.json().get("pullRequest"))
    title, text = call.text("title").strip(), call.text("description", "")
    if not title:
        raise Refusal(400, '"title" is required')
    with repo.lock:
        num, head = repo.next_number(), repo.resolve(DEFAULT_BRANCH)
        found = Discussion(
            num, title, user.user, now(), "draft" if is_pull_request else "open", is_pull_request
        )
        found.fork = head if is_pull_request else None
        found.events = [_comment(user.user, text)] if text else []
        if is_pull_request:
            repo.write_ref(f"refs/pr/{num}", head)
        repo.save_discussion(found)
    url = f"{call.hub.endpoint}/{repo.id}/discussions/{num}"
    return reply({"num": num, "url": url, "pullRequest": is_pull_request})


def _summary(repo: Repo, found: Discussion) -> dict[str, Any]:
    return {
        "num": found.num,
        "title": found.title,
        "author": person(found.author),
        "createdAt": found.date,
        "status": found.status,
        "isPullRequest": found.is_pull_request,
        "repo": {"name": repo.id, "type": "model"},
        "isReport": False,
        "numComments": sum(1 for item in found.events if item["type"] == "comment"),
        "numReactionUsers": 0,
        "topReactions": [],
        "pinned": found.pinned,
    }


def listing(call: Call) -> Response:
    """GET /api/models/ID/discussions."""
    repo = call.repo()
    wanted, author = call.query("type", "all"), call.query("author")
    closed = {"open": ("open", "draft"), "closed": ("closed", "merged")}.get(call.query("status"))
    found = [
        discussion
        for discussion in repo.discussions()
        if wanted not in ("pull_request", "discussion")
        or discussion.is_pull_request == (wanted == "pull_request")
    ]
    found = [d for d in found if (not author or d.author == author) and (not closed or d.status in closed)]
    start = (count(call.query("p")) or 0) * PAGE
    shown = [_summary(repo, d) for d in found[start : start + PAGE]]
    return reply({"discussions": shown, "count": len(found), "start": start})


def _number(call: Call) -> int:
    number = count(call.param("num"))
    if number is None:
        raise Refusal(404, "Discussion not found")
    return number


def details(call: Call) -> Response:
    """GET /api/models/ID/discussions/NUM."""
    repo = call.repo()
    found = repo.discussion(_number(call))
    key = hashlib.sha1(f"{repo.id}#{found.num}".encode()).hexdigest()[:24]
    rest = {"_id": key, "collection": "discussions", "locked": False, "events": found.events}
    answer = _summary(repo, found) | rest
    if found.is_pull_request:
        changes = {"base": f"refs/heads/{found.base}"}
        if found.merged_as:
            changes["mergeCommitId"] = found.merged_as
        answer |= {"changes": changes, "filesWithConflicts": conflicts(repo, found)}
        if call.flag("diff"):
            call.check_content(repo)
            answer["diff"] = "".join(pull_request_diff(repo, found))
    return reply(answer)


def change(call: Call) -> Response:
    """POST /api/models/ID/discussions/NUM/ACTION."""
    repo, action = call.repo(), call.param("action")
    user = call.participant(repo)
    if action not in _ACTIONS:
        raise Refusal(400, f"The local Hub cannot do {action!r} on this discussion")
    with repo.lock:
        found = repo.discussion(_number(call))
        if action == "pin" or (action != "comment" and found.author != user.user):
            call.check_owner(repo.id)
        key, new = _ACTIONS[action](call, repo, found, user.user)
        if action in ("status", "merge") and call.text("comment", ""):
            found.events.append(_comment(user.user, call.text("comment")))
        found.events.append(new)
        repo.save_discussion(found)
    return reply({key: new})


Told = tuple[str, dict[str, Any]]


def _say(call: Call, repo: Repo, found: Discussion, user: str) -> Told:
    if not call.text("comment").strip():
        raise Refusal(400, '"comment" is required')
    return "newMessage", _comment(user, call.text("comment"))


def _rename(call: Call, repo: Repo, found: Discussion, user: str) -> Told:
    before, found.title = found.title, call.text("title").strip()
    if not found.title:
        raise Refusal(400, '"title" is required')
    return "newTitle", event("title-change", user, {"from": before, "to": found.title})


def _set_status(call: Call, repo: Repo, found: Discussion, user: str) -> Told:
    wanted = call.text("status")
    if wanted not in ("open", "closed") or found.status == "merged":
        raise Refusal(400, f"a discussion that is {found.status} cannot become {wanted}")
    found.status = wanted
    return "newStatus", event("status-change", user, {"status": wanted})


def _merge(call: Call, repo: Repo, found: Discussion, user: str) -> Told:
    if not found.is_pull_request:
        raise Refusal(400, "This is not a pull request")
    call.check_owner(repo.id)
    return "newStatus", merge(repo, found, user)


def _pin(call: Call, repo: Repo, found: Discussion, user: str) -> Told:
    found.pinned = call.json().get("pinned") is True
    return "newPinned", event("pinning-change", user, {"pinned": found.pinned})


_ACTIONS: dict[str, Callable[[Call, Repo, Discussion, str], Told]] = {
    "comment": _say,
    "title": _rename,
    "status": _set_status,
    "merge": _merge,
    "pin": _pin,
}


def change_comment(call: Call) -> Response:
    """POST /api/models/ID/discussions/NUM/comment/COMMENT/edit, and the same with hide."""
    repo, action = call.repo(), call.param("action")
    user = call.participant(repo)
    with repo.lock:
        found = repo.discussion(_number(call))
        ours = [e for e in found.events if e["type"] == "comment" and e["id"] == call.param("comment")]
        if not ours or action not in ("edit", "hide"):
            raise Refusal(404, "Comment not found")
        comment = ours[0]
        if comment["author"]["name"] != user.user:
            call.check_owner(repo.id)
        data = comment["data"]
        text = "" if action == "hide" else call.text("content")
        data["latest"] = data["latest"] | {"raw": text, "updatedAt": now(), "author": person(user.user)}
        data |= {"hidden": True} if action == "hide" else {"edited": True, "numEdits": data["numEdits"] + 1}
        repo.save_discussion(found)
    return reply({"updatedComment": comment})


def merge(repo: Repo, pull: Discussion, author: str) -> dict[str, Any]:
    """Apply what a pull request changed to the head of its base, as one commit."""
    if pull.status not in ("open", "draft"):
        raise Exists("The pull request is not open")
    clashing = conflicts(repo, pull)
    if clashing:
        raise Exists(f"The pull request conflicts with {pull.base} in {', '.join(clashing)}")
    changed = pull_request_changes(repo, pull)

    def apply(before: Tree) -> Tree:
        after = {path: file for path, file in before.items() if path not in changed}
        return after | {path: new for path, (_, new) in changed.items() if new}

    pull.merged_as = repo.add_commit(pull.base, apply, title=f"{pull.title} (#{pull.num})", author=author)
    pull.status = "merged"
    return event("status-change", author, {"status": "merged"})


def pull_request_changes(repo: Repo, pull: Discussion) -> Changes:
    """The files that a pull request changes."""
    before = repo.tree(pull.fork) if pull.fork else {}
    return changes_between(before, repo.tree(repo.resolve(f"refs/pr/{pull.num}")))


def conflicts(repo: Repo, pull: Discussion) -> list[str]:
    """The files of an open pull request that its base has changed too, and otherwise."""
    base = repo.read_ref(pull.base)
    if pull.status not in ("open", "draft") or not base or not pull.fork:
        return []
    theirs = changes_between(repo.tree(pull.fork), repo.tree(base))
    ours = pull_request_changes(repo, pull)
    return [path for path in ours if path in theirs and theirs[path] != ours[path]]


def pull_request_diff(repo: Repo, pull: Discussion) -> Iterator[str]:
    """The unified diff of a pull request."""
    for path, (before, after) in pull_request_changes(repo, pull).items():
        yield f"diff --git a/{path} b/{path}\n"
        yield from file_diff(repo, path, before, after)
