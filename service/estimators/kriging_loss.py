"""The leave-one-out loss of local kriging and its gradient by the metric and the noise.

With z = Ax and the covariance c(‖z_i - z_j‖) of length scale 1, each of some rows is predicted from
its k nearest other ones by ordinary kriging, see `local_kriging`: e_i is the residual, v_i its
variance with the noise, where the signal variance is 1. The loss is minus the mean logarithm of the
predictive densities with the best signal variance τ² of each target, τ² = mean e_i² / v_i:

    L = ½ log τ² + ½ mean log v_i

By any parameter, with a = P(y - …) and P the inverse of K_α that projects out the mean,

    de = dkᵀa - wᵀ dK a,     dv = -2 dkᵀw + wᵀ dK w (+ dα (r + wᵀRw)),     a = K_α⁻¹(y - μ1)

and all of dk, dK are g(r²) d(r²), g = dc/d(r²), so that the gradient by the matrix is a sum of
differences of points, d(r²)/dA = 2 z (A⁻¹z)ᵀ: with symmetric weights G of the pairs of a query's
rows,

    Σ G_ij (z_i - z_j)(z_i - z_j)ᵀ = 2 [Σ_i (Σ_j G_ij) z_i z_iᵀ - ZᵀGZ]

so a gradient by all d² entries costs little more than the loss. The neighbours are held.

| covariance | c(r)                          | dc/d(r²)                     |
|------------|-------------------------------|------------------------------|
| gaussian   | exp(-r² / 2)                  | -½ exp(-r² / 2)              |
| laplacian  | exp(-r)                       | -exp(-r) / 2r                |
| matern32   | (1 + √3 r) exp(-√3 r)         | -3/2 exp(-√3 r)              |
| matern52   | (1 + √5 r + 5 r²/3) exp(-√5 r)| -5/6 (1 + √5 r) exp(-√5 r)   |

Sources: Sundararajan & Keerthi (2001), Neural Computation 13(5), 1103-1118, for the loss; Vecchia
(1988), JRSS B 50(2), 297-312, for the nearest rows; Muyskens, Priest, Goumiri & Schneider (2024),
Statistics and Computing 34, 64, for both together.
"""

from dataclasses import dataclass

import numpy as np

from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance
from service.estimators.blocks import Blocks

CHUNK_ENTRIES = 200_000
"""Of the matrices of a piece of work: 1.6 MB each, which the second cache nearly holds."""

