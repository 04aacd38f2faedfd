"""The distortion of an echo-planar image is found along its phase encoding, and only there."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

import anat_head
from afterglow.anat import epi
from afterglow.anat.grids import Volume
from afterglow.anat.transforms import apply, invert
from afterglow.config.anat import AnatConfig

SHAPE, AFFINE = (76, 88, 18), anat_head.grid((76, 88, 18), (2.4, 2.4, 5.0), (0.0, -18.0, 10.0))
FINE, FINE_AFFINE = (84, 98, 50), anat_head.grid((84, 98, 50), (2.0, 2.0, 2.0), (0.0, -18.0, 10.0))


def sampled(values: np.ndarray, world: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    head = anat_head.head()
    index = apply(invert(head.affine), world).T
    return ndimage.map_coordinates(values, index, order=1).reshape(shape)


def test_displacement_is_found_along_the_phase_encoding():
    head, rng = anat_head.head(), np.random.default_rng(5)
    world = apply(AFFINE, np.indices(SHAPE).reshape(3, -1).T)
    near = np.exp(-0.5 * ((world - [0.0, 45.0, 0.0]) ** 2).sum(axis=1) / 22.0**2)
    shift = 4.0 * near + 0.5 * np.sin(world[:, 0] / 40.0)
    displaced = world + shift[:, None] * [0.0, 1.0, 0.0]
    image = sampled(head.image("EPI"), displaced, SHAPE) + rng.normal(0, 0.02, SHAPE)
    fine = apply(FINE_AFFINE, np.indices(FINE).reshape(3, -1).T)
    t1w = Volume(400 * sampled(head.image("T1w"), fine, FINE).astype(np.float32), FINE_AFFINE)
    region = t1w.like(sampled(head.brain, fine, FINE) > 0.5)
    target = Volume((300 * np.abs(image)).astype(np.float32), AFFINE)
    found = epi.undistort(target, t1w, np.eye(4), region, 1, AnatConfig())
    assert np.abs(found.field[..., [0, 2]]).max() == 0.0
    brain = sampled(head.brain, displaced, SHAPE) > 0.5
    left = np.abs(found.field[..., 1] - shift.reshape(SHAPE))[brain]
    before = np.abs(shift.reshape(SHAPE))[brain]
    assert np.median(left) <= 0.4
    assert np.median(left[before > 2.0]) <= 0.4 * np.median(before[before > 2.0])
    again = epi.undistort(target, t1w, np.eye(4), region, 1, AnatConfig())
    assert again.field.tobytes() == found.field.tobytes()
    carried = found.average(t1w.like(region.values.astype(np.float32)), target)
    assert abs(float((carried > 0.5).sum()) / brain.sum() - 1) <= 0.02


def test_the_axis_comes_from_the_sidecar_or_not_at_all():
    assert epi.phase_axis({"PhaseEncodingDirection": "i"}) == 0
    assert epi.phase_axis({"PhaseEncodingAxis": "j"}) == 1
    assert epi.phase_axis({}) is None
