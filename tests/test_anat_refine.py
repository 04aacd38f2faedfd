"""A T2*-weighted image of thick slices is placed on the T1w to tenths of a millimetre."""

from __future__ import annotations

import numpy as np
import pytest

import anat_head
from afterglow.anat.grids import Volume
from afterglow.anat.refine import refine
from afterglow.anat.sampling import distance
from afterglow.anat.transforms import apply, invert
from afterglow.config.anat import AnatConfig

FINE, FINE_AFFINE = (84, 98, 50), anat_head.grid((84, 98, 50), (2.0, 2.0, 2.0), (0.0, -18.0, 10.0))
THIN, THIN_AFFINE = (152, 176, 72), anat_head.grid((152, 176, 72), (1.2, 1.2, 1.25), (0, -18, 10))
SHAPE, AFFINE = (76, 88, 18), anat_head.grid((76, 88, 18), (2.4, 2.4, 5.0), (0.0, -18.0, 10.0))


def on_fine(values: np.ndarray) -> np.ndarray:
    return anat_head.scan(values, anat_head.head().affine, FINE, FINE_AFFINE)


def echo_planar(move: np.ndarray) -> Volume:
    """Return an EPI, grey and white matter nearly alike, in a field that varies by a third."""
    made = anat_head.head()
    still = 1.0 * made.csf + 0.62 * made.gm + 0.58 * made.wm + 0.03 * made.skull
    values = anat_head.scan(still, made.affine, THIN, THIN_AFFINE, move)
    values = values.reshape(76, 2, 88, 2, 18, 4).mean(axis=(1, 3, 5))
    field = 1 + 0.15 * np.linspace(-1, 1, SHAPE[1])[None, :, None]
    noise = np.random.default_rng(3).normal(0, 0.004, SHAPE)
    return Volume((900 * np.abs(values * field + noise)).astype(np.float32), AFFINE)


@pytest.mark.parametrize(
    ("shift", "degrees"),
    [((0.8, -1.1, 0.9), (0.8, -0.5, 0.6)), ((-1.0, 0.7, -1.2), (-1.0, 0.6, -0.4))],
)
def test_a_dynamic_series_finds_its_place(shift, degrees):
    made, settings = anat_head.head(), AnatConfig()
    t1w = Volume(400 * on_fine(made.image("T1w")).astype(np.float32), FINE_AFFINE)
    brain = on_fine(made.brain) > 0.5
    core = t1w.like(distance(~brain, np.full(3, 2.0)) > 3.0)
    move = anat_head.pose(shift, degrees)
    matrix = np.eye(4)
    for points in (None, settings.refine_points):
        matrix = invert(
            refine(t1w, echo_planar(move), invert(matrix), core, settings, points=points)
        )
    points = apply(FINE_AFFINE, np.argwhere(brain)[::50])
    left = np.linalg.norm(apply(matrix, apply(move, points)) - points, axis=1)
    assert np.median(left) <= 0.3
    assert np.percentile(left, 95) <= 0.4
