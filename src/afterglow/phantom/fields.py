"""What the scanner's fields do to an image: sensitivity, transmit field, distortion, dropout.

All are smooth. Sensitivity is fixed to the scanner; the others follow the head, which causes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from afterglow.phantom.compiled import kernel
from afterglow.phantom.geometry import Floats, Grid, Matrix, Pose
from afterglow.phantom.seeds import generator

# Difference of the flip angle between the middle and the surface of the brain, as a fraction of
# the nominal angle. It averages to zero over the brain: scanners calibrate it so.
_TRANSMIT = {1.5: 0.04, 3.0: 0.10}
_BRAIN_MM = 85.0
# Air in the frontal sinus and in both petrous bones: centre and width in mm, displacement of the
# EPI in mm at 3 T, and the rate at which the signal is lost there, 1/s.
_SUSCEPTIBLE = (
    ((0.0, 56.0, -24.0), 16.0, 7.0, 60.0),
    ((46.0, -22.0, -40.0), 14.0, -4.0, 30.0),
    ((-46.0, -22.0, -40.0), 14.0, -4.0, 30.0),
)
# What shimming leaves over the whole brain, mm at 3 T.
_RESIDUAL_MM = 0.7


@dataclass(frozen=True)
class Coil:
    """Sensitivity of the receive coil, as coefficients of a smooth exponent."""

    coefficients: Matrix

    def sensitivity(self, grid: Grid) -> Floats:
        """Return the sensitivity on a grid, about 1."""
        out = np.empty(grid.shape, np.float32)
        _sensitivity(grid.affine, self.coefficients, out)
        return out


def draw_coil(seed: int, patient: str, visit: int) -> Coil:
    """Draw the coil's sensitivity as it was at one visit."""
    return Coil(generator(seed, patient, visit, "coil").uniform(-0.10, 0.10, 6))


def transmit(field: float, grid: Grid, pose: Pose) -> Floats:
    """Return the relative deviation of the flip angle from its nominal value.

    At 3 T the dielectric resonance brightens the middle of the head; it is kept to +6 % there and
    -4 % at the brain's surface, milder than in many patients, because no site has a map of it.
    """
    amplitude = _TRANSMIT[1.5 if field < 2.0 else 3.0]
    out = np.empty(grid.shape, np.float32)
    matrix = np.linalg.inv(pose.matrix()) @ grid.affine
    _transmit(matrix, amplitude, _BRAIN_MM, out)
    return out


def distortion(field: float, grid: Grid, pose: Pose) -> tuple[Floats, Floats]:
    """Return, for an EPI, how many rows away the content comes from, and the R2* that air adds.

    Displacement is along the rows, the direction of the phase encoding, and proportional to the
    field.
    """
    shift, rate = np.empty(grid.shape, np.float32), np.empty(grid.shape, np.float32)
    sources = np.array([[*c, w, d, r] for c, w, d, r in _SUSCEPTIBLE])
    matrix = np.linalg.inv(pose.matrix()) @ grid.affine
    _distortion(matrix, sources, _RESIDUAL_MM, field / 3.0, grid.spacing[1], shift, rate)
    return shift, rate


@kernel
def _sensitivity(m: Matrix, c: Matrix, out: Floats) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                x = (m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3]) / 90.0
                y = (m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3]) / 90.0
                z = (m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3]) / 90.0
                linear = c[0] * x + c[1] * y + c[2] * z + c[3] * x * y + c[4] * y * z
                square = 0.12 * (x * x + y * y + z * z - 1.0) + 0.3 * c[5] * z * z
                out[i, j, k] = np.exp(linear + square)


@kernel
def _transmit(m: Matrix, amplitude: float, radius: float, out: Floats) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                x = m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3]
                y = m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3] + 18.0
                z = m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3] - 8.0
                square = (x * x + y * y + z * z) / radius**2
                out[i, j, k] = amplitude * (0.6 - min(square, 1.4))


@kernel
def _distortion(
    m: Matrix,
    sources: Matrix,
    residual: float,
    scale: float,
    spacing: float,
    shift: Floats,
    rate: Floats,
) -> None:
    for i in range(shift.shape[0]):
        for j in range(shift.shape[1]):
            for k in range(shift.shape[2]):
                x = m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3]
                y = m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3]
                z = m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3]
                moved = residual * np.sin(x / 38.0 + 0.7) * np.cos(z / 45.0)
                lost = 0.0
                for s in sources:
                    away = (x - s[0]) ** 2 + (y - s[1]) ** 2 + (z - s[2]) ** 2
                    near = np.exp(-0.5 * away / s[3] ** 2)
                    moved += s[4] * near
                    lost += s[5] * near
                shift[i, j, k] = scale * moved / spacing
                rate[i, j, k] = scale * lost
