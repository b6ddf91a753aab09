"""A push from beginning to end: open the target, plan, apply, and say what happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import msgspec

from hubkit import record
from hubkit.publishing import after, checks, revisions
from hubkit.publishing.apply import Published, apply
from hubkit.publishing.contents import CARD_NAME
from hubkit.publishing.draft import Draft, for_repo
from hubkit.publishing.options import PushOptions
from hubkit.publishing.plan import Asked, Prepared, prepare
from hubkit.publishing.planned import Plan
from hubkit.publishing.replanning import differs, replan
from hubkit.publishing.show import show_plan
from hubkit.publishing.target import StartLocalHub, Target, open_target, resolve_repo_id

Say = Callable[[str], None]


def publish(
    directory: Path,
    options: PushOptions,
    start_local_hub: StartLocalHub,
    say: Say,
    default_name: str | None = None,
) -> Published | Plan:
    """Publish an adapter directory; with `dry_run`, only plan it. `say` gets the lines meant for a person."""
    checks.read(directory, choice=options.choice)  # before anything is started or made for it
    recorded = record.read(directory).repo_id
    with open_target(options, start_local_hub) as target:
        target.announce(options, say)
        repo_id = resolve_repo_id(options, target, default_name or directory.resolve().name, recorded)
        return publish_to(target, directory, repo_id, options, say)


def publish_to(
    target: Target,
    directory: Path,
    repo_id: str,
    options: PushOptions,
    say: Say,
    draft: Draft | None = None,
) -> Published | Plan:
    """The same to a target that is open, under an id that is known.

    A card of hubkit's that names another repo, or none, is planned as a draft, which may also be given. It is
    written when the Hub was reached and nothing stands against the push; by a dry run, never.
    """
    draft = draft or for_repo(directory, repo_id)
    asked = _asked(options, watched=options.watched or target.local_hub is not None)
    prepared = prepare(directory, repo_id, target.hub, asked, draft)
    planned = _with_after(target, prepared.plan, options)
    planned = msgspec.structs.replace(planned, without_token=target.hub.anonymous)
    if options.dry_run:
        return _only_shown(target, prepared, planned, options)
    if not planned.refused:
        proposes = options.create_pr or revisions.is_pull_request(options.revision)
        if prepared.overlay.files and not proposes:
            target.hub.check_writable(planned.repo_id)
        if draft:
            say(f"wrote {directory / CARD_NAME} anew for {repo_id}")
        planned = _written(prepared, planned, say)

    def again(old: Plan) -> Plan:
        nonlocal planned
        made = replan(old, target.hub, asked)
        planned = _with_after(target, made.plan, options)
        if not planned.refused:
            if differs(old, planned):
                shown = show_plan(msgspec.structs.replace(planned, card_diff="", merged=None))
                say(f"somebody else committed to {planned.repo_id} meanwhile; the plan is now:\n{shown}")
            planned = _written(made, planned, say)
        return planned

    done = apply(planned, target.hub, again)
    digests = {file.path: file.sha256 for file in planned.pushed}
    done = after.finish(target.hub, done, options, digests, planned.visibility == "private")
    if planned.visibility == "private" and (how := target.how_to_see_private(done.repo_id)):
        done = msgspec.structs.replace(done, notes=[*done.notes, how])
    for note in done.notes:
        say(f"Note: {note}")
    return _to_be_seen(target, done, revisions.branch(options.revision))


def _asked(options: PushOptions, watched: bool) -> Asked:
    """What a plan needs to know of the options; on this machine nothing gets out, as if watched."""
    return Asked(
        revision=options.revision,
        private=options.private,
        create_pr=options.create_pr,
        commit_message=options.commit_message,
        watched=watched,
        force=options.force,
        audit=options.audit,
        choice=options.choice,
        delete=options.delete,
        remember=True,
    )


def _written(prepared: Prepared, planned: Plan, say: Say) -> Plan:
    """The plan, with what it needs written to the directory, and said."""
    original = prepared.overlay.original
    written = prepared.write(planned)
    if planned.merged:
        say(f"{planned.merged}; also in {Path(planned.directory) / CARD_NAME} now")
    if original:
        say(f"lines of {Path(planned.directory) / CARD_NAME} went; what it held before is in {original.name}")
    return written


def _only_shown(target: Target, prepared: Prepared, planned: Plan, options: PushOptions) -> Plan:
    """The plan of a dry run, with what would become of the card in the directory, and of the collection."""
    original = prepared.overlay.original
    note = (
        f"lines of {CARD_NAME} here would go; what it holds now would be kept in {original and original.name}"
    )
    notes = [*planned.notes, *([note] if original else [])]
    private = planned.visibility == "private"
    fate = None if planned.refused else after.forecast(target.hub, options, private)
    return msgspec.structs.replace(planned, endpoint=target.endpoint, notes=notes, collection_fate=fate)


def _to_be_seen(target: Target, done: Published, branch: str) -> Published:
    """The outcome with addresses where a person sees it, also when the local Hub of this process is gone."""
    address = done.address
    if not (done.pull_request or revisions.is_main(branch)):
        number = branch.removeprefix("refs/pr/")
        address += f"/discussions/{number}" if number != branch else f"/tree/{quote(branch, safe='')}"

    def seen(url: str | None) -> str | None:
        return url and url.replace(target.hub.endpoint, target.endpoint, 1)

    return msgspec.structs.replace(
        done,
        address=seen(address) or "",
        pull_request=seen(done.pull_request),
        collection=seen(done.collection),
        serve=target.serve_command,
    )


def _with_after(target: Target, planned: Plan, options: PushOptions) -> Plan:
    """The plan with what comes after the commit, refused where the tag or the collection cannot be had."""
    head = None if planned.creates_repo else planned.head
    planned = msgspec.structs.replace(
        planned, tag=options.tag, collection=options.collection, verify_download=options.verify_download
    )
    why = after.refusal(target.hub, planned.repo_id, head, options, commits=bool(planned.changes))
    if why is None or planned.refused:
        return planned
    return msgspec.structs.replace(planned, refused=why.message, refused_hint=why.hint)
