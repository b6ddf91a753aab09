"""The front matters of three versions of a card, joined key by key.

A key that one side changed is as that side has it, with its comments and its way of writing. Lists that both
changed are joined item by item. Of a key that hubkit filled in here, the author's word on the Hub is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hubkit.card import yaml_spans
from hubkit.card.metadata_merge import ORDER, RESULTS
from hubkit.card.regions import Parts
from hubkit.card.yaml_spans import Entry, Source
from hubkit.errors import CardError

FRONT_MATTER = "the front matter"
ABSENT = object()


@dataclass(slots=True)
class Head:
    """All that stands before the body, the keys that were taken from the Hub, and those that clash."""

    text: str
    taken: list[str] = field(default_factory=list)
    clashes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Joining:
    """Three front matters under way to one: the edits lie in `ours`."""

    base: Source
    ours: Source
    theirs: Source
    mine: Mapping[str, Any]
    head: Head
    meant: dict[str, Any] = field(default_factory=dict)

    def values(self, key: str) -> tuple[Any, Any, Any]:
        """The values of the three; ABSENT for a key that is not there."""
        found = [side.entries.get(key) for side in (self.base, self.ours, self.theirs)]
        base, ours, theirs = (entry.value if entry else ABSENT for entry in found)
        return base, ours, theirs


def join(base: Parts, ours: Parts, theirs: Parts, mine: Mapping[str, Any]) -> Head:
    """Join the heads of three cards. Raises CardError for a front matter that cannot be read."""
    if theirs.head == base.head or theirs.head == ours.head:
        return Head(ours.head)
    if ours.head == base.head:
        return Head(theirs.head, _changed(base.yaml or "", theirs.yaml or ""))
    if None in (base.yaml, ours.yaml, theirs.yaml):
        return Head(ours.head, clashes=[FRONT_MATTER])
    read = [
        yaml_spans.read(parts.yaml or "", 1 + parts.opening.count("\n")) for parts in (base, ours, theirs)
    ]
    joining = _Joining(read[0], read[1], read[2], mine, Head(""))
    joining.meant = {key: entry.value for key, entry in joining.ours.entries.items()}
    for key in [
        *joining.theirs.entries,
        *(key for key in joining.base.entries if key not in read[2].entries),
    ]:
        _key(joining, key)
    text = joining.ours.edited()
    if not _is_meant(joining, text):
        joining.head.clashes.append(FRONT_MATTER)
    joining.head.text = ours.opening + text + ours.closing
    return joining.head


def _changed(base: str, theirs: str) -> list[str]:
    """The keys in which two front matters differ; all of it where they cannot be read."""
    try:
        had, now = (
            {key: entry.value for key, entry in yaml_spans.read(text).entries.items()}
            for text in (base, theirs)
        )
    except CardError:
        return [FRONT_MATTER]
    return [key for key in {**now, **had} if had.get(key) != now.get(key)] or [FRONT_MATTER]


def _key(joining: _Joining, key: str) -> None:
    """One key that stands in theirs, or stood in the base."""
    base, ours, theirs = joining.values(key)
    if theirs in (base, ours):
        return
    if ours == base:
        _take(joining, key)
    elif key == RESULTS:
        _join_results(joining)
    elif key in joining.ours.entries and all(_is_list(value) for value in (base, ours, theirs)):
        _join_lists(joining, key)
    elif key in ORDER and ours == joining.mine.get(key):  # hubkit says it here, and the author there
        _take(joining, key)
    else:
        joining.head.clashes.append(key)


def _is_list(value: Any) -> bool:
    """Whether these are words, or none."""
    return value in (None, ABSENT) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


def _take(joining: _Joining, key: str) -> None:
    """Theirs in place of ours, as it is written there."""
    theirs, source = joining.theirs.entries.get(key), joining.ours
    joining.head.taken.append(key)
    if theirs is None:
        yaml_spans.remove(source, key)
        joining.meant.pop(key, None)
        return
    raw = joining.theirs.text[theirs.start : theirs.end]
    raw += "" if raw.endswith("\n") else "\n"
    joining.meant[key] = theirs.value
    if key in source.entries:
        entry = yaml_spans.editable(source, key)
        source.edits.append((entry.start, entry.end, raw))
        return
    at = _behind(joining, key)
    source.edits.append((at, at, raw))


def _behind(joining: _Joining, key: str) -> int:
    """Where a key that ours lacks goes: behind the one that it follows in theirs, if ours has that."""
    before: list[Entry] = []
    for name in joining.theirs.entries:
        if name == key:
            break
        before += [joining.ours.entries[name]] if name in joining.ours.entries else []
    ends = [entry.end for entry in joining.ours.entries.values()]
    return before[-1].end if before else max(ends, default=len(joining.ours.text))


def _join_lists(joining: _Joining, key: str) -> None:
    """Ours, without the items that went there and with those that are new there."""
    base, ours, theirs = (_listed(value) for value in joining.values(key))
    entry = joining.ours.entries[key]
    gone = [node for node in entry.items if (item := yaml_spans.plain(node)) in base and item not in theirs]
    new = [item for item in theirs if item not in base and item not in ours]
    if not (gone or new):
        return
    yaml_spans.change_items(joining.ours, key, gone, new)
    joining.meant.pop(key)
    if left := [item for item in ours if item not in base or item in theirs] + new:
        joining.meant[key] = left
    joining.head.taken.append(key)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value in (None, ABSENT) else [value]


def _join_results(joining: _Joining) -> None:
    """Results of theirs that are new, in our model-index; without those that went there."""
    found = [_results(side) for side in (joining.base, joining.ours, joining.theirs)]
    base, ours, theirs = found
    entry = joining.ours.entries.get(RESULTS)
    if base is None or ours is None or theirs is None or entry is None:
        joining.head.clashes.append(RESULTS)
        return
    if any(result not in ours and result not in theirs for result in base):
        joining.head.clashes.append(RESULTS)  # both changed the same one
        return
    left = [result for result in ours if result in theirs or result not in base]
    new = [result for result in theirs if result not in base and result not in ours]
    index = yaml_spans.constructed(joining.ours, entry)
    if left or new:
        yaml_spans.set_value(joining.ours, RESULTS, [{**index[0], "results": [*left, *new]}])
    else:
        yaml_spans.remove(joining.ours, RESULTS)
    joining.meant.pop(RESULTS)  # it is compared as it was read, not as it is written
    joining.head.taken.append(RESULTS)


def _results(source: Source) -> list[Any] | None:
    """The results of a model-index with one model; none where there is no index, None for another shape."""
    entry = source.entries.get(RESULTS)
    if entry is None:
        return []
    index = yaml_spans.constructed(source, entry)
    if not (isinstance(index, list) and len(index) == 1 and isinstance(index[0], dict)):
        return None
    results = index[0].get("results")
    return results if isinstance(results, list) else None


def _is_meant(joining: _Joining, text: str) -> bool:
    """The net under the edits: the text reads as it was meant, and no comment of theirs is lost."""
    try:
        now = yaml_spans.read(text).entries
    except CardError:
        return False
    joined = RESULTS not in joining.meant
    read = {key: entry.value for key, entry in now.items() if not (joined and key == RESULTS)}
    if read != joining.meant:
        return False
    old, new, result = (
        {line.strip() for line in side.splitlines() if line.lstrip().startswith("#")}
        for side in (joining.base.text, joining.theirs.text, text)
    )
    return new - old <= result
