"""The three-way merge of a front matter: what hubkit wrote last, what it says now, what stands in the file.

hubkit's own items come and go with the facts, the author's stay, and what the author took out stays out.
Where both have a value, the author's wins, unless the adapter contradicts it. What comes of it is the edited
text, and what of it is hubkit's, which is the base of the next merge.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from hubkit.card import measured_results, yaml_spans
from hubkit.card.yaml_spans import Source
from hubkit.errors import CardError
from hubkit.hub_rules import ADAPTER_LIBRARIES, front_matter_problems

LISTS = ("language", "datasets", "metrics", "tags")
RESULTS = "model-index"
ORDER = [
    "base_model", "base_model_relation", "library_name", "pipeline_tag", "license", "license_name",
    "license_link", "language", "datasets", "metrics", "tags", RESULTS,
]  # fmt: skip
# Told by the adapter's own files, so that another value is wrong.
_FACTS = ("base_model", "base_model_relation", "library_name")
_RELATION_TAG = re.compile(r"base_model:(?:[a-z]+:)?.*")
_MISREAD = re.compile(
    r'"(?:pipeline_tag|library_name|license_name|license_link|base_model_relation|language)"'
    r"|\"license: other\" needs"
)


@dataclass(slots=True)
class Merging:
    """A merge under way: the edits lie in `source`; `meant` is what the text should read as."""

    source: Source
    base: Mapping[str, Any]
    ours: Mapping[str, Any]
    certain: Collection[str]
    known: Mapping[str, Any]  # what of hubkit's the author said first, as of the last merge
    meant: dict[str, Any] = field(default_factory=dict)
    results: list[Any] | None = None  # of the model-index, where they were merged one by one
    written: dict[str, Any] = field(default_factory=dict)  # hubkit's part of it
    agreed: dict[str, Any] = field(default_factory=dict)  # what hubkit says, and the author did before
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MergedMetadata:
    """The edited text, hubkit's part of the metadata, and what a person should be told.

    `agreed` is what hubkit says and the author said before: the author's, which may be taken out for good.
    """

    text: str
    written: dict[str, Any]
    agreed: dict[str, Any]
    notes: list[str]


def merge(
    text: str,
    ours: Mapping[str, Any],
    base: Mapping[str, Any] | None,
    certain: Collection[str] = (),
    first_line: int = 2,
    agreed: Mapping[str, Any] | None = None,
) -> MergedMetadata:
    """Merge hubkit's metadata into the text of a front matter.

    `base` is what hubkit wrote last, and `agreed` what of its own it found there; `certain` are keys in which
    hubkit's value wins. Raises CardError, with
    the line, for text that cannot be edited safely, and for values that the Hub would refuse.
    """
    source = yaml_spans.read(text, first_line)
    meant = _with_one_license(source, base or {}, ours, certain)
    merging = Merging(source, base or {}, meant, certain, agreed or {})
    for key in sorted(source.entries, key=lambda name: source.entries[name].start):
        if key in LISTS:
            _list(merging, key)
        elif key == RESULTS:
            _results(merging)
        elif key in ORDER:
            _scalar(merging, key)
    for key in [key for key in ORDER if key in merging.ours and key not in source.entries]:
        if key in merging.known and key not in merging.base:
            merging.agreed[key] = merging.known[key]
            continue
        if key not in merging.base:  # else the author took it out
            yaml_spans.insert(source, key, merging.ours[key], ORDER)
            merging.meant[key] = _text(merging.ours[key])
        merging.written[key] = merging.ours[key]
    edited, now = source.edited(), source
    if edited != text:
        try:
            now = yaml_spans.read(edited, first_line)
        except CardError as error:
            raise _unsafe(source, "a key") from error
        _check_meant(merging, now)
    _check_values(merging, now)
    written = {key: merging.written[key] for key in ORDER if merging.written.get(key)}
    return MergedMetadata(edited, written, merging.agreed, merging.notes)


def _with_one_license(
    source: Source, base: Mapping[str, Any], ours: Mapping[str, Any], certain: Collection[str]
) -> Mapping[str, Any]:
    """Without the name and link of hubkit's license where the author names another."""
    entry = source.entries.get("license")
    if (
        entry is None
        or "license" in certain
        or entry.value in (None, base.get("license"), ours.get("license"))
    ):
        return ours
    return {key: value for key, value in ours.items() if key not in ("license_name", "license_link")}


