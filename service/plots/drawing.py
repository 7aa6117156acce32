"""Drawing with matplotlib: figures of its own, without pyplot, which keeps them for the process.

Colours are of the Okabe-Ito palette, which people with colour blindness can tell apart; lines have
a contrast of 3 or more on their sheet, texts of 4.5. The same picture gives the same bytes with the
same version of matplotlib.

Import it where it is used, in one thread: matplotlib takes a part of a second and some 40 MB, and
is not safe in several threads.

Over 300 lines: one sheet, whose sizes and colours belong together.
"""

import io
import re
import textwrap
import warnings
from dataclasses import dataclass
from typing import Any, Final, Literal
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from service.domain.arrays import Floats
from service.plots.picture import Curves, Frame, Line, Map, Picture, PictureFormat, Theme

# What a figure cannot say for itself, once for the process, whatever a matplotlibrc of the machine
# has: texts stay texts, none is read as mathematics, and ids are of the content alone.
mpl.rcdefaults()
mpl.rcParams.update(
    {
        "font.sans-serif": ["DejaVu Sans"],
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "nearfit",
    }
)
# A name in a script that the font does not have: an SVG is shown with fonts of the reader's.
warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)

PIXELS_PER_INCH: Final = 96
POINTS_PER_INCH: Final = 72
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 12.0, 9.5, 8.5
LETTER_WIDTH: Final = 0.55
"""Of an average letter, over the size of its font."""

AXIS_LETTER: Final = 15
"""Pixels of a side that a letter of the name of its axis takes up, with the room around it."""

TALL: Final = 400
"""From so many pixels on there is room for second lines, long names and more notes."""

LEAST_LETTERS: Final = 8
"""On a line, however little room there is."""

PADDING: Final = 14
"""Around everything, in pixels."""

GAP: Final = 0.04
"""Between title, axes and notes, in inches."""

KEY_SAMPLE: Final = 32
"""Of the line or dot beside a name in the key, with the room around it, in points."""

LEVELS: Final = 12
BAND_BEYOND: Final = 0.75
"""How far a band may stretch the axis, over the range of rows and estimates."""

LONG_NUMBER: Final = re.compile(r"(\d+\.\d\d)\d+")
"""A hundredth of a point is fine enough, and half of the bytes."""

DRAWN_ELEMENT: Final = re.compile(r"<(?:path|use|image|text)\b[^>]*>")


@dataclass(frozen=True)
class Colors:
    """Of one theme.

    Attributes:
        sheet: Behind everything.
        ink: Titles and names.
        faint: Numbers at the axes, notes and rows.
        grid: Lines behind the curves.
        lines: Of the first curve, the second, …
    """

    sheet: str
    ink: str
    faint: str
    grid: str
    lines: tuple[str, ...]


COLORS: Final[dict[Theme, Colors]] = {
    "light": Colors(
        "#ffffff",
        "#1f2933",
        "#5a6672",
        "#e6e9ed",
        ("#0072b2", "#d55e00", "#00835f", "#b2558b", "#8a6d00", "#2c8fc4", "#1f2933", "#7b5bb5"),
    ),
    "dark": Colors(
        "#11161d",
        "#e8edf2",
        "#a5b0bc",
        "#28313b",
        ("#56b4e9", "#ff8a3d", "#2bc49a", "#e59ac6", "#e0c341", "#9fd3f2", "#e8edf2", "#b9a3ea"),
    ),
}

DASHES: Final = ("-", "--", "-.", ":")
"""Of lines that follow each other, so that colour is not all that tells them apart."""

MOST_LINES: Final = len(COLORS["light"].lines)


def drawn(picture: Picture, written_as: PictureFormat) -> bytes:
    """Return the picture in the format."""
    frame, colors = picture.frame, COLORS[picture.frame.theme]
    figure = Figure(
        figsize=(frame.width / PIXELS_PER_INCH, frame.height / PIXELS_PER_INCH),
        dpi=PIXELS_PER_INCH,
        facecolor=colors.sheet,
        layout=_layout(frame),
    )
    axes = figure.add_subplot(facecolor=colors.sheet)
    _set_up(axes, colors)
    if isinstance(picture, Curves):
        _draw_curves(figure, axes, picture, colors)
    else:
        _draw_map(figure, axes, picture, colors)
    _write_titles(figure, axes, frame, colors)
    return _svg(figure, frame) if written_as is PictureFormat.SVG else _png(figure, frame)


def _layout(frame: Frame) -> ConstrainedLayoutEngine:
    across, down = PADDING / frame.width, PADDING / frame.height
    room = (across, down, 1 - 2 * across, 1 - 2 * down)
    return ConstrainedLayoutEngine(w_pad=GAP, h_pad=GAP, rect=room)


