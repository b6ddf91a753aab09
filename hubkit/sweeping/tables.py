"""What a sweep found, as `hubkit compare` shows it: sweep.md, sweep.json and sweep.csv in its directory.

Perplexities are set side by side where they may be: the runs are parted by task, text and base, a part for
each, and every part is a comparison by itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubkit import compare, compared_rows, files
from hubkit.card import compared_files, comparison, text
from hubkit.card.comparison import Read
from hubkit.compare import Measure
from hubkit.record import Compared
from hubkit.sweeping import local
from hubkit.sweeping.matrix import Planned, Sweep


def write(sweep: Sweep) -> str | None:
    """Write the tables of the runs that are done; the Markdown, or None where none is done."""
    done = [one for one in sweep.runs if local.is_done(one)]
    if not done:
        return None
    found = comparison.read([one.directory / "adapter" for one in done])
    found.labels[:] = [one.name for one in done]
    parts = [_part(found, at) for at in _parted(found.adapters)]
    open_ = [one.name for one in sweep.runs if one not in done]
    shown = _markdown(sweep, parts, done, open_)
    _written(sweep.output_dir / "sweep.md", shown + "\n")
    _written(sweep.output_dir / "sweep.json", json.dumps(_data(parts, done, open_), indent=2) + "\n")
    _written(sweep.output_dir / "sweep.csv", compared_rows.to_csv(_rows(parts, done)))
    return shown


def _written(path: Path, content: str) -> None:
    files.write_atomically(path, content.encode())


def _parted(adapters: Sequence[Compared]) -> list[list[int]]:
    """Which adapters belong into one comparison: those of one base on one text, measured in one way."""
    parts: dict[tuple[Any, ...], list[int]] = {}
    for at, one in enumerate(adapters):
        measured = one.perplexity
        alike = [getattr(measured, field) for field, _ in compare.CONDITIONS] if measured else []
        parts.setdefault((one.base_id, one.train_sha256 if not measured else None, *alike), []).append(at)
    return list(parts.values())


def _part(found: Read, at: list[int]) -> Read:
    return Read(
        labels=[found.labels[i] for i in at],
        adapters=[found.adapters[i] for i in at],
        left_out={
            label: left for label, left in found.left_out.items() if label in {found.labels[i] for i in at}
        },
        keys=[found.keys[i] for i in at],
        seeds=[found.seeds[i] for i in at],
    )


def _by(part: Read) -> Measure | None:
    return compare.by(part.adapters, part.labels)


def _markdown(sweep: Sweep, parts: list[Read], done: Sequence[Planned], open_: list[str]) -> str:
    said = f"{text.plural(len(done), 'run')} of {len(sweep.runs)}"
    left = f"; not done: {', '.join(map(text.code, open_))}" if open_ else ""
    shown = [f"# {text.phrase(sweep.path.stem)}", f"{said}{left}."]
    for part in parts:
        taken = (one.perplexity or one.classification for one in part.adapters)
        measured = next((one for one in taken if one), None)
        on = f" on {text.phrase(measured.dataset_name)}" if measured else ""
        if len(parts) > 1:
            shown.append(f"## {text.phrase(part.adapters[0].base_id or 'Adapters')}{on}")
        shown.append(compared_files.markdown(part, part.grouped(), _by(part)))
        if _by(part) is None and (why := compare.reasons(part.adapters, part.labels)):
            shown.append(
                "Perplexities are left out, because they cannot be compared: " + "; ".join(why) + "."
            )
    return "\n\n".join(shown)


def _data(parts: list[Read], done: Sequence[Planned], open_: list[str]) -> dict[str, Any]:
    return {
        "runs": [{"name": one.name, "values": one.values, "directory": str(one.directory)} for one in done],
        "not_done": open_,
        "comparisons": [compared_files.data(part, part.grouped(), False) for part in parts],
    }


def _rows(parts: list[Read], done: Sequence[Planned]) -> list[dict[str, Any]]:
    """A row for each run, the values of its combination first."""
    values = {one.name: one.values for one in done}
    found = []
    for part in parts:
        for row in compared_files.rows(part, [], False):
            own = {key: _flat(value) for key, value in values[row["adapter"]].items()}
            found.append({"adapter": row["adapter"], **own, **row})
    return found


def _flat(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