def _scalar(merging: Merging, key: str) -> None:
    """One value: hubkit's where it was hubkit's, else the author's unless it cannot be true."""
    theirs = merging.source.entries[key].value
    had, ours = merging.base.get(key), merging.ours.get(key)
    if theirs is None and had is None and ours is not None:  # a key that nobody filled in
        yaml_spans.set_value(merging.source, key, ours)
    elif theirs == had and had is not None:
        if ours is None:
            yaml_spans.remove(merging.source, key)
            return
        if ours != theirs:
            yaml_spans.set_value(merging.source, key, ours)
    elif ours is not None and _contradicted(key, theirs, ours, merging.certain):
        yaml_spans.set_value(merging.source, key, ours)
        why = "as you say now" if key.startswith("license") else "as the adapter says"
        merging.notes.append(f"{key}: {ours}, {why}, in place of {_shown(theirs)}")
    else:
        merging.meant[key] = theirs
        if ours is not None and had is not None:
            merging.written[key] = had
        elif ours is not None and (ours == theirs or [ours] == theirs):
            merging.agreed[key] = ours
        if ours is not None and ours != theirs and [ours] != theirs:
            merging.notes.append(
                f"{key}: README.md says {_shown(theirs)}, which stays; hubkit would say {ours}"
            )
        return
    merging.meant[key] = merging.written[key] = ours


def _contradicted(key: str, theirs: Any, ours: Any, certain: Collection[str]) -> bool:
    said = [str(item).lower() for item in (theirs if isinstance(theirs, list) else [theirs])]
    if key == "library_name" and said[0] in ADAPTER_LIBRARIES:
        return False
    return (key in _FACTS or key in certain) and str(ours).lower() not in said


def _list(merging: Merging, key: str) -> None:
    """One list, item by item."""
    entry = merging.source.entries[key]
    nodes = {id(node): yaml_spans.plain(node) for node in entry.items}
    theirs = list(nodes.values())
    had, ours = _listed(merging.base.get(key)), _listed(merging.ours.get(key))
    gone = [
        node
        for node in entry.items
        if (nodes[id(node)] in had and nodes[id(node)] not in ours)
        or _is_false_tag(merging, key, nodes[id(node)])
    ]
    known = _listed(merging.known.get(key))
    new = [item for item in ours if item not in theirs and item not in had and item not in known]
    if (had or known) and not theirs:
        new = []  # the author emptied it
    left = [nodes[id(node)] for node in entry.items if node not in gone]
    if gone or new:
        yaml_spans.change_items(merging.source, key, gone, new)
    if left or new or not gone:
        merging.meant[key] = _text([*left, *new]) if gone or new else entry.value
    merging.written[key] = [item for item in ours if item in had or item in new]
    if said := [item for item in ours if item not in had and (item in known or item in theirs)]:
        merging.agreed[key] = said
    for node in gone:
        if nodes[id(node)] not in had:
            merging.notes.append(f"{key}: left out {nodes[id(node)]}, which the adapter contradicts")


def _is_false_tag(merging: Merging, key: str, item: Any) -> bool:
    """Whether this is a tag that names another base model than the adapter's."""
    base_id = merging.ours.get("base_model")
    if key != "tags" or not base_id or not isinstance(item, str) or not _RELATION_TAG.fullmatch(item):
        return False
    return item.rpartition(":")[2].lower() != str(base_id).lower()


def _results(merging: Merging) -> None:
    """The model-index, result by result: hubkit's own are those that it wrote last."""
    source = merging.source
    entry = source.entries[RESULTS]
    theirs = yaml_spans.constructed(source, entry)
    had, ours = merging.base.get(RESULTS), merging.ours.get(RESULTS)
    if theirs == had and had:
        if ours != had:
            yaml_spans.set_value(source, RESULTS, ours) if ours else yaml_spans.remove(source, RESULTS)
        if ours:
            merging.written[RESULTS] = ours
        return
    if theirs is None and not had and ours:
        yaml_spans.set_value(source, RESULTS, ours)
        merging.written[RESULTS] = ours
    elif isinstance(entry.node, yaml.SequenceNode) and _result_lists(entry.node):
        _change_results(merging, entry.node, [result for part in theirs for result in part["results"]])
    elif had:
        merging.written[RESULTS] = had


