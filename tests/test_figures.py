"""Figures: the same bytes for the same data, small, readable on any page, and true in words."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import CASES, TRAINING
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit import record
from hubkit.card import drawing, figures, png
from hubkit.card.facts import Facts, gather
from hubkit.card.render import render
from hubkit.cli.main import run
from hubkit.publishing.contents import collect
from hubkit.publishing.draft import draft
from hubkit.record import LogPoint

pytestmark = pytest.mark.real  # long together; nothing here needs real weights

LIMIT = 60_000  # bytes
BACKGROUNDS = ((255, 255, 255), (13, 17, 23))  # a light page, a dark one
LOSSES = ([(1, 3.1), (10, 2.5)], [(10, 2.6)])
BARS = [("base alone", 35.4, "35.42"), ("with this adapter", 15.1, "15.06 (-57.5%)")]
POINTS = [("LoRA", 1e5, 10.0, True), ("HiRA", 2e6, 10.1, False), ("QLoRA", 1e5, 10.05, False)]


def drawings() -> dict[str, bytes]:
    """One of each kind."""
    labels = ("Trainable parameters", "Perplexity")
    return {
        "losses": drawing.losses(*LOSSES)("0" * 64),
        "bars": drawing.bars(BARS, "Perplexity")("0" * 64),
        "scatter": drawing.scatter(POINTS, [("base alone", 14.0)], labels)("0" * 64),
    }


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return CASES["causal-lora"](tmp_path / "adapter")


def card(directory: Path, *arguments: str) -> int:
    return run(["card", "--adapter", str(directory), *arguments])


def readme(directory: Path) -> str:
    return (directory / "README.md").read_text(encoding="utf-8")


def linked(directory: Path) -> dict[str, str]:
    """Alt texts of the images on the card, by path."""
    return {path: alt for alt, path in re.findall(r"!\[(.+?)\]\((.+?)\)", readme(directory))}


def with_history(directory: Path, history: list[LogPoint]) -> Facts:
    known = record.read(directory)
    training = msgspec.structs.replace(known.training, history=history)
    return gather(directory, record=msgspec.structs.replace(known, training=training))


# --- the drawing -------------------------------------------------------------------------------------------


@pytest.mark.real
def test_the_same_data_gives_the_same_bytes_whatever_the_users_settings_are(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 30\nfigure.facecolor: red\naxes.grid: False\nbackend: svg\nsavefig.dpi: 30\n"
        "text.usetex: True\n"
    )
    code = (
        "import hashlib, test_figures\n"
        "for name, image in test_figures.drawings().items(): print(name, hashlib.sha256(image).hexdigest())\n"
        "assert 'matplotlib.pyplot' not in __import__('sys').modules"
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLCONFIGDIR": str(tmp_path), "PYTHONPATH": path, "TZ": "Asia/Tokyo"},
    )
    assert done.returncode == 0, done.stderr
    ours = {name: hashlib.sha256(image).hexdigest() for name, image in drawings().items()}
    assert dict(line.split() for line in done.stdout.splitlines()) == ours
    assert drawings() == drawings()


def test_the_users_settings_are_left_as_they_were() -> None:
    import matplotlib

    before = matplotlib.rcParams.copy()
    drawings()
    assert matplotlib.rcParams.copy() == before


def test_names_of_points_that_lie_together_are_moved_apart() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for _, x, y, _ in POINTS:
        axes.plot([x], [y])
    drawing._write_names(axes, POINTS)
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in axes.texts]
    assert len(boxes) == len(POINTS)
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])


@pytest.mark.parametrize(("largest", "said"), [(50_000, ""), (5_000_000, " (logarithmic scale)")])
def test_a_scale_that_is_not_linear_says_so(largest: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    axes = Figure(figsize=(6.4, 3.4), dpi=100).add_subplot()
    monkeypatch.setattr(drawing, "_png", lambda draw, height, digest: draw(axes))
    points = [("a", 10_000.0, 2.0, True), ("b", float(largest), 3.0, False)]
    drawing.scatter(points, [], ("Trainable parameters", "Perplexity"))("")
    assert axes.get_xscale() == ("log" if said else "linear")
    assert axes.get_xlabel() == f"Trainable parameters{said}"


def test_nothing_but_the_digest_is_written_beside_the_image() -> None:
    for image in drawings().values():
        texts = [data for kind, data, _ in png._chunks(image) if kind in (b"tEXt", b"iTXt", b"zTXt", b"tIME")]
        assert texts == [b"hubkit\0" + b"0" * 64]


def test_even_a_long_and_ragged_history_is_a_small_file() -> None:
    import random

    chance = random.Random(0)
    history = [(step, chance.uniform(0, 10)) for step in range(20_000)]
    assert len(drawing.losses(history, history[::7])("0" * 64)) < LIMIT
    points = [(f"adapter {i}", chance.uniform(1e4, 1e9), chance.uniform(1, 99), False) for i in range(20)]
    assert len(drawing.scatter(points, [("base alone", 50.0)], ("x", "y"))("0" * 64)) < LIMIT
    assert all(len(image) < LIMIT for image in drawings().values())


def luminance(colour: tuple[int, ...]) -> float:
    """As WCAG defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_colour_stands_out_from_a_light_page_and_from_a_dark_one(background: tuple[int, ...]) -> None:
    for colour in (drawing.GREY, drawing.BLUE, drawing.ORANGE):
        channels = tuple(bytes.fromhex(colour[1:]))
        assert contrast(channels, background) >= (4.0 if colour == drawing.GREY else 3.0)


