"""Cards of many adapters in one process."""

from __future__ import annotations

from pathlib import Path

import msgspec
from card_cases import CASES

from hubkit import record
from hubkit.card import facts, many, render
from hubkit.cli.main import run
from hubkit.record import Written

NAMES = ("causal-lora", "masked-qlora", "foreign", "causal-hira")


def made(folder: Path) -> list[Path]:
    return [CASES[name](folder / name) for name in NAMES]


def without_figures(directory: Path) -> None:
    """As the command remembers it; else it would draw some."""
    known = record.read(directory)
    record.write(directory, msgspec.structs.replace(known, written=Written(no_figures=True)))


def test_each_is_written_as_the_command_writes_it(tmp_path: Path) -> None:
    directories = made(tmp_path / "many")
    assert [(done.directory, done.outcome) for done in many.check_all(directories)] == [
        (directory, "written") for directory in directories
    ]
    assert not any((directory / "README.md").exists() for directory in directories)
    for directory in directories:
        without_figures(directory)
    assert many.write_all(directories, threads=2) == [many.Done(one, "written") for one in directories]
    for one, alone in zip(directories, made(tmp_path / "alone"), strict=True):
        assert run(["card", "--adapter", str(alone), "-q", "--no-figures"]) == 0
        for name in ("README.md", record.RECORD_NAME):
            assert (one / name).read_bytes() == (alone / name).read_bytes()
        assert (one / "README.md").read_text() == render.render(facts.gather(one))


def test_figures_stay_and_are_left_out_where_the_user_wants_none(tmp_path: Path) -> None:
    directory = CASES["compared"](tmp_path / "compared")
    assert many.write_all([directory]) == [many.Done(directory, "written")]
    assert "(figures/loss.png)" in (directory / "README.md").read_text()
    known = record.read(directory)
    assert known.written
    written = msgspec.structs.replace(known.written, no_figures=True)
    record.write(directory, msgspec.structs.replace(known, written=written))
    assert many.write_all([directory]) == [many.Done(directory, "written")]
    assert "figures/" not in (directory / "README.md").read_text()
    assert record.read(directory).written == written
    assert (directory / "figures" / "loss.png").is_file()


def test_the_second_time_nothing_changes(tmp_path: Path) -> None:
    directories = made(tmp_path)
    many.write_all(directories)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert many.write_all(directories) == [many.Done(one, "unchanged") for one in directories]
    assert many.check_all(directories) == [many.Done(one, "unchanged") for one in directories]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    first, second, third, fourth = made(tmp_path)
    many.write_all([third])
    card = third / "README.md"
    card.write_text(card.read_text().replace("At a glance", "In short"))
    (second / "adapter_config.json").write_text("{")
    found = many.write_all([first, second, third, fourth])
    assert [done.outcome for done in found] == ["written", None, None, "written"]
    assert "is not JSON" in str(found[1].error)
    assert "edited by hand" in str(found[2].error)
    assert "In short" in card.read_text()
    checked = many.check_all([first, second, third, fourth])
    assert [done.outcome for done in checked] == ["unchanged", None, None, "unchanged"]
    assert "edited by hand" in str(checked[2].error)
