"""What a square matrix does besides stretching: it rotates and shears.

The polar decomposition M = Q P has a rotation Q and a stretch P >= 0. A second question
is how far M is from normal, that is, from having orthogonal eigenvectors. A symmetric
M >= 0 neither rotates nor shears: its singular directions are eigenvectors, and along
them it only scales.

This runs on the host in numpy: the eigenvalues of a matrix that is not symmetric have
no compiled program on every device.

Symbols: d size, N stacked matrices (any axes).
"""

from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int

from shardsim.inspection import validation
from shardsim.inspection.validation import Numbers


class SquareParts(NamedTuple):
    """Rotation, stretch and shear of M."""

    rotation: Float[np.ndarray, "*N d d"]
    """Q of M = Q P. Q is 0 on the null space of M, which makes it unique."""
    stretch: Float[np.ndarray, "*N d d"]
    """P = (M^T M)^(1/2)."""
    rotation_share: Float[np.ndarray | np.floating, "*N"]
    """||M - P||_F / ||M||_F in [0, 2]: what is lost if only the stretch is used. 0 for
    a symmetric M >= 0, 2 sin(a / 2) for a rotation of the plane by a, 2 for -1."""
    alignment: Float[np.ndarray | np.floating, "*N"]
    """tr M / sum of singular values, in [-1, 1]: mean cosine between what is read and
    what is written, weighted by singular value. Near ties do not change it."""
    angles: Float[np.ndarray, "*N d"]
    """Angle between reads[i] and writes[i], radians in [0, pi], largest singular value
    first; 0 in the null space. Near ties leave these angles undetermined."""
    eigenvalues: Complex[np.ndarray, "*N d"]
    """Largest absolute value first."""
    complex_pairs: Int[np.ndarray | np.integer, "*N"]
    """Number of conjugate pairs of eigenvalues: planes in which M rotates."""
    departure_from_normality: Float[np.ndarray | np.floating, "*N"]
    """(||M||_F^2 - sum |eigenvalue|^2) / ||M||_F^2 in [0, 1]: 0 only if M is normal.

    Reference: Henrici, Bounds for iterates, inverses, spectral variation and fields of
    values of non-normal matrices, 1962."""
    commutator: Float[np.ndarray | np.floating, "*N"]
    """||M M^T - M^T M||_F / ||M||_F^2 in [0, sqrt 2]: 0 only if M is normal."""

    def summary(self) -> str:
        """Rotation, normality and complex pairs, as means over the stack."""
        return (
            f"rotation share {self.rotation_share.mean():.3f}, alignment "
            f"{self.alignment.mean():.3f}, departure from normality "
            f"{self.departure_from_normality.mean():.3f}, "
            f"{self.complex_pairs.mean():g} complex pairs"
        )


def fit(matrix: Annotated[Numbers, "*N d d"]) -> SquareParts:
    """Polar decomposition and departure from normality of a square matrix.

    Args:
      matrix: [*N, d, d] one matrix or a stack of them.

    Returns:
      Arrays in the dtype of `matrix` if it is float32, else in float64. M = 0 gives
      zeros everywhere.

    Raises:
      ValueError: `matrix` is not square, or not finite.
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
    threshold = m.shape[-1] * np.finfo(m.dtype).eps * values[..., :1]
    is_nonzero = np.where(values > threshold, 1, 0).astype(m.dtype)
    rotation = (left * is_nonzero[..., None, :]) @ right
    stretch = np.swapaxes(right, -1, -2) @ (values[..., :, None] * right)
    power = np.square(m).sum(axis=(-1, -2))
    scale = np.where(power > 0, power, 1).astype(m.dtype)
    nuclear = values.sum(axis=-1)
    trace = np.trace(m, axis1=-2, axis2=-1)
    cosines = np.einsum("...di,...id->...i", left, right)
    eigenvalues, pairs = _eigenvalues(m)
    spectrum = np.square(np.abs(eigenvalues)).sum(axis=-1)
    unit = m / np.sqrt(scale)[..., None, None]
    unit_t = np.swapaxes(unit, -1, -2)
    commutator = np.sqrt(np.square(unit @ unit_t - unit_t @ unit).sum(axis=(-1, -2)))
    residual = np.sqrt(np.square(m - stretch).sum(axis=(-1, -2)))
    return SquareParts(
        rotation,
        stretch,
        residual / np.sqrt(scale),
        trace / np.where(nuclear > 0, nuclear, 1).astype(m.dtype),
        np.arccos(np.clip(cosines, -1, 1)) * is_nonzero,
        eigenvalues,
        pairs,
        np.maximum(power - spectrum, 0) / scale,
        commutator,
    )


def _eigenvalues(
    m: Float[np.ndarray, "*N d d"],
) -> tuple[Complex[np.ndarray, "*N d"], Int[np.ndarray | np.integer, "*N"]]:
    """Eigenvalues, largest first, and the number of conjugate pairs."""
    eigenvalues = np.linalg.eigvals(m)
    complex_type = np.result_type(m.dtype, np.complex64)
    order = np.argsort(-np.abs(eigenvalues), axis=-1, kind="stable")
    eigenvalues = np.take_along_axis(eigenvalues, order, axis=-1).astype(complex_type)
    # rounding splits a double real eigenvalue into a complex pair
    size = np.abs(eigenvalues).max(axis=-1, keepdims=True)
    split = 10 * np.sqrt(np.finfo(m.dtype).eps) * size
    return eigenvalues, (eigenvalues.imag > split).sum(axis=-1)
