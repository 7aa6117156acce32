"""The classical ways to choose the reach of a smoother, by name.

| name  | minimises                                                       |
|-------|-----------------------------------------------------------------|
| cv_ls | mean (y_i - f₋ᵢ(x_i))²                                          |
| gcv   | mean (y_i - f(x_i))² / (1 - ν / n)²                             |
| aicc  | log mean (y_i - f(x_i))² + 1 + 2 (ν + 1) / (n - ν - 2)          |

with ν the trace of the hat matrix; `selection` finds where they are least. The fourth, `dpill`, is
a formula, see `plug_in_bandwidth`.

Sources: Craven & Wahba (1979), Numerische Mathematik 31, 377-403, for gcv; Hurvich, Simonoff & Tsai
(1998), JRSS B 60(2), 271-293, for aicc; Ruppert, Sheather & Wand (1995), JASA 90(432), 1257-1270,
for dpill.
"""

from collections.abc import Callable

import numpy as np

from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.estimators.row_weights import mean_of

BLOCKS_MOST, ROWS_A_BLOCK, LEAST_PLACES = 5, 20, 10
TRIMMED = 0.01
ROUNDING = 1e-9
EDGE = 0.05
"""What dpill leaves out at each end: of the rows, and of the second derivatives."""


def gcv(residual: Floats, trace: float, n: int, row_weights: Floats | None = None) -> float:
    """Return mean r² / (1 - ν / n)² of residuals y - f(x), (s, t); infinite where ν is n.

    A fit that passes through its rows has ν = n but for rounding, and 0 / 0 says nothing of it.
    With weights of the rows, (s,), it is the weighted mean, and n how many of all are not 0.
    """
    if trace >= n * (1.0 - ROUNDING):
        return float("inf")
    return _mean_square(residual, row_weights) / (1.0 - trace / n) ** 2


def aicc(residual: Floats, trace: float, n: int, row_weights: Floats | None = None) -> float:
    """Return log mean r² + 1 + 2 (ν + 1) / (n - ν - 2); infinite where ν ≥ n - 2; see `gcv`."""
    if trace >= n - 2:
        return float("inf")
    least = np.finfo(np.float64).tiny
    mean_sq = max(_mean_square(residual, row_weights), least)
    return float(np.log(mean_sq) + 1.0 + 2.0 * (trace + 1.0) / (n - trace - 2.0))


def _mean_square(residual: Floats, row_weights: Floats | None) -> float:
    if row_weights is None:
        return float(np.mean(residual * residual))
    return float(np.mean(mean_of(residual * residual, row_weights)))


