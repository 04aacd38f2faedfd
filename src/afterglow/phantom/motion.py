"""How a head moves during a dynamic series: it settles slowly and is jerked now and then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afterglow.phantom.geometry import Pose
from afterglow.phantom.seeds import generator

_DRIFT = (0.5, 0.6)
_JERK = (1.0, 1.2)
_JERKS = (1, 3)


@dataclass(frozen=True)
class Motion:
    """Poses between which the head moves, and where it is at each frame.

    Attributes
    ----------
    poses : tuple of Pose
        At the start, at the end, and when jerked.
    weights : ndarray, shape (3, frames)
        Share of each pose; a frame on the way from start to end is a mixture of the two, which
        lie much less than a voxel apart.
    """

    poses: tuple[Pose, Pose, Pose]
    weights: NDArray[np.float64]

    @property
    def jerked(self) -> list[int]:
        """Frames at which the head is elsewhere."""
        return [int(k) for k in np.flatnonzero(self.weights[2])]


def draw_motion(
    seed: int, patient: str, visit: int, series: str, pose: Pose, frames: int
) -> Motion:
    """Draw the motion during a series.

    Drifts are up to 0.5 degrees and 0.6 mm, jerks (one to three, of one or two frames each) up to
    1 degree and 1.2 mm about each axis.

    Examples
    --------
    >>> motion = draw_motion(1, "A", 0, "dsc", Pose(), 60)
    >>> motion.weights.shape, bool(np.allclose(motion.weights.sum(axis=0), 1.0))
    ((3, 60), True)
    """
    rng = generator(seed, patient, visit, "motion", series)
    end, jerk = (pose.moved(_small(rng, *size)) for size in (_DRIFT, _JERK))
    settled = 1.0 - np.exp(-3.0 * np.arange(frames) / max(frames - 1, 1))
    settled /= max(settled[-1], 1.0e-9)
    weights = np.stack([1.0 - settled, settled, np.zeros(frames)])
    for _ in range(int(rng.integers(*_JERKS, endpoint=True))):
        first, length = int(rng.integers(3, max(frames - 3, 4))), int(rng.integers(1, 3))
        weights[:, first : first + length] = [[0.0], [0.0], [1.0]]
    return Motion((pose, end, jerk), weights)


def _small(rng: np.random.Generator, degrees: float, millimetres: float) -> Pose:
    turn, move = rng.uniform(-degrees, degrees, 3), rng.uniform(-millimetres, millimetres, 3)
    return Pose(
        (float(turn[0]), float(turn[1]), float(turn[2])),
        (float(move[0]), float(move[1]), float(move[2])),
    )
