"""Products K(x, x) a in 32-bit floats, compiled by Numba: for steps that are corrected later.

Twice as many lanes as in `products`, and a root and an exponential of fewer operations.
Coordinates are centred and divided by the length scale before they are rounded, so that for rows
within s length scales of their mean a covariance is off by about 1e-7 (1 + s). What a pair of rows
gives depends on the absolute differences of their coordinates alone, so the matrix that is
multiplied by is symmetric, and the same every time.

Sums over a tile are 32-bit, sums of tiles 64-bit; coefficients are divided by their largest before
they are rounded, so that those of a small residual do not vanish.

Source of the root's first guess, from the bits of the number: Lomont, Fast Inverse Square Root
(2003).
"""

from typing import Any, Final, TypeAlias, final

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numpy.typing import NDArray

from service.backends.native.covariances import COVARIANCE_CODES, correlation
from service.backends.native.exponential import use_widest_vectors
from service.backends.native.products import (
    SHARE_OF_ROWS,
    TILE_ROWS,
    box_gap_sq,
    in_tiles,
    out_of_tiles,
    share_cuts,
)
from service.backends.native.tree import RowIds
from service.domain.arrays import Floats
from service.domain.kernels import Covariance

intrinsic: Any = extending.intrinsic
"""Untyped: its type counts the typing context among the arguments of a call."""

Singles: TypeAlias = NDArray[np.float32]

PAIRS_A_SHARE = 4_000_000
"""A few milliseconds of computing."""

NEGLIGIBLE = 1e-8
"""Pairs of tiles with covariances below this share of 1 / n count as nothing."""

_GAUSSIAN = COVARIANCE_CODES[Covariance.GAUSSIAN]
_LAPLACIAN = COVARIANCE_CODES[Covariance.LAPLACIAN]
_MATERN32 = COVARIANCE_CODES[Covariance.MATERN32]
_MATERN52 = COVARIANCE_CODES[Covariance.MATERN52]

_LOG2_E = 1.4426950408889634
UNITS: Final = {
    Covariance.GAUSSIAN: np.sqrt(_LOG2_E / 2),
    Covariance.LAPLACIAN: _LOG2_E,
    Covariance.MATERN32: np.sqrt(3.0) * _LOG2_E,
    Covariance.MATERN52: np.sqrt(5.0) * _LOG2_E,
}
"""How many units a length scale has, for the exponential to be 2⁻ᵘ, with the distance u in them, or
for the Gaussian its square."""

_single: Any = np.float32
"""Untyped, since Numba's 32-bit numbers are floats to the type checker."""

_ONE, _LN2, _LN2_SQ_THIRD = _single(1.0), _single(np.log(2)), _single(np.log(2) ** 2 / 3)
_LARGEST_POWER = _single(120.0)
_ROUNDER = _single(1.5 * 2.0**23)

# 2ᶠ - 1 over f, in Chebyshev polynomials on |f| ≤ 1/2: 2ᶠ is wrong by less than 2.1e-7 of itself.
_E1 = _single(0.693147188)
_E2 = _single(0.240223489)
_E3 = _single(0.055503571)
_E4 = _single(0.00966637369)
_E5 = _single(0.00133908674)

# 1 / √w in Chebyshev polynomials for w from 0.932 to 1.070, what the first guess leaves: wrong by
# less than 2.4e-8 of itself.
_R0 = _single(2.46303153)
_R1 = _single(-3.28819089)
_R2 = _single(2.9613789)
_R3 = _single(-1.41031295)
_R4 = _single(0.274093402)


@intrinsic
def _times_power_of_two(typing_context: Any, value: Any, rounded: Any) -> Any:
    """Return value · 2ⁿ, where the last bits of `rounded` hold n."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        bits, n = (builder.bitcast(argument, integer) for argument in arguments)
        exponent = builder.shl(n, integer(23))
        return builder.bitcast(builder.add(bits, exponent), ir.FloatType())

    return types.float32(types.float32, types.float32), generate


@intrinsic
def _guessed_inverse_root(typing_context: Any, value: Any) -> Any:
    """Return 1 / √value to 4 %, from half the exponent."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        half = builder.lshr(builder.bitcast(arguments[0], integer), integer(1))
        return builder.bitcast(builder.sub(integer(0x5F3759DF), half), ir.FloatType())

    return types.float32(types.float32), generate