LEAST_DISTANCE = 1e-12
"""Stands for 0 where the slope of the laplacian is infinite; the pair then has no weight."""


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss and its gradient.

    Attributes:
        value: L.
        by_matrix: ∂L / ∂A, (d, d).
        by_log_alpha: ∂L / ∂ log α.
    """

    value: float
    by_matrix: Floats
    by_log_alpha: float


@dataclass(frozen=True, eq=False)
class _Pieces:
    """What the loss of some rows leaves for its gradient, for b rows with k neighbours.

    Attributes:
        residual: f₋ᵢ(x_i) - y_i, (b, t).
        variance: (b,).
        offset: Neighbours about the row predicted, before the matrix, (b, k, d).
        z: The same after it.
        weights: w, (b, k).
        a: K_α⁻¹(y - μ1), (b, k, t).
        goal_slope: g of each neighbour and the row, (b, k).
        slope: g of each pair of neighbours, (b, k, k).
        noise: r of each neighbour, (b, k).
        own_noise: r of the row predicted, (b,).
    """

    residual: Floats
    variance: Floats
    offset: Floats
    z: Floats
    weights: Floats
    a: Floats
    goal_slope: Floats
    slope: Floats
    noise: Floats
    own_noise: Floats


def loss(
    x: Floats,
    y: Floats,
    at: Rows,
    neighbors: Rows,
    matrix: Floats,
    kind: Covariance,
    alpha: float,
    blocks: Blocks,
    noise: Floats | None = None,
) -> Loss:
    """Return the loss over the rows `at` and its gradient.

    Args:
        x: All rows, (n, d), in the units that the matrix takes.
        y: All targets, (n, t).
        at: The rows predicted, (s,).
        neighbors: The nearest other rows of each, (s, k).
        matrix: A, (d, d).
        kind: Covariance.
        alpha: α > 0.
        blocks: Runs pieces of the work.
        noise: What the variance of a row's noise is of α, (n,): 1 / p_i; None where all are 1.

    Cost: O(s k² (k + d)).

    Raises:
        LinAlgError: The covariances of some neighbours are singular.
        DeadlineExceeded: Between two pieces, when the time is over.
    """
    size = max(1, CHUNK_ENTRIES // neighbors.shape[1] ** 2)
    starts = range(0, len(at), size)

    def solved(piece: slice) -> _Pieces:
        part = slice(starts[piece.start], starts[piece.start] + size)
        offset = x[neighbors[part]] - x[at[part], None, :]
        near, own = (
            (np.ones(neighbors[part].shape), np.ones(len(at[part])))
            if noise is None
            else (noise[neighbors[part]], noise[at[part]])
        )
        return _solve(offset, matrix, y[neighbors[part]], y[at[part]], kind, alpha, near, own)

    pieces = blocks(solved, len(starts), 1)
    residual = np.concatenate([piece.residual for piece in pieces])
    variance = np.concatenate([piece.variance for piece in pieces])[:, None]
    signal = np.maximum(np.mean(residual * residual / variance, axis=0), np.finfo(np.float64).tiny)
    s, t = residual.shape
    value = 0.5 * np.mean(np.log(signal)) + 0.5 * np.mean(np.log(variance))
    # ∂L/∂e and ∂L/∂v of each row.
    by_residual = residual / variance / (s * t * signal)
    by_variance = (
        0.5 * (1.0 - np.mean(residual**2 / (variance * signal), axis=1)) / variance[:, 0] / s
    )

    def differentiated(piece: slice) -> tuple[Floats, float]:
        part = slice(starts[piece.start], starts[piece.start] + size)
        return _gradient(pieces[piece.start], by_residual[part], by_variance[part])

    gradients = blocks(differentiated, len(starts), 1)
    return Loss(
        value=float(value),
        by_matrix=np.sum([by_matrix for by_matrix, _ in gradients], axis=0),
        by_log_alpha=alpha * sum(by_alpha for _, by_alpha in gradients),
    )


def _solve(
    offset: Floats,
    matrix: Floats,
    y: Floats,
    own_y: Floats,
    kind: Covariance,
    alpha: float,
    noise: Floats,
    own_noise: Floats,
) -> _Pieces:
    """Predict some rows by ordinary kriging from their neighbours at the offsets (b, k, d)."""
    k, z = offset.shape[1], offset @ matrix.T
    square = np.sum(z * z, axis=2)
    squares = square[:, :, None] + square[:, None, :] - 2.0 * (z @ z.transpose(0, 2, 1))
    squares[:, np.arange(k), np.arange(k)] = 0.0
    covariances, slope = _covariance_and_slope(kind, np.maximum(squares, 0.0))
    covariances[:, np.arange(k), np.arange(k)] += alpha * noise
    goal, goal_slope = _covariance_and_slope(kind, square)
    ones = np.ones((*goal.shape, 1))
    solved = np.linalg.solve(covariances, np.concatenate([goal[:, :, None], ones, y], axis=2))
    inverse_one = solved[:, :, 1]
    total = inverse_one.sum(axis=1)
    short = 1.0 - solved[:, :, 0].sum(axis=1)
    weights = solved[:, :, 0] + inverse_one * (short / total)[:, None]
    mean = solved[:, :, 2:].sum(axis=1) / total[:, None]
    explained = np.sum(goal * solved[:, :, 0], axis=1)
    return _Pieces(
        residual=np.einsum("bk,bkt->bt", weights, y) - own_y,
        variance=1.0 - explained + short * short / total + alpha * own_noise,
        offset=offset,
        z=z,
        weights=weights,
        a=solved[:, :, 2:] - inverse_one[:, :, None] * mean[:, None, :],
        goal_slope=goal_slope,
        slope=slope,
        noise=noise,
        own_noise=own_noise,
    )


def _gradient(piece: _Pieces, by_residual: Floats, by_variance: Floats) -> tuple[Floats, float]:
    """Return the sums over rows and pairs that are ∂L/∂A, (d, d), and ∂L/∂α."""
    w, z, v = piece.weights, piece.z, by_variance[:, None]
    by_a = np.einsum("bkt,bt->bk", piece.a, by_residual)
    of_goal = (by_a - 2.0 * v * w) * piece.goal_slope
    pairs = w[:, :, None] * (v * w - by_a)[:, None, :] * piece.slope
    pairs = pairs + pairs.transpose(0, 2, 1)
    single = (of_goal + pairs.sum(axis=2))[:, :, None] * z
    by_matrix = 2.0 * np.einsum("bki,bkj->ij", single - pairs @ z, piece.offset, optimize=True)
    r = piece.noise
    by_alpha = np.sum(by_variance * (piece.own_noise + np.sum(r * w * w, axis=1)))
    by_alpha -= np.sum(r * w * by_a)
    return by_matrix, float(by_alpha)


def _covariance_and_slope(kind: Covariance, square: Floats) -> tuple[Floats, Floats]:
    """Return c and dc/d(r²) at the squared distances r², elementwise."""
    if kind is Covariance.GAUSSIAN:
        value = np.exp(-0.5 * square)
        return value, -0.5 * value
    r = np.sqrt(square)
    if kind is Covariance.LAPLACIAN:
        value = np.exp(-r)
        return value, np.where(r > LEAST_DISTANCE, -0.5 * value / np.maximum(r, LEAST_DISTANCE), 0)
    if kind is Covariance.MATERN32:
        decay = np.exp(-np.sqrt(3.0) * r)
        return (1.0 + np.sqrt(3.0) * r) * decay, -1.5 * decay
    decay = np.exp(-np.sqrt(5.0) * r)
    linear = 1.0 + np.sqrt(5.0) * r
    return (linear + 5.0 / 3.0 * square) * decay, -5.0 / 6.0 * linear * decay