def plug_in_bandwidth(x: Floats, y: Floats) -> float:
    """Return dpill, the bandwidth for a local line with the Gaussian kernel in one feature.

    The bandwidth of the least asymptotic error is h⁵ = σ² (b - a) / (2 √π n θ₂₂), with θ₂₂ the mean
    of f''². Quartics on blocks of rows, whose number Mallows' C_p chooses, give first σ² and θ₂₄,
    the mean of f'' f''''; these the bandwidth of a local cubic, which gives θ₂₂; that the bandwidth
    of a local line, which gives σ². The rows are not binned, as those of KernSmooth are.

    Args:
        x: (n,).
        y: (n,).

    Raises:
        InvalidInput: There are fewer than 10 distinct places, or no curvature is found.

    Cost: O(n²).
    """
    order = np.argsort(x, kind="stable")
    cut = int(TRIMMED * len(x))
    kept = order[cut : len(x) - cut]
    x, y, n = x[kept], y[kept], len(kept)
    if len(np.unique(x)) < LEAST_PLACES:
        raise InvalidInput.at(
            "/selector",
            f"dpill needs {LEAST_PLACES} distinct places at least: send another selector.",
        )
    # In units of its own, so that no power of a width is beyond what a number can be.
    unit, size = float(x[-1] - x[0]), float(np.abs(y).max()) or 1.0
    x, y, width = x / unit, y / size, 1.0
    variance, theta_24 = _block_estimates(x, y)
    if theta_24 == 0 or variance <= 0:
        raise InvalidInput.at("/selector", "dpill finds no curvature: send another selector.")
    factor = 3.0 / 8.0 if theta_24 < 0 else 15.0 / 16.0
    cubic = (factor * variance * width / (np.sqrt(np.pi) * abs(theta_24) * n)) ** (1 / 7)
    second = _gaussian_weights(x, cubic, 3, lambda beta: 2.0 * beta[2]) @ y
    inner = (x >= x[0] + EDGE * width) & (x <= x[-1] - EDGE * width)
    theta_22 = float(np.sum(second[inner] ** 2)) / n
    constant = 4.0 * (0.5 + 2.0 * np.sqrt(2.0) - 4.0 / 3.0 * np.sqrt(3.0)) / np.sqrt(2.0 * np.pi)
    line = (constant * variance**2 * width / (theta_22 * n) ** 2) ** (1 / 9)
    hat = _gaussian_weights(x, line, 1, lambda beta: beta[0])
    residual = y - hat @ y
    freedom = n - 2.0 * np.trace(hat) + np.sum(hat * hat)
    variance = float(residual @ residual) / freedom
    return float(unit * (variance * width / (2.0 * np.sqrt(np.pi) * theta_22 * n)) ** 0.2)


def _quartic(x: Floats) -> Floats:
    return np.vander(x, 5, increasing=True)


def _block_estimates(x: Floats, y: Floats) -> tuple[float, float]:
    """Return σ² and θ₂₄ from quartics on the number of blocks that has the least C_p."""
    n = len(x)
    most = max(min(n // ROWS_A_BLOCK, BLOCKS_MOST), 1)
    found = [_quartics(x, y, blocks) for blocks in range(1, most + 1)]
    least_variance = found[-1][0] / (n - 5 * most)
    if least_variance <= 0:
        return 0.0, 0.0
    mallows = [rss / least_variance + 10 * (i + 1) for i, (rss, _) in enumerate(found)]
    blocks = int(np.argmin(mallows)) + 1
    rss, theta_24 = found[blocks - 1]
    return rss / (n - 5 * blocks), theta_24


def _quartics(x: Floats, y: Floats, blocks: int) -> tuple[float, float]:
    """Return the residual sum of squares and θ₂₄ of a quartic on each block."""
    rss, theta_24, size = 0.0, 0.0, len(x) // blocks
    for block in range(blocks):
        part = slice(block * size, len(x) if block == blocks - 1 else (block + 1) * size)
        # About its middle and over its width, for the digits; derivatives have the width's powers.
        middle, width = x[part].mean(), max(np.ptp(x[part]), np.finfo(np.float64).tiny)
        z = (x[part] - middle) / width
        beta = np.linalg.lstsq(_quartic(z), y[part], rcond=None)[0]
        rss += float(np.sum((y[part] - _quartic(z) @ beta) ** 2))
        second = 2.0 * beta[2] + 6.0 * beta[3] * z + 12.0 * beta[4] * z * z
        theta_24 += float(np.sum(second * 24.0 * beta[4])) / float(width) ** 6
    return rss, theta_24 / len(x)


def _gaussian_weights(
    x: Floats, h: float, degree: int, of_beta: Callable[[Floats], Floats]
) -> Floats:
    """Return the weights (n, n) of the targets in a linear function of each row's coefficients.

    The coefficients are those of the local polynomial in x_i - x, with the Gaussian kernel.
    """
    weights = np.empty((len(x), len(x)))
    for i, place in enumerate(x):
        z = (x - place) / h
        root = np.exp(-0.25 * z * z)
        design = np.vander(z, degree + 1, increasing=True) * root[:, None]
        coefficients = np.linalg.pinv(design) * root
        weights[i] = of_beta(coefficients / (h ** np.arange(degree + 1))[:, None])
    return weights