@final
class NativeSingleProducts:
    """K(x, x) a in 32-bit floats; see `backends.base.SingleProducts`.

    Args:
        x: The rows, feature by feature, (d, n), near ones beside each other.
        rows: The index of each in the dataset, (n,).
        covariance: c.
        length_scale: Of c.
    """

    def __init__(
        self, x: Floats, rows: RowIds, covariance: Covariance, length_scale: float
    ) -> None:
        scaled = (x - x.mean(axis=1, keepdims=True)) / length_scale
        tiles = in_tiles(scaled, scaled[:, -1:])
        self._tiles: Final = (tiles * UNITS[covariance]).astype(np.float32)
        self._boxes: Final = np.stack([tiles.min(axis=2), tiles.max(axis=2)], axis=1)
        self._rows: Final = rows
        self._code: Final = COVARIANCE_CODES[covariance]
        pairs = max(PAIRS_A_SHARE, SHARE_OF_ROWS * len(rows))
        self._cuts: Final = share_cuts(len(tiles), pairs)

    @property
    def share_count(self) -> int:
        """Into how many shares a product is cut."""
        return len(self._cuts) - 1

    def tiled(self, a: Floats) -> Singles:
        """Return the coefficients a (n, c), at most 1 in size, as `share` takes them."""
        return in_tiles(a[self._rows].T, np.zeros((a.shape[1], 1))).astype(np.float32)

    def share(self, index: int, tiled: Singles) -> Floats:
        """Return one of the shares that add up to the product, in tiles."""
        sums = np.zeros(tiled.shape)
        _fill_share(
            self._tiles, tiled, self._boxes, self._code, NEGLIGIBLE / len(self._rows),
            self._cuts[index], self._cuts[index + 1], sums,
        )  # fmt: skip
        return sums

    def untiled(self, sums: Floats) -> Floats:
        """Return sums in tiles as (n, c), in the order of the dataset."""
        return out_of_tiles(sums, self._rows)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _root(s: float) -> float:
    """Return √s of a 32-bit float to about 1e-7 of itself, and 0 for 0."""
    y = _guessed_inverse_root(s)
    t = s * y
    w = t * y
    root: float = t * (_R0 + w * (_R1 + w * (_R2 + w * (_R3 + w * _R4))))
    return root


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _correlation(covariance: int, s: float) -> float:
    """Return the covariance at the squared distance s in `UNITS`; not less than 2⁻¹²⁰."""
    u = s
    if covariance != _GAUSSIAN:
        u = _root(s)
    u = min(u, _LARGEST_POWER)
    rounded = _ROUNDER - u
    f = (_ROUNDER - rounded) - u
    power = _ONE + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * _E5))))
    value: float = _times_power_of_two(power, rounded)
    if covariance == _MATERN32:
        value *= _ONE + u * _LN2
    elif covariance == _MATERN52:
        value *= _ONE + u * (_LN2 + u * _LN2_SQ_THIRD)
    return value


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _fill_squares(tile: Singles, others: Singles, row: int, squares: Singles) -> None:
    """Fill squares (r,) with the squared distances of a tile (d, r) from a row of another."""
    use_widest_vectors()
    if tile.shape[0] == 2:
        first, second = others[0, row], others[1, row]
        for i in range(TILE_ROWS):
            u = tile[0, i] - first
            v = tile[1, i] - second
            squares[i] = u * u + v * v
    else:
        squares[:] = _single(0.0)
        for j in range(tile.shape[0]):
            center = others[j, row]
            for i in range(TILE_ROWS):
                u = tile[j, i] - center
                squares[i] += u * u


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _correlate(covariance: int, run: Singles) -> None:
    """Overwrite squared distances with their covariances; one loop a covariance."""
    use_widest_vectors()
    if covariance == _GAUSSIAN:
        for i in range(TILE_ROWS):
            run[i] = _correlation(_GAUSSIAN, run[i])
    elif covariance == _LAPLACIAN:
        for i in range(TILE_ROWS):
            run[i] = _correlation(_LAPLACIAN, run[i])
    elif covariance == _MATERN32:
        for i in range(TILE_ROWS):
            run[i] = _correlation(_MATERN32, run[i])
    else:
        for i in range(TILE_ROWS):
            run[i] = _correlation(_MATERN52, run[i])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _dot(run: Singles, a: Singles) -> float:
    """Return run · a, added in an order that is fixed when this is compiled."""
    use_widest_vectors()
    total: float = _single(0.0)
    for i in range(TILE_ROWS):
        total += run[i] * a[i]
    return total


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _add(run: Singles, factor: float, sums: Singles) -> None:
    use_widest_vectors()
    for i in range(TILE_ROWS):
        sums[i] += factor * run[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_share(
    tiles: Singles,
    a: Singles,
    boxes: Floats,
    covariance: int,
    least: float,
    start: int,
    stop: int,
    sums: Floats,
) -> None:
    """Add to sums (tiles, c, r) what the tiles start:stop have with themselves and later ones."""
    use_widest_vectors()
    count, columns = a.shape[0], a.shape[1]
    run = np.empty(TILE_ROWS, dtype=np.float32)
    added = np.empty((columns, TILE_ROWS), dtype=np.float32)
    for first in range(start, stop):
        for second in range(first, count):
            if correlation(covariance, box_gap_sq(boxes, first, second, 1.0)) < least:
                continue
            added[:] = _single(0.0)
            for row in range(TILE_ROWS):
                _fill_squares(tiles[second], tiles[first], row, run)
                _correlate(covariance, run)
                for c in range(columns):
                    sums[first, c, row] += _dot(run, a[second, c])
                    _add(run, a[first, c, row], added[c])
            if second > first:
                for c in range(columns):
                    for i in range(TILE_ROWS):
                        sums[second, c, i] += added[c, i]