def test_the_background_is_transparent() -> None:
    import io

    from PIL import Image

    for image in drawings().values():
        with Image.open(io.BytesIO(image)) as opened:
            assert opened.convert("RGBA").getpixel((2, 2))[3] == 0


losses = st.floats(0, 1e6) | st.none()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**7), losses, losses), max_size=8))
@pytest.mark.real
def test_any_history_can_be_drawn(points: list[tuple[int, float | None, float | None]]) -> None:
    import tempfile

    history = [LogPoint(step=step, loss=loss, eval_loss=evaluation) for step, loss, evaluation in points]
    with tempfile.TemporaryDirectory() as folder:
        facts = with_history(CASES["causal-lora"](Path(folder) / "adapter"), history)
    for figure in figures.possible(facts):
        assert len(figure.draw(figure.digest)) < LIMIT
        assert "None" not in figure.alt


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(names, st.integers(1, 10**12), st.floats(1, 1e9), st.booleans()), min_size=2, max_size=5
    )
)
def test_any_names_and_numbers_can_be_drawn(points: list[tuple[str, float, float, bool]]) -> None:
    assert len(drawing.scatter(points, [("$x_", 3.0)], ("x", "y"))("0" * 64)) < LIMIT


# --- the digest in the file --------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_no_figure_of_ours(content: bytes) -> None:
    assert png.digest_of(content) is None
    assert png.digest_of(png.SIGNATURE + content) in (None, png.DAMAGED)