def _set_up(axes: Axes, colors: Colors) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(colors.faint)
    axes.tick_params(colors=colors.faint, labelsize=SMALL_SIZE)
    axes.xaxis.get_offset_text().set_color(colors.faint)
    axes.yaxis.get_offset_text().set_color(colors.faint)
    axes.set_axisbelow(True)


def _draw_curves(figure: Figure, axes: Axes, picture: Curves, colors: Colors) -> None:
    axes.grid(color=colors.grid, linewidth=0.8)
    dots = picture.dots
    letters = 40 if picture.frame.height >= TALL else 12
    if dots.groups is None:
        low, high = _limits(picture)
        axes.plot(
            dots.x,
            dots.y,
            "o",
            color=colors.faint,
            markersize=_dot_size(len(dots.x)),
            markeredgewidth=0,
            alpha=0.6,
            label="rows",
            zorder=1.9,  # under the lines, though drawn first, so that the key begins with it
        )
    else:
        low, high = -0.04 * (len(dots.names) + 1), 1.03
        axes.set_yticks(np.linspace(0, 1, 6))
    for line, color, dash in zip(picture.lines, colors.lines, DASHES * 2, strict=False):
        if line.lower is not None and line.upper is not None:
            _draw_band(axes, picture.x, line, color, (low, high))
        axes.plot(
            picture.x, line.y, dash, color=color, linewidth=2, label=_short(line.name, letters)
        )
    if dots.groups is not None:
        for group, color in zip(range(len(dots.names)), colors.lines, strict=False):
            x = dots.x[dots.groups == group]
            axes.plot(x, np.full(len(x), -0.04 * (group + 1)), "|", color=color, markersize=5)
    axes.set_ylim(low, high)
    axes.margins(x=0.02)
    _write_key(figure, axes, colors)
    _name_axes(axes, picture, colors)


def _limits(picture: Curves) -> tuple[float, float]:
    """Return the ends of the axis of y: rows and estimates, and of the bands what is not far."""
    inside = np.concatenate([picture.dots.y, *(line.y for line in picture.lines)])
    inside = inside[np.isfinite(inside)]
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 1.0)
    if not low < high:
        reach = max(0.5, 0.1 * abs(low))
        low, high = low - reach, high + reach
    reach = BAND_BEYOND * (high - low)
    for line in picture.lines:
        for edge in (line.lower, line.upper):
            if edge is not None and (finite := edge[np.isfinite(edge)]).size:
                low = min(low, max(float(finite.min()), low - reach))
                high = max(high, min(float(finite.max()), high + reach))
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _draw_band(axes: Axes, x: Floats, line: Line, color: str, limits: tuple[float, float]) -> None:
    """Draw the band; where nothing bounds it, it goes on to the edge of the picture."""
    lower, upper = (np.clip(np.asarray(edge), *limits) for edge in (line.lower, line.upper))
    axes.fill_between(
        x,
        lower,
        upper,
        where=(np.isfinite(lower) & np.isfinite(upper)).tolist(),
        color=color,
        alpha=0.2,
        linewidth=0,
        label=line.band,
    )


def _draw_map(figure: Figure, axes: Axes, picture: Map, colors: Colors) -> None:
    finite = picture.z[np.isfinite(picture.z)]
    dots = picture.dots
    if finite.size:
        levels = _levels(float(finite.min()), float(finite.max()))
        beyond = _beyond(dots.values, levels)
        z = np.ma.masked_invalid(picture.z)
        filled = axes.contourf(picture.x, picture.y, z, levels, cmap="viridis", extend=beyond)
        axes.contour(
            picture.x, picture.y, z, levels, colors=colors.sheet, linewidths=0.5, alpha=0.6
        )
        bar = figure.colorbar(filled, ax=axes, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=colors.faint, labelsize=SMALL_SIZE)
        bar.ax.yaxis.get_offset_text().set_color(colors.faint)
        bar.set_label(
            _short(picture.z_label, picture.frame.height // AXIS_LETTER),
            color=colors.ink,
            fontsize=TEXT_SIZE,
        )
        style: dict[str, Any] = {"cmap": "viridis", "norm": filled.norm}
    else:
        style = {}
    size = _dot_size(len(dots.x)) ** 2
    edge_width = 0.6 if len(dots.x) <= 500 else 0.25
    if dots.groups is None:
        axes.scatter(
            dots.x,
            dots.y,
            size * 1.6,
            c=dots.values if style else colors.faint,
            edgecolors=colors.sheet,
            linewidths=edge_width,
            label="rows",
            clip_on=False,
            **style,
        )
    else:
        for group, (face, edge) in enumerate((("#ffffff", "#000000"), ("#000000", "#ffffff"))):
            of_group = dots.groups == group
            axes.scatter(
                dots.x[of_group],
                dots.y[of_group],
                size * 1.4,
                c=face,
                edgecolors=edge,
                linewidths=edge_width,
                clip_on=False,
                label=_short(dots.names[group]),
            )
    axes.margins(0.0)
    _write_key(figure, axes, colors)
    _name_axes(axes, picture, colors)


def _levels(low: float, high: float) -> Floats:
    """Return round numbers over the range; about its only value where it has no width."""
    if not low < high:
        reach = max(0.5, 0.1 * abs(low))
        low, high = low - reach, high + reach
    return np.asarray(MaxNLocator(LEVELS).tick_values(low, high), dtype=np.float64)


def _beyond(values: Floats | None, levels: Floats) -> Literal["neither", "min", "max", "both"]:
    """Return on which sides of the levels rows have values, which get the colour of the end."""
    below = values is not None and bool((values < levels[0]).any())
    above = values is not None and bool((values > levels[-1]).any())
    if below and above:
        return "both"
    return "min" if below else "max" if above else "neither"


def _dot_size(rows: int) -> float:
    """Return the width of a row in points: smaller where there are many."""
    return float(np.clip(12.0 / max(rows, 1) ** 0.2, 2.5, 5.0))


def _write_key(figure: Figure, axes: Axes, colors: Colors) -> None:
    """Write the key below the name of the axis, where it hides nothing."""
    below = axes.transAxes + ScaledTranslation(0, -37 / POINTS_PER_INCH, figure.dpi_scale_trans)
    handles, names = axes.get_legend_handles_labels()
    room = figure.get_figwidth() * POINTS_PER_INCH * 0.85
    longest = max(map(len, names)) * LETTER_WIDTH * SMALL_SIZE + KEY_SAMPLE
    key = axes.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=below,
        ncols=max(1, min(len(names), int(room / longest))),
        frameon=False,
        fontsize=SMALL_SIZE,
        handlelength=1.6,
        columnspacing=1.4,
        borderpad=0.0,
        borderaxespad=0.0,
        labelcolor=colors.ink,
    )
    key.set_in_layout(True)


