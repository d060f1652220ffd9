"""What a square matrix does that is no stretching: turning and shearing.

Polar parts M = Q P, with Q a turn and P >= 0 a stretch, and how far M is from normal
(from having orthogonal eigenvectors). A symmetric M >= 0 neither turns nor shears: its
singular directions are eigenvectors, and along them it does nothing but scale.

Runs on the host (numpy): eigenvalues of a matrix that is not symmetric have no
compiled program on every device.

Symbols: d size, N stacked matrices (any axes).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int

from shardsim.inspection import validation


class SquareParts(NamedTuple):
    """Turn, stretch and shear of M."""

    rotation: Float[np.ndarray, "*N d d"]
    """Q of M = Q P. On directions that M kills Q is 0, so that it is unique."""
    stretch: Float[np.ndarray, "*N d d"]
    """P = (M^T M)^(1/2)."""
    rotation_share: Float[np.ndarray, "*N"]
    """||M - P||_F / ||M||_F in [0, 2]: what is left when only the stretch is kept. 0
    for a symmetric M >= 0, 2 sin(a / 2) for a turn of the plane by a, 2 for -1."""
    alignment: Float[np.ndarray, "*N"]
    """tr M / sum of singular values, in [-1, 1]: mean cosine of what is read and what
    is written, weighted by singular value. No near-tie can change it."""
    angles: Float[np.ndarray, "*N d"]
    """Angle between reads[i] and writes[i], radians in [0, pi], largest singular value
    first; 0 where M kills. A near-tie leaves these free."""
    eigenvalues: Complex[np.ndarray, "*N d"]
    """Largest first by size."""
    complex_pairs: Int[np.ndarray, "*N"]
    """Planes that M turns within: conjugate pairs of eigenvalues."""
    departure_from_normality: Float[np.ndarray, "*N"]
    """(||M||_F^2 - sum |eigenvalue|^2) / ||M||_F^2 in [0, 1]: 0 only if M is normal.

    Reference: Henrici, Bounds for iterates, inverses, spectral variation and fields of
    values of non-normal matrices, 1962."""
    commutator: Float[np.ndarray, "*N"]
    """||M M^T - M^T M||_F / ||M||_F^2 in [0, sqrt 2]: 0 only if M is normal."""

    def summary(self) -> str:
        """Turning, normality and pairs, as means over the stack."""
        return (
            f"turned {self.rotation_share.mean():.3f}, alignment {self.alignment.mean():.3f}, "
            f"departure from normal {self.departure_from_normality.mean():.3f}, "
            f"{self.complex_pairs.mean():g} complex pairs"
        )


def fit(matrix: Float[np.ndarray, "*N d d"]) -> SquareParts:
    """Polar and non-normal parts of a square matrix, or of a stack.

    Returns:
      Everything in the dtype of `matrix` if it is float32, else in float64. M = 0 gives
      zeros, and 0 for the alignment.

    Raises:
      ValueError: not square, a number that is not finite.
    """
    m = np.asarray(matrix)
    validation.at_least("axes of matrix", m.ndim, 2)
    validation.shaped("matrix", m, *m.shape[:-1], m.shape[-2])
    validation.at_least("size of matrix", m.size, 1)
    validation.finite("matrix", m)
    validation.sized("matrix", m)
    if m.dtype not in (np.float32, np.float64):
        m = m.astype(np.float64)
    left, values, right = np.linalg.svd(m)
    none = m.shape[-1] * np.finfo(m.dtype).eps * values[..., :1]
    kept = np.where(values > none, 1, 0).astype(m.dtype)
    turn = (left * kept[..., None, :]) @ right
    stretch = np.swapaxes(right, -1, -2) @ (values[..., :, None] * right)
    power = np.square(m).sum(axis=(-1, -2))
    scale = np.where(power > 0, power, 1).astype(m.dtype)
    nuclear = values.sum(axis=-1)
    trace = np.trace(m, axis1=-2, axis2=-1)
    cosines = np.einsum("...di,...id->...i", left, right)
    eigenvalues, pairs = _eigenvalues(m)
    spectrum = np.square(np.abs(eigenvalues)).sum(axis=-1)
    unit = m / np.sqrt(scale)[..., None, None]
    other = np.swapaxes(unit, -1, -2)
    commutator = np.sqrt(np.square(unit @ other - other @ unit).sum(axis=(-1, -2)))
    left_over = np.sqrt(np.square(m - stretch).sum(axis=(-1, -2)))
    return SquareParts(
        turn,
        stretch,
        left_over / np.sqrt(scale),
        trace / np.where(nuclear > 0, nuclear, 1).astype(m.dtype),
        np.arccos(np.clip(cosines, -1, 1)) * kept,
        eigenvalues,
        pairs,
        np.maximum(power - spectrum, 0) / scale,
        commutator,
    )


def _eigenvalues(
    m: Float[np.ndarray, "*N d d"],
) -> tuple[Complex[np.ndarray, "*N d"], Int[np.ndarray, "*N"]]:
    """Eigenvalues, the largest first, and how many conjugate pairs there are."""
    found = np.linalg.eigvals(m)
    complex_type = np.result_type(m.dtype, np.complex64)
    order = np.argsort(-np.abs(found), axis=-1, kind="stable")
    found = np.take_along_axis(found, order, axis=-1).astype(complex_type)
    # a double real eigenvalue comes back as a pair that rounding has split
    size = np.abs(found).max(axis=-1, keepdims=True)
    split = 10 * np.sqrt(np.finfo(m.dtype).eps) * size
    return found, (found.imag > split).sum(axis=-1)