def test_a_figure_tells_what_it_was_drawn_from_and_one_that_is_damaged_does_not() -> None:
    image = drawings()["bars"]
    assert png.digest_of(image) == "0" * 64
    assert png.digest_of(image[:-20]) == png.DAMAGED
    changed = bytearray(image)
    changed[len(image) // 2] ^= 1
    assert png.digest_of(bytes(changed)) == png.DAMAGED


# --- what they say -----------------------------------------------------------------------------------------


def test_the_alt_text_has_the_records_numbers(adapter: Path) -> None:
    assert card(adapter, "-q") == 0
    found = linked(adapter)
    history = TRAINING.history
    assert found["figures/loss.png"] == (
        f"Loss over 192 optimizer steps: training loss {history[0].loss:.4f} at step 16,"
        f" {history[-1].loss:.4f} at step 192; evaluation loss 2.9000 at step 96, 2.9000 at step 192."
    )
    assert found["figures/perplexity.png"] == (
        "Perplexity on Python's own help topics, held out: 35.42 for the base model alone,"
        " 15.06 with this adapter (-57.5%)."
    )


def test_a_history_of_one_point_is_no_figure(adapter: Path) -> None:
    facts = with_history(adapter, [LogPoint(step=1, loss=2.0, eval_loss=2.1)])
    assert [one.name for one in figures.possible(facts)] == ["perplexity"]


def test_masked_perplexity_is_called_that(tmp_path: Path) -> None:
    directory = CASES["masked-qlora"](tmp_path / "adapter")
    known = record.read(directory)
    measured = msgspec.structs.replace(known.measures.perplexity, base_value=20.0)
    measures = msgspec.structs.replace(known.measures, perplexity=measured)
    facts = gather(directory, record=msgspec.structs.replace(known, measures=measures))
    (figure,) = (one for one in figures.possible(facts) if one.name == "perplexity")
    assert "at masked positions" in figure.alt


def test_without_a_base_value_there_is_nothing_to_set_side_by_side(tmp_path: Path) -> None:
    facts = gather(CASES["masked-qlora"](tmp_path / "adapter"))
    assert "perplexity" not in {one.name for one in figures.possible(facts)}


def test_an_adapter_without_record_has_none(tmp_path: Path) -> None:
    assert card(CASES["foreign"](tmp_path / "adapter"), "-q") == 0
    assert linked(tmp_path / "adapter") == {}
    assert not (tmp_path / "adapter" / "figures").exists()


# --- on disk -----------------------------------------------------------------------------------------------


def test_figures_are_drawn_once_and_not_again(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert card(adapter, "-q") == 0
    assert sorted(path.name for path in (adapter / "figures").iterdir()) == ["loss.png", "perplexity.png"]
    before = readme(adapter)
    monkeypatch.setattr(drawing, "_png", None)  # drawing would fail
    assert card(adapter, "-q") == 0
    assert card(adapter, "--check", "-q") == 0
    assert readme(adapter) == before


def test_a_change_of_the_data_is_drawn_anew(adapter: Path) -> None:
    assert card(adapter, "-q") == 0
    old = {path.name: path.read_bytes() for path in (adapter / "figures").iterdir()}
    known = record.read(adapter)
    measured = msgspec.structs.replace(known.measures.perplexity, value=12.0)
    measures = msgspec.structs.replace(known.measures, perplexity=measured)
    record.write(adapter, msgspec.structs.replace(known, measures=measures))
    assert card(adapter, "--check", "-q") == 1
    assert card(adapter, "-q") == 0
    new = {path.name: path.read_bytes() for path in (adapter / "figures").iterdir()}
    assert new["loss.png"] == old["loss.png"]
    assert new["perplexity.png"] != old["perplexity.png"]
    assert "12.00 with this adapter" in linked(adapter)["figures/perplexity.png"]


def test_a_damaged_figure_is_drawn_anew(adapter: Path) -> None:
    assert card(adapter, "-q") == 0
    path = adapter / "figures" / "loss.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert card(adapter, "--check", "-q") == 1
    assert card(adapter, "-q") == 0
    assert path.read_bytes() == whole


def test_what_the_card_no_longer_links_is_removed_and_the_authors_own_stays(adapter: Path) -> None:
    assert card(adapter, "-q") == 0
    (adapter / "figures" / "mine.png").write_bytes(b"\x89PNG\r\n\x1a\nmine")
    known = record.read(adapter)
    training = msgspec.structs.replace(known.training, history=[])
    record.write(adapter, msgspec.structs.replace(known, training=training))
    assert card(adapter, "-q") == 0
    assert sorted(path.name for path in (adapter / "figures").iterdir()) == ["mine.png", "perplexity.png"]
    assert card(adapter, "-q", "--no-figures") == 0
    assert [path.name for path in (adapter / "figures").iterdir()] == ["mine.png"]
    assert linked(adapter) == {}
    assert card(adapter, "-q", "--check") == 0


def test_an_authors_file_of_a_figures_name_is_left_alone(
    adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (adapter / "figures").mkdir()
    (adapter / "figures" / "loss.png").write_bytes(b"mine")
    assert card(adapter) == 0
    assert (adapter / "figures" / "loss.png").read_bytes() == b"mine"
    assert list(linked(adapter)) == ["figures/perplexity.png"]
    assert "Left alone, not drawn by hubkit: figures/loss.png" in capsys.readouterr().err


def test_what_is_printed_is_what_would_be_written(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(adapter, "--stdout") == 0
    printed = capsys.readouterr().out
    assert not (adapter / "figures").exists()
    assert card(adapter, "-q") == 0
    assert readme(adapter) == printed


def test_only_linked_figures_are_published(adapter: Path) -> None:
    assert card(adapter, "-q") == 0
    (adapter / "figures" / "mine.png").write_bytes(b"\x89PNG\r\n\x1a\nmine")
    found = collect(adapter)
    assert {name for name in found.names if name.startswith("figures/")} == {
        "figures/loss.png",
        "figures/perplexity.png",
    }
    assert "figures/mine.png" in found.left_out


WITHOUT = """
import sys
sys.modules["matplotlib"] = None
from hubkit.cli.main import run
sys.exit(run(["card", "--adapter", sys.argv[1], *sys.argv[2:]]))
"""


def without_matplotlib(directory: Path, *arguments: str) -> Any:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, str(directory), *arguments], capture_output=True, text=True
    )


def test_without_matplotlib_the_card_is_whole(adapter: Path) -> None:
    done = without_matplotlib(adapter)
    assert done.returncode == 0, done.stderr
    assert "hubkit[plots]" in done.stderr
    assert linked(adapter) == {}
    assert readme(adapter) == render(gather(adapter))
    assert card(adapter, "--check", "-q") == 1  # with matplotlib, which would draw them
    assert card(adapter, "-q") == 0
    assert len(linked(adapter)) == 2
    done = without_matplotlib(adapter, "--check")
    assert done.returncode == 0, done.stderr
    done = without_matplotlib(adapter)
    assert (done.returncode, len(linked(adapter))) == (0, 2)
    assert "hubkit[plots]" not in done.stderr


def test_without_matplotlib_a_figure_that_is_out_of_date_is_not_linked(adapter: Path) -> None:
    assert card(adapter, "-q") == 0
    known = record.read(adapter)
    training = msgspec.structs.replace(known.training, history=TRAINING.history[:-1])
    record.write(adapter, msgspec.structs.replace(known, training=training))
    done = without_matplotlib(adapter)
    assert done.returncode == 0, done.stderr
    assert "hubkit[plots]" in done.stderr
    assert list(linked(adapter)) == ["figures/perplexity.png"]
    assert not (adapter / "figures" / "loss.png").exists()


def test_a_card_whose_figures_are_there_loads_no_matplotlib(adapter: Path) -> None:
    assert card(adapter, "-q") == 0
    code = (
        "import sys\nfrom hubkit.cli.main import run\n"
        "assert run(['card', '--adapter', sys.argv[1], '-q']) == 0\n"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(adapter)]).returncode == 0


def test_the_comparison_is_drawn_too(adapter: Path, tmp_path: Path) -> None:
    other = CASES["causal-hira"](tmp_path / "other")
    known = record.read(other)
    measured = msgspec.structs.replace(
        record.read(adapter).measures.perplexity,
        value=14.5,
        adapter_sha256=known.measures.perplexity.adapter_sha256,  # type: ignore[union-attr]
    )
    measures = msgspec.structs.replace(known.measures, perplexity=measured)
    record.write(other, msgspec.structs.replace(known, measures=measures))
    assert card(adapter, "-q", "--compare", str(other)) == 0
    assert linked(adapter)["figures/comparison.png"] == (
        "Perplexity against trainable parameters: LoRA (this adapter) 15.06 at 18,432; HiRA 14.50 at 18,432;"
        " base alone 35.42."
    )
    assert card(adapter, "-q", "--no-compare") == 0
    assert not (adapter / "figures" / "comparison.png").exists()


def test_check_diff_and_a_run_agree_on_figures(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(adapter, "-q", "--no-figures") == 0
    capsys.readouterr()
    for _ in range(2):  # what was said holds at the next run
        assert card(adapter, "-q", "--check") == 0
        assert card(adapter, "-q", "--diff") == 0
        assert capsys.readouterr().out == ""
        assert card(adapter, "-q") == 0
        assert linked(adapter) == {}
        assert not (adapter / "figures").exists()
    draft(adapter, "alice/x", how="draw").write(adapter)
    assert linked(adapter) == {}

    assert card(adapter, "-q", "--figures", "--check") == 1
    assert card(adapter, "-q", "--figures", "--diff") == 0
    assert "+![" in capsys.readouterr().out
    assert card(adapter, "-q", "--figures") == 0
    assert linked(adapter)
    assert card(adapter, "-q", "--check") == 0
    assert card(adapter, "-q", "--diff") == 0
    assert capsys.readouterr().out == ""
    (adapter / "figures" / "loss.png").unlink()
    capsys.readouterr()
    assert card(adapter, "-q", "--check") == 1
    assert "figures/loss.png" in capsys.readouterr().err
    assert card(adapter, "-q") == 0
    assert card(adapter, "-q", "--check") == 0
