"""Drawing: valid, repeatable, without a warning whatever the numbers and names are."""

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from service.plots.drawing import COLORS, drawn
from service.plots.picture import Curves, Dots, Frame, Line, Map, Picture, PictureFormat, Theme

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
NAME = 'a < b & "c" $x_1^$ \\frac{'
FRAME = Frame(360, 300, "light", NAME, "knn, n_neighbors 5", ("A note.",), f"All of {NAME}.")
X = np.linspace(0.0, 1.0, 21)


def curves(y_scale: float = 1.0) -> Curves:
    y = y_scale * X**2
    line = Line("estimate", y, y - 0.1 * y_scale, y + 0.1 * y_scale, "90 % band")
    return Curves(FRAME, X, (line,), Dots(X, y), "feature", "target")


def of_classes() -> Curves:
    lines = (Line("cat", X), Line("dog", 1 - X))
    groups = (X > 0.5).astype(np.int64)
    dots = Dots(X, np.zeros(21), groups, ("cat", "dog"))
    return Curves(FRAME, X, lines, dots, "feature", "probability")


def chart(scale: float = 1.0) -> Map:
    z = scale * (X[:, None] + X)
    return Map(FRAME, X, X, z, Dots(X, X, values=2.5 * scale * X), "one", "two", "target")


def of_one_class() -> Map:
    groups = (X > 0.5).astype(np.int64)
    return replace(chart(), dots=Dots(X, X, groups, ("other rows", "rows of cat")))


PICTURES: dict[str, Picture] = {
    "curves": curves(),
    "classes": of_classes(),
    "map": chart(),
    "class map": of_one_class(),
    "nothing supported": replace(curves(), lines=(Line("estimate", np.full(21, np.nan)),)),
    "nothing supported in a map": replace(chart(), z=np.full((21, 21), np.nan)),
    "a constant": replace(curves(), lines=(Line("estimate", np.ones(21)),)),
    "a constant map": replace(chart(), z=np.ones((21, 21))),
    "large": curves(1e150),
    "small": curves(1e-300),
    "a large map": chart(1e150),
    "a small map": chart(1e-300),
    "no rows": replace(curves(), dots=Dots(X[:0], X[:0])),
}


@cache
def svg_of(name: str) -> bytes:
    """Drawing takes a part of a second: one of each for all tests."""
    return drawn(PICTURES[name], PictureFormat.SVG)


def texts(svg: bytes) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", PICTURES)
def test_an_svg_is_well_formed_and_says_in_words_what_it_shows(name: str) -> None:
    root = ET.fromstring(svg_of(name))
    assert (root.tag, root.get("role")) == (f"{SVG}svg", "img")
    assert [child.text for child in root[:2]] == [NAME, f"All of {NAME}."]
    assert root.get("viewBox") == "0 0 270 225"  # points


@pytest.mark.parametrize("name", ["curves", "classes", "map"])
def test_the_same_picture_gives_the_same_bytes(name: str) -> None:
    assert drawn(PICTURES[name], PictureFormat.SVG) == svg_of(name)


def test_a_png_has_the_size_and_the_words_and_is_repeatable() -> None:
    pixels = drawn(PICTURES["curves"], PictureFormat.PNG)
    assert pixels == drawn(PICTURES["curves"], PictureFormat.PNG)
    with Image.open(io.BytesIO(pixels)) as image:
        assert image.size == (360, 300)
        assert image.info["Title"] == NAME
        assert image.info["Description"] == f"All of {NAME}."


def test_texts_are_written_as_they_are() -> None:
    named = replace(curves(), x_label="$x_1$", y_label="<y> & z")
    assert {"$x_1$", "<y> & z", "90 % band", "A note."} <= set(texts(drawn_svg(named)))


def drawn_svg(picture: Picture) -> bytes:
    return drawn(picture, PictureFormat.SVG)


@pytest.mark.filterwarnings("ignore:Glyph")  # the tests reset what drawing.py has switched off
def test_names_in_other_scripts_are_kept() -> None:
    assert "温度" in texts(drawn_svg(replace(curves(), x_label="温度")))


def test_without_a_title_the_description_names_the_picture() -> None:
    root = ET.fromstring(drawn_svg(replace(curves(), frame=replace(FRAME, title=""))))
    assert root.findtext(f"{SVG}title") == f"All of {NAME}."


def test_a_long_text_ends_within_the_sheet() -> None:
    frame = replace(FRAME, title="word " * 60, subtitle="word " * 60)
    shown = texts(drawn_svg(replace(curves(), frame=frame)))
    assert max(map(len, shown)) < 80
    assert any(text.endswith(" …") for text in shown)


def test_the_smallest_sheet_has_room_for_a_picture_under_a_lot_of_text() -> None:
    long = "A name that goes on and on and on"
    frame = Frame(320, 270, "light", long, long, (long,) * 6, long)
    lines = tuple(Line(f"{long} {j}", X) for j in range(8))
    crowded = replace(of_classes(), frame=frame, lines=lines, x_label=long, y_label=long)
    panel = ET.fromstring(drawn_svg(crowded)).find(f".//{SVG}clipPath/{SVG}rect")
    assert panel is not None
    assert float(panel.get("height", "nan")) > 25
    assert float(panel.get("width", "nan")) > 120


def test_a_band_without_bounds_goes_to_the_edge() -> None:
    line = curves().lines[0]
    assert line.upper is not None
    high = np.where(X > 0.5, np.inf, line.upper)
    root = ET.fromstring(drawn_svg(replace(curves(), lines=(replace(line, upper=high),))))
    (use,) = (one for one in root.iter(f"{SVG}use") if "opacity: 0.2" in one.get("style", ""))
    (band,) = (
        one for one in root.iter(f"{SVG}path") if f"#{one.get('id')}" == use.get(f"{XLINK}href")
    )
    down = float(use.get("y", "nan"))
    heights = [down + float(y) for y in re.findall(r"[ML] \S+ (\S+)", band.get("d", ""))]
    panel = root.find(f".//{SVG}clipPath/{SVG}rect")
    assert panel is not None
    assert min(heights) == pytest.approx(float(panel.get("y", "nan")), abs=0.02)


@pytest.mark.parametrize("theme", list(COLORS))
def test_every_theme_can_be_read(theme: Theme) -> None:
    colors = COLORS[theme]
    for color, least in [(colors.ink, 4.5), (colors.faint, 4.5), *((c, 3) for c in colors.lines)]:
        assert contrast(color, colors.sheet) >= least, color


def contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2.2, 1.4.3."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    shares = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