def _change_results(merging: Merging, index: yaml.SequenceNode, theirs: list[Any]) -> None:
    """Edit the lists of results that stand in the index; `theirs` are all results, in order."""
    source, lists = merging.source, _result_lists(index)
    had, ours = _of_index(merging.base.get(RESULTS)), _of_index(merging.ours.get(RESULTS))
    nodes = [node for part in lists for node in part.value]
    pairs = list(zip(nodes, theirs, strict=True))
    if not had:  # what hubkit wrote last is not known
        had = measured_results.same_but_for_values(theirs, ours)
        merging.notes += [
            f"{RESULTS}: {measured_results.numbers(was)} gave way to what was measured" for was in had
        ]
    gone = [node for node, result in pairs if result in had and result not in ours]
    new = [result for result in ours if result not in theirs and result not in had]
    left_results: list[Any] = []
    for node, result in pairs:
        if was := measured_results.origin(result, had, theirs):
            now = measured_results.successor(was, ours)
            result = measured_results.renew(source, node, result, was, now)
            new = [added for added in new if added is not now]
            gone += [node] if result is None else []
        if node not in gone:
            left_results.append(result)
    merging.results = [*left_results, *new]
    if mine := [result for result in ours if result in had or result not in theirs]:
        merging.written[RESULTS] = [{**merging.ours[RESULTS][0], "results": mine}]
    if not merging.results:
        yaml_spans.remove(source, RESULTS)
        return
    if gone or new or merging.results != theirs:
        yaml_spans.editable(source, RESULTS)
    left = [part for part in lists if any(node not in gone for node in part.value)]
    for entry, part in zip(index.value, lists, strict=True):
        more = new if part is (left or lists)[0] else []
        mine_here = [node for node in part.value if node in gone]
        if part not in left and not more:
            yaml_spans.change_block(source, index, [entry], [])
        elif mine_here or more:
            yaml_spans.change_block(source, part, mine_here, more)


def _result_lists(node: yaml.Node) -> list[yaml.SequenceNode]:
    """The nodes of the lists of results; none where the index has another shape."""
    found: list[yaml.SequenceNode] = []
    for part in node.value if isinstance(node, yaml.SequenceNode) else []:
        pairs = part.value if isinstance(part, yaml.MappingNode) else []
        inner = [value for key, value in pairs if isinstance(key, yaml.ScalarNode) and key.value == "results"]
        if len(inner) != 1 or not isinstance(inner[0], yaml.SequenceNode) or not inner[0].value:
            return []
        found.append(inner[0])
    return found


def _of_index(index: Any) -> list[Any]:
    """The results in an index, of whatever shape it is."""
    parts = [part.get("results") for part in _listed(index) if isinstance(part, dict)]
    return [result for part in parts if isinstance(part, list) for result in part]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def _text(value: Any) -> Any:
    """The value as `yaml_spans.plain` reads it back."""
    return [str(item) for item in value] if isinstance(value, list) else str(value)


def _shown(value: Any) -> str:
    return (
        "nothing" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    )


def _check_meant(merging: Merging, now: Source) -> None:
    """The net under the edits: the text must read as it was meant, and the author's own keys as before."""
    before = {key: entry.value for key, entry in merging.source.entries.items() if key not in ORDER}
    after = {key: entry.value for key, entry in now.entries.items() if key not in ORDER}
    read = {key: now.entries[key].value for key in ORDER if key in now.entries and key != RESULTS}
    meant = {key: value for key, value in merging.meant.items() if key != RESULTS}
    wrong = [key for key in ORDER if read.get(key) != meant.get(key)]
    if merging.results is not None:
        index = yaml_spans.constructed(now, now.entries[RESULTS]) if RESULTS in now.entries else []
        results = _of_index(index)
        if len(results) != len(merging.results) or any(result not in results for result in merging.results):
            wrong.append(RESULTS)
    if wrong or before != after:
        raise _unsafe(merging.source, wrong[0] if wrong else "its other keys")


def _unsafe(source: Source, what: str) -> CardError:
    return CardError(
        f"README.md, line {source.first_line}: hubkit cannot edit {what} in this front matter safely",
        "write it plainly, a key a line",
    )


def _check_values(merging: Merging, source: Source) -> None:
    """Hold the values to the Hub's rules: a note, or CardError where the Hub would refuse the card."""
    found = {
        key: yaml_spans.constructed(source, entry) for key, entry in source.entries.items() if key in ORDER
    }
    for problem in front_matter_problems({key: value for key, value in found.items() if value is not None}):
        key = (re.match(r'"([\w-]+)', problem) or ["", ""])[1]
        entry = source.entries.get(key)
        line = source.line(entry.start) if entry else source.first_line
        if _MISREAD.match(problem) and "ISO 639" not in problem:
            merging.notes.append(f"line {line}: {problem}")
        else:
            raise CardError(
                f"README.md, line {line}: the Hub would refuse this card: {problem}",
                "mend that line" + (", or say --base-model OWNER/NAME" if key == "base_model" else ""),
            )
