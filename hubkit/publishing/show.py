"""A plan and its outcome as text for a person."""

from __future__ import annotations

from typing import Any

import msgspec

from hubkit.hub_sending import size
from hubkit.publishing.apply import Published
from hubkit.publishing.planned import Plan
from hubkit.publishing.revert import PutBack, Reversal, Reverted

MARKS = {"added": "+", "changed": "~", "unchanged": "=", "removed": "-"}


def show_plan(plan: Plan) -> str:
    """What a push would do, with the diff of the card."""
    where = f"{plan.endpoint}/{plan.repo_id}"
    fate = "would be created" if plan.creates_repo else f"exists, at {(plan.head or '')[:12]}"
    if plan.creates_repo and plan.without_token:
        fate += "; as seen without a token, to which a private one does not show"
    lines = [f"Repo      {where} ({plan.visibility}; {fate})"]
    branch = f"{plan.revision} (would be created)" if plan.creates_branch else plan.revision
    by = f", by {plan.pull_request}" if plan.pull_request else ", by a pull request" if plan.create_pr else ""
    lines.append(f"Revision  {branch}{by}")
    lines.append(f"Commit    {plan.title if plan.changes else 'none: the Hub holds all of it already'}")
    lines += [f"  {MARKS[file.change]} {file.path}  {size(file.size)}  {file.change}" for file in plan.files]
    if plan.merged:
        lines.append(f"Card      {plan.merged}")
    if plan.tag:
        lines.append(f"Tag       {plan.tag}")
    if plan.collection:
        fate = f" ({plan.collection_fate})" if plan.collection_fate else ""
        lines.append(f"Into      the collection {plan.collection}{fate}")
    if plan.verify_download:
        lines.append("Verify    by loading it from the Hub after the push")
    if plan.remote_only:
        lines.append(f"Only on the Hub, left alone: {', '.join(plan.remote_only)}")
    if plan.left_out:
        lines.append(f"Not published: {', '.join(plan.left_out)}")
    lines += [f"Note: {note}" for note in plan.notes]
    if plan.refused:
        lines.append(f"Would be refused: {plan.refused}. Next: {plan.refused_hint}")
    if plan.card_diff:
        lines += ["", plan.card_diff]
    return "\n".join(lines)


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan for a program: without the title of a commit that would not be made."""
    data: dict[str, Any] = msgspec.to_builtins(plan)
    if not plan.changes:
        del data["title"]
    return {**data, "nothing_to_do": plan.nothing_to_do}


def show_published(done: Published) -> str:
    """What a push did: the commit, and a line for each thing that was done with it."""
    lines = [_commit_line(done)]
    if done.tag:
        lines.append(f"Tag       {done.tag}{' (at this commit already)' if done.had_tag else ''}")
    if done.collection:
        lines.append(f"In        {done.collection}{' (it was there already)' if done.had_collection else ''}")
    if done.verified:
        lines.append(f"Verified  {done.verified}")
    return "\n".join(lines)


def _commit_line(done: Published) -> str:
    at = f"(commit {done.commit[:12]})"
    if done.nothing_to_do and done.pull_request:
        return f"Nothing to propose: {done.pull_request} holds all of it already {at}"
    if done.nothing_to_do:
        return f"Nothing to change: {done.repo_id} holds all of it already {at}"
    if done.created_branch and not done.new_bytes and not done.removed:
        return f"Created the branch {done.created_branch} of {done.repo_id}, which holds all of it {at}"
    way = {"xet": " by Xet", "lfs": " by LFS"}.get(done.storage or "", "")
    gone = f"; removed {', '.join(done.removed)}" if done.removed else ""
    sent = f"sent {size(done.sent_bytes)}{way} in {done.seconds:.1f} s{gone}"
    if done.pull_request:
        how = "Added to" if done.added_to else "Opened"
        return f"{how} {done.pull_request} in one commit ({done.commit[:12]}): {sent}"
    return f"Published {done.repo_id} in one commit ({done.commit[:12]}): {sent}"


def show_reversal(plan: Reversal) -> str:
    """What a revert would do."""
    lines = [
        f"Repo      {plan.endpoint}/{plan.repo_id} (at {plan.head[:12]})",
        f"Revision  {plan.revision}",
        f"Takes back {plan.undone[:12]} of {plan.undone_date}: {plan.undone_title}",
        f"Returns to {plan.before[:12]}",
        f"Commit    {plan.title}",
    ]
    marks = {"restored": "~", "removed": "-"}
    lines += [f"  {marks[file.change]} {file.path}  {size(file.size)}  {file.change}" for file in plan.files]
    lines += [f"Note: {note}" for note in plan.notes]
    if plan.refused:
        lines.append(f"Would be refused: {plan.refused}. Next: {plan.refused_hint}")
    return "\n".join(lines)


def show_reverted(done: Reverted) -> str:
    """What a revert did, in one line."""
    what = f'commit {done.undone[:12]} "{done.undone_title}" of {done.undone_date}'
    return f"Took back {what}, in one commit ({done.commit[:12]}): {_put_back(done.files)}"


def _put_back(files: list[PutBack]) -> str:
    said = []
    for change in ("restored", "removed"):
        if names := [file.path for file in files if file.change == change]:
            said.append(f"{change} {', '.join(names)}")
    return "; ".join(said)
