"""What is done when the commit is there: it is loaded and looked at, tagged, its repo put into a collection.

Each may be done twice, so that running the same command again does what is missing. What would be refused is
found before anything is pushed, as far as the Hub can tell by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from hubkit import hub_collections as collections
from hubkit.errors import CheckFailed, HubError, NotAuthorised
from hubkit.hub import Hub
from hubkit.hub_refs import create_tag, refs
from hubkit.publishing import download, jobs, proposals
from hubkit.publishing.apply import Published
from hubkit.publishing.options import PushOptions

_OTHER = "choose another --collection; a title makes a new one"
AGAIN = "run the same command again: nothing is pushed twice, and what is missing is done"


def refusal(
    hub: Hub, repo_id: str, head: str | None, options: PushOptions, *, commits: bool = False
) -> HubError | None:
    """Why the tag or the collection could not be had after a push, if it is known before it.

    `head` is what the revision of the repo is at, if it is there; `commits`: whether a commit will be made.
    """
    if options.tag and head and (why := _tag_taken(hub, repo_id, head, options.tag, commits)):
        return why
    if options.collection and (repo := jobs.resource(hub)):
        return NotAuthorised(
            f"the token of a Trusted Publisher writes to {repo} alone, and to no collection",
            f"leave --collection out, or {jobs.INSTEAD}",
        )
    if options.collection and collections.SLUG.fullmatch(options.collection):
        return _no_such_collection(hub, options.collection)
    return None


def forecast(hub: Hub, options: PushOptions, private: bool) -> str | None:
    """What would become of the collection that was named, for a dry run; None where that is not known."""
    name = options.collection
    if name is None or collections.SLUG.fullmatch(name):
        return name and "exists"
    try:
        found = collections.find(hub, name, hub.user())
    except HubError:  # without a token nobody's collections can be looked through
        return None
    return f"exists: {found.url}" if found else f"would be created, {'private' if private else 'public'}"


def finish(
    hub: Hub, done: Published, options: PushOptions, digests: Mapping[str, str], private: bool
) -> Published:
    """Do what was asked for after the push. Raises CheckFailed or HubError, which say what stands."""
    done = _with_conflicts(hub, done)
    if options.verify_download:
        done = msgspec.structs.replace(done, verified=_verified(hub, done, digests))
    missing: list[tuple[str, HubError]] = []

    def attempt(what: str, done: Published, work: Callable[[], Published]) -> Published:
        try:
            return work()
        except HubError as error:
            missing.append((what, error))
            return done

    if tag := options.tag:
        done = attempt(f"the tag {tag}", done, lambda: _tag(hub, done, tag))
    if name := options.collection:
        what = f"its place in the collection {name!r}"
        done = attempt(what, done, lambda: _collect(hub, done, name, private))
    if missing:
        what, first = " and ".join(what for what, _ in missing), missing[0][1]
        hint = f"{first.hint}; then {AGAIN}" if first.hint else AGAIN
        verb = "are" if len(missing) > 1 else "is"
        raise type(first)(f"{_landed(done)}, but {what} {verb} missing: {first.message}", hint)
    return done


def _with_conflicts(hub: Hub, done: Published) -> Published:
    """The outcome, with a word on a pull request that cannot be merged as it is."""
    if done.pull_request is None:
        return done
    number = int(done.pull_request.rpartition("/")[2])
    try:
        notes = proposals.conflict_note(proposals.look(hub, done.repo_id, number))
    except HubError as error:  # what was asked for is done
        notes = (f"whether {done.pull_request} can be merged as it is, is not known: {error.message}",)
    new = [note for note in notes if note not in done.notes]  # the plan may have said it
    return msgspec.structs.replace(done, notes=[*done.notes, *new])


def _landed(done: Published) -> str:
    """What stands, whatever comes after it."""
    if done.pull_request:
        return f"{done.pull_request} holds commit {done.commit[:12]}"
    how = "holds" if done.nothing_to_do else "was published:"
    return f"{done.repo_id} {how} commit {done.commit[:12]}"


def _verified(hub: Hub, done: Published, digests: Mapping[str, str]) -> str:
    try:
        return download.verify(hub, done.repo_id, done.commit, digests)
    except CheckFailed as error:
        raise CheckFailed(
            f"{_landed(done)}, but {error.message}",
            f"hubkit publish --revert --repo-id {done.repo_id} takes it back",
        ) from error
    except HubError as error:
        raise type(error)(f"{_landed(done)}, but it was not verified: {error.message}", AGAIN) from error


def _tag_taken(hub: Hub, repo_id: str, head: str, tag: str, commits: bool) -> HubError | None:
    """A tag is never moved: who asked for it yesterday must get the same today."""
    there = refs(hub, repo_id).tags.get(tag)
    if there is None or (there == head and not commits):
        return None
    other = "this push makes another" if commits else "the head is another"
    return HubError(
        f"the tag {tag} of {repo_id} is at commit {there[:12]}, and {other}",
        f"choose another --tag, or remove it there: hf repos tag delete {repo_id} {tag}",
    )


def _tag(hub: Hub, done: Published, tag: str) -> Published:
    new = create_tag(hub, done.repo_id, tag, done.commit)
    return msgspec.structs.replace(done, tag=tag, had_tag=not new)


def _no_such_collection(hub: Hub, slug: str) -> HubError | None:
    if collections.find(hub, slug, "") is None:
        return HubError(
            f"there is no collection {slug}, or this token cannot see it",
            "check its slug; a title makes a new one",
        )
    owner = slug.partition("/")[0]
    if owner not in collections.owners(hub):
        return NotAuthorised(f"the collection {slug} is of {owner}, not of this token's user", _OTHER)
    return None


def _collect(hub: Hub, done: Published, name: str, private: bool) -> Published:
    """Put the repo into a collection, made for it where there is none of this title."""
    owner = "" if collections.SLUG.fullmatch(name) else hub.user()
    found = collections.find(hub, name, owner)
    if found is None and not owner:
        raise HubError(f"there is no collection {name}, or this token cannot see it", "check its slug")
    found = found or collections.create(hub, name, owner, private)
    new = collections.add(hub, found, done.repo_id)
    return msgspec.structs.replace(done, collection=found.url, had_collection=not new)