def _name_axes(axes: Axes, picture: Picture, colors: Colors) -> None:
    frame = picture.frame
    across = _short(picture.x_label, frame.width // AXIS_LETTER)
    down = _short(picture.y_label, frame.height // AXIS_LETTER)
    axes.set_xlabel(across, color=colors.ink, fontsize=TEXT_SIZE)
    axes.set_ylabel(down, color=colors.ink, fontsize=TEXT_SIZE)


def _write_titles(figure: Figure, axes: Axes, frame: Frame, colors: Colors) -> None:
    """Write the lines above and below, flush with the axes, which then stay where they are."""
    layout = figure.get_layout_engine()
    assert layout is not None
    layout.execute(figure)
    room = frame.width * (1 - axes.get_position().x0) - PADDING
    title = figure.suptitle("", fontsize=TITLE_SIZE, fontweight="bold", color=colors.ink, ha="left")
    subtitle = axes.set_title("", loc="left", fontsize=TEXT_SIZE, color=colors.faint)
    below = figure.supxlabel("", fontsize=SMALL_SIZE, color=colors.faint, ha="left")
    most = 2 if frame.height >= TALL else 1  # lines of a text; twice as many notes
    _wrap(title, (frame.title,), room, most)
    _wrap(subtitle, (frame.subtitle,), room, most)
    _wrap(below, frame.notes[: 2 * most], room, most)
    layout.execute(figure)
    figure.set_layout_engine(None)
    left, edge = axes.get_position().x0, PADDING / frame.height
    title.set_position((left, 1 - edge))
    below.set_position((left, edge))


def _wrap(written: Text, texts: tuple[str, ...], room: float, most: int) -> None:
    """Write the texts within this many pixels, each on so many lines at most, then cut."""
    letters = max(map(len, texts), default=0)
    while True:
        lines = [
            line
            for text in texts
            for line in textwrap.wrap(text, max(letters, 2), max_lines=most, placeholder=" …")
        ]
        written.set_text("\n".join(lines))
        width = written.get_window_extent().width
        if width <= room or letters <= LEAST_LETTERS:
            return
        letters = max(LEAST_LETTERS, min(letters - 1, int(letters * room / width)))


def _short(name: str, most: int = 40) -> str:
    """Return a name as there is room for it."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _svg(figure: Figure, frame: Frame) -> bytes:
    """Return the figure as SVG: without a date, and with its title and description in words."""
    written = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(written, format="svg", metadata=nothing)
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = DRAWN_ELEMENT.sub(lambda element: LONG_NUMBER.sub(r"\1", element[0]), text)
    opening, _, rest = text.removeprefix("<svg").partition(">")
    title = escape(frame.title or frame.description)
    words = f"<title>{title}</title>\n <desc>{escape(frame.description)}</desc>"
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<svg role="img"{opening}>\n {words}{rest}'
    ).encode()


def _png(figure: Figure, frame: Frame) -> bytes:
    written = io.BytesIO()
    words = {"Software": None, "Title": frame.title, "Description": frame.description}
    figure.savefig(written, format="png", metadata=words)
    return written.getvalue()
