"""A plan made again, because somebody committed to the repo before it was carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from hubkit import record
from hubkit.hub import Hub, RemoteFile
from hubkit.publishing import others
from hubkit.publishing.apply import overwriting, planned_on, touched_since
from hubkit.publishing.contents import CARD_NAME
from hubkit.publishing.merging import Since
from hubkit.publishing.plan import Asked, Prepared, prepare
from hubkit.publishing.planned import Plan


def replan(plan: Plan, hub: Hub, asked: Asked) -> Prepared:
    """The plan on the head of now. What others did to the card meanwhile is joined with ours.

    Raises HeadMoved where they changed another file of the plan: that is never overwritten.
    """
    before = planned_on(plan, hub)
    card = hub.read(plan.repo_id, CARD_NAME, plan.head) if plan.head and CARD_NAME in before else None
    if plan.private is not None:  # what was to be created is there now, and must not be public
        asked = replace(asked, private=plan.private)
    made = prepare(Path(plan.directory), plan.repo_id, hub, asked, since=Since(card))
    now = hub.files(plan.repo_id, made.plan.head) if made.plan.head else {}
    touched = [path for path in touched_since(made.plan, before, now) if path != CARD_NAME]
    if record.RECORD_NAME in touched and _tells_the_same(plan, made, hub, before):
        touched.remove(record.RECORD_NAME)
    if touched:
        raise overwriting(plan, touched)
    joined = made.plan.joined and plan.joined  # what was not looked at then is not looked at now
    return replace(made, plan=msgspec.structs.replace(made.plan, joined=joined))


def differs(old: Plan, new: Plan) -> bool:
    """Whether a person should be shown the new plan."""

    def told(plan: Plan) -> Any:
        return {file.path: file.change for file in plan.files}, plan.merged, plan.findings, plan.title

    return bool(told(old) != told(new))


def _tells_the_same(plan: Plan, made: Prepared, hub: Hub, before: Mapping[str, RemoteFile]) -> bool:
    """Whether theirs is a record that says of the adapter what ours does, or what the Hub's did before."""
    name, head = record.RECORD_NAME, made.plan.head
    ours = made.overlay.files.get(name) or (Path(plan.directory) / name).read_bytes()
    known = [others.facts(ours)]
    if plan.head and name in before:
        known.append(others.facts(hub.read(plan.repo_id, name, plan.head)))
    return head is not None and others.facts(hub.read(plan.repo_id, name, head)) in known
