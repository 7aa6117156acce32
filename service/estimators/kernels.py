"""Weight functions and covariances, as formulas in NumPy.

Smoothing kernels K(u), u = ‖x_i - x‖ / h, zero for u > 1 except the Gaussian; constants cancel:

| kernel       | K(u)         |   | kernel    | K(u)         |
|--------------|--------------|---|-----------|--------------|
| gaussian     | exp(-u² / 2) |   | triangular| 1 - u        |
| epanechnikov | 1 - u²       |   | biweight  | (1 - u²)²    |
| tricube      | (1 - u³)³    |   | triweight | (1 - u²)³    |
| uniform      | 1            |   | cosine    | cos(π u / 2) |

Covariances c(r), r the Euclidean distance, l the length scale, s = r / l:

| covariance | c(r)                              |
|------------|-----------------------------------|
| gaussian   | exp(-s² / 2)                      |
| laplacian  | exp(-s)                           |
| matern32   | (1 + √3 s) exp(-√3 s)             |
| matern52   | (1 + √5 s + 5 s² / 3) exp(-√5 s)  |

Sources: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2009), section 6.2;
Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), equation 4.17.
"""

import numpy as np

from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel

LARGEST_SCALED_DISTANCE = 1e4
"""There every covariance is 0; beyond, the polynomials of the Matérn ones would overflow."""


def kernel_weight(kernel: Kernel, u: Floats) -> Floats:
    """Return K(u) for the compact kernels, elementwise, 0 ≤ u ≤ 1."""
    match kernel:
        case Kernel.EPANECHNIKOV:
            return 1.0 - u * u
        case Kernel.TRICUBE:
            return np.asarray((1.0 - u * u * u) ** 3)
        case Kernel.UNIFORM:
            return np.ones_like(u)
        case Kernel.TRIANGULAR:
            return 1.0 - u
        case Kernel.BIWEIGHT:
            return np.asarray(np.square(1.0 - u * u))
        case Kernel.TRIWEIGHT:
            return np.asarray((1.0 - u * u) ** 3)
        case Kernel.COSINE:
            # The sine is exactly 0 at u = 1.
            return np.asarray(np.sin(0.5 * np.pi * (1.0 - u)))
        case Kernel.GAUSSIAN:
            return np.asarray(np.exp(-0.5 * u * u))


def covariance(kind: Covariance, r: Floats, length_scale: float) -> Floats:
    """Return c(r), elementwise."""
    s = np.minimum(r / length_scale, LARGEST_SCALED_DISTANCE)
    match kind:
        case Covariance.GAUSSIAN:
            return np.asarray(np.exp(-0.5 * s * s))
        case Covariance.LAPLACIAN:
            return np.asarray(np.exp(-s))
        case Covariance.MATERN32:
            s = np.sqrt(3.0) * s
            return np.asarray((1.0 + s) * np.exp(-s))
        case Covariance.MATERN52:
            s = np.sqrt(5.0) * s
            return np.asarray((1.0 + s + s * s / 3.0) * np.exp(-s))


def distances(a: Floats, b: Floats) -> Floats:
    """Return the Euclidean distances between the points of a (…, i, d) and b (…, j, d): (…, i, j).

    Summed feature by feature from differences: near duplicates lose no digits, as they would with
    ‖a‖² + ‖b‖² - 2ab.
    """
    total = np.zeros((*a.shape[:-1], b.shape[-2]))
    for j in range(a.shape[-1]):
        difference = a[..., :, None, j] - b[..., None, :, j]
        total += difference * difference
    return np.asarray(np.sqrt(total))
