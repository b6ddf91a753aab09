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
from hubkit.localhub.repo import Discussion, Exists, Repo, Stale, Tree, now

PAGE = 50


def _person(name: str) -> dict[str, Any]:
    """A user as the Hub describes one beside what they wrote."""
    marks = dict.fromkeys(("isPro", "isHf", "isHfAdmin", "isMod", "isEnterprise"), False)
    about = {"_id": hashlib.sha1(name.encode()).hexdigest()[:24], "avatarUrl": "/mark.svg"}
    return {"name": name, "fullname": name, "type": "user", **about, **marks}


def event(kind: str, author: str, data: dict[str, Any]) -> dict[str, Any]:
    """Something that happened in a discussion."""
    return {
        "id": uuid.uuid4().hex[:24],
        "type": kind,
        "createdAt": now(),
        "author": _person(author),
        "data": data,
    }


def _comment(author: str, text: str) -> dict[str, Any]:
    latest = {"raw": text, "html": "", "updatedAt": now(), "author": _person(author)}
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
    """A pull request of one commit; its discussion is written last, and makes it visible."""
    with repo.lock:
        head = repo.resolve(base)
        if parent and not head.startswith(parent.lower()):
            raise Stale("A commit has happened since. Please refresh and try again.")
        num = repo.next_number()
        oid = repo.write_commit(change(repo.tree(head)), head, title, message, author)
        repo.write_ref(f"refs/pr/{num}", oid)
        events = [event("commit", author, {"subject": title, "oid": oid})]
        if message:
            events.insert(0, _comment(author, message))
        pull = Discussion(num, title, author, now(), "open", True, base, head, None, events)
        repo.save_discussion(pull)
        return pull


def create(call: Call) -> Response:
    """POST /api/models/ID/discussions; a pull request opened so is a draft until it has a commit."""
    repo, user = call.repo(), call.user(write=True)
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
        "author": _person(found.author),
        "createdAt": found.date,
        "status": found.status,
        "isPullRequest": found.is_pull_request,
        "repo": {"name": repo.id, "type": "model"},
        "numComments": sum(1 for item in found.events if item["type"] == "comment"),
        "numReactionUsers": 0,
        "topReactions": [],
        "pinned": False,
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
            answer["diff"] = "".join(pull_request_diff(repo, found))
    return reply(answer)


def change(call: Call) -> Response:
    """POST /api/models/ID/discussions/NUM/ACTION."""
    repo, user, action = call.repo(), call.user(write=True), call.param("action")
    with repo.lock:
        found = repo.discussion(_number(call))
        if action != "comment" and found.author != user.user:
            call.check_owner(repo.id)
        if action == "comment":
            new, key = _comment(user.user, call.text("comment")), "newMessage"
        elif action == "title":
            new, key = (
                event("title-change", user.user, {"from": found.title, "to": call.text("title")}),
                "newTitle",
            )
            found.title = call.text("title")
        elif action == "status" and call.text("status") in ("open", "closed"):
            found.status = call.text("status")
            new, key = event("status-change", user.user, {"status": found.status}), "newStatus"
        elif action == "merge" and found.is_pull_request:
            call.check_owner(repo.id)
            new, key = merge(repo, found, user.user), "newStatus"
        else:
            raise Refusal(400, f"The local Hub cannot do {action!r} on this discussion")
        found.events.append(new)
        repo.save_discussion(found)
    return reply({key: new})


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
