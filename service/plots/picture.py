"""What a picture shows, as plain values: curves over one feature, or a map over two."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from service.domain.arrays import Floats, Rows

Theme: TypeAlias = Literal["light", "dark"]


class PictureFormat(StrEnum):
    """The media types that pictures are written in."""

    SVG = "image/svg+xml"
    PNG = "image/png"


@dataclass(frozen=True)
class Frame:
    """The sheet and what is written on it.

    Attributes:
        width: In pixels of 1/96 inch.
        height: Likewise.
        theme: Dark ink on light, or the other way round.
        title: The first line; "" for none.
        subtitle: Below it, smaller; "" for none.
        notes: At the foot, a line each, as many as there is room for.
        description: What there is to see, for those who cannot see it.
    """

    width: int
    height: int
    theme: Theme
    title: str
    subtitle: str
    notes: tuple[str, ...]
    description: str


@dataclass(frozen=True, eq=False)
class Dots:
    """The rows in a picture.

    Attributes:
        x: Of each row, (r,).
        y: Likewise; in curves of classes it says nothing.
        groups: The place of its class in `names`, (r,); None where rows have no class.
        names: Of the classes.
        values: The target of each row, (r,), in a map of numbers; else None.
    """

    x: Floats
    y: Floats
    groups: Rows | None = None
    names: tuple[str, ...] = ()
    values: Floats | None = None


@dataclass(frozen=True, eq=False)
class Line:
    """An estimate over one feature, and perhaps a band about it.

    Attributes:
        name: In the key of the picture.
        y: (k,); NaN where there is no estimate.
        lower: (k,), -∞ where nothing bounds it; None where there is no band.
        upper: Likewise.
        band: What the band is, in the key.
    """

    name: str
    y: Floats
    lower: Floats | None = None
    upper: Floats | None = None
    band: str = ""


@dataclass(frozen=True, eq=False)
class Curves:
    """Estimates over one feature.

    Attributes:
        frame: The sheet.
        x: Where the estimates stand, (k,), ascending.
        lines: One, or one a class.
        dots: The rows.
        x_label: The feature.
        y_label: The target, or what is said of the classes.
    """

    frame: Frame
    x: Floats
    lines: tuple[Line, ...]
    dots: Dots
    x_label: str
    y_label: str


@dataclass(frozen=True, eq=False)
class Map:
    """Estimates over two features.

    Attributes:
        frame: The sheet.
        x: (k,), ascending.
        y: (l,), ascending.
        z: The estimates, (l, k); NaN where there is none.
        dots: The rows.
        x_label: The first feature.
        y_label: The second.
        z_label: The target.
    """

    frame: Frame
    x: Floats
    y: Floats
    z: Floats
    dots: Dots
    x_label: str
    y_label: str
    z_label: str


Picture: TypeAlias = Curves | Map
