"""Draw the figures of a card as PNG, with matplotlib. The same data gives the same bytes.

The background is transparent and every colour stands out from white as from nearly black, so that a figure
can be read on a light page and on a dark one. Nothing of the user's own matplotlib settings, fonts or backend
is used.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from hubkit import extras
from hubkit.card import png

GREY = "#747d89"  # text, axes, the base
BLUE = "#3b82e0"  # the adapter; the training loss
ORANGE = "#d2711f"  # the evaluation loss; intervals
WIDTH, DPI = 6.4, 200  # inches, dots per inch
COLOURS = 128  # of the palette
SMALL = 8.5  # points
LINE = 11.5  # points from one line of text to the next
MOST_POINTS, MARKED = 300, 25  # of a line; with a mark on each
NAME = 130.0  # points that a name may be long
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # matplotlib brings it
    "font.size": 9.5,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "text.parse_math": False,  # a name may hold a dollar
}
Points = Sequence[tuple[float, float]]


@lru_cache(maxsize=1)
def can_draw() -> bool:
    """Whether matplotlib is installed. Imports nothing."""
    return importlib.util.find_spec("matplotlib") is not None


def losses(training: Points, evaluation: Points) -> Callable[[str], bytes]:
    """Loss over optimizer steps; a long history as the means of as many points as can be seen."""

    def draw(axes: Any) -> None:
        for name, points, colour in (("training", training, BLUE), ("evaluation", evaluation, ORANGE)):
            if not points:
                continue
            at_once = -(-len(points) // MOST_POINTS)
            shown = _means(points, at_once)
            axes.plot(
                *zip(*shown, strict=True),
                color=colour,
                label=name if at_once == 1 else f"{name}, means of {at_once}",
                marker="o" if len(shown) <= MARKED else "",
                markersize=4.5,
            )
        axes.set_xlabel("Optimizer step")
        axes.set_ylabel("Loss (nats)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.xaxis.set_major_formatter(_counted)
        axes.legend(loc="best", labelcolor=GREY)

    return lambda digest: _png(draw, 2.9, digest)


def _counted(value: float, _: int) -> str:
    return f"{value:,.0f}"


def _means(points: Points, at_once: int) -> Points:
    """The means of so many values at once, each at the last of their steps."""
    parts = [points[at : at + at_once] for at in range(0, len(points), at_once)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def bars(
    values: Sequence[tuple[str, float, str]], label: str, ends: Sequence[tuple[float, float] | None] = ()
) -> Callable[[str], bytes]:
    """Horizontal bars from zero: name, length and what is written at the end. The last is the adapter's.

    `ends` are those of the interval of each, drawn as a line.
    """
    lines = list(ends) or [None] * len(values)

    def draw(axes: Any) -> None:
        colours = [GREY] * (len(values) - 1) + [BLUE]
        rows = range(len(values))
        axes.barh(rows, [length for _, length, _ in values], height=0.6, color=colours)
        for row, (_, length, written), line in zip(rows, values, lines, strict=True):
            if line:
                axes.plot(line, (row, row), color=ORANGE, linewidth=1.2, marker="|", markersize=7)
            end = max(length, *line) if line else length
            axes.annotate(
                written, (end, row), xytext=(5, 0), textcoords="offset points", va="center",
                color=GREY, fontweight="bold",
            )  # fmt: skip
        axes.set_yticks(rows, [name for name, _, _ in values])
        axes.invert_yaxis()
        axes.margins(x=0.22)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(label)

    return lambda digest: _png(draw, 0.75 + 0.4 * len(values), digest)


def scatter(
    points: Sequence[tuple[str, float, float, bool]],
    bases: Sequence[tuple[str, float]],
    labels: tuple[str, str],
) -> Callable[[str], bytes]:
    """Named points (the last field: whether it is the card's own), and lines for the bases."""

    def draw(axes: Any) -> None:
        across = [x for _, x, _, _ in points]
        is_wide = max(across) > 10 * min(across)
        if is_wide:
            axes.set_xscale("log")
        for _, x, y, is_own in points:
            style = {"color": ORANGE, "markersize": 8, "zorder": 3} if is_own else {"color": BLUE}
            axes.plot([x], [y], marker="o", linestyle="none", **style)
        axes.margins(x=0.25, y=0.15)
        axes.set_xlabel(f"{labels[0]} (logarithmic scale)" if is_wide else labels[0])
        axes.set_ylabel(labels[1])
        for name, value in bases:
            axes.axhline(value, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.annotate(
                name, (0, value), xycoords=("axes fraction", "data"), xytext=(6, 2), va="bottom",
                textcoords="offset points", fontsize=SMALL,
            )  # fmt: skip
        axes.xaxis.set_major_formatter(_counted)
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        if len(set(across)) == 1:
            axes.set_xticks(across[:1])
        _write_names(axes, points)

    return lambda digest: _png(draw, 3.4, digest)


def _write_names(axes: Any, points: Sequence[tuple[str, float, float, bool]]) -> None:
    """A name to the right of each point; names that would lie over one another are moved up, with a line."""
    axes.autoscale_view()  # else the places are those of an empty figure
    spots = axes.transData.transform([(x, y) for _, x, y, _ in points]) * 72 / axes.figure.dpi
    placed: list[tuple[float, float]] = []
    for (across, height), (name, x, y, _) in sorted(
        zip(spots.tolist(), points, strict=True), key=lambda s: (s[0][1], s[1])
    ):
        place = height
        for other, there in placed:  # from the lowest up
            if abs(other - across) < NAME and abs(there - place) < LINE:
                place = there + LINE
        placed.append((across, place))
        placed.sort(key=lambda spot: spot[1])
        moved = place - height > 2
        axes.annotate(
            name, (x, y), xytext=(22 if moved else 9, place - height), textcoords="offset points",
            va="center", fontsize=SMALL,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6} if moved else None,
        )  # fmt: skip


def _png(draw: Callable[[Any], None], height: float, digest: str) -> bytes:
    """Draw into axes of their own and give the PNG, with the digest of its data in it."""
    extras.require("plots", ("matplotlib",))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its font cache
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font does not have
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, transparent=True)
    return _small(buffer, digest)


def _small(image: io.BytesIO, digest: str) -> bytes:
    """The image with a palette, a third as large, and with nothing written beside it but the digest."""
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text(png.KEY, digest)
    buffer = io.BytesIO()
    with Image.open(image) as whole:
        # FASTOCTREE is the method that keeps transparency
        few = whole.convert("RGBA").quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(buffer, "PNG", optimize=True, pnginfo=info, dpi=None)
    return buffer.getvalue()
