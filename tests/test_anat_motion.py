"""Motion is recovered under a bolus, and the bolus is not taken for motion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import anat_head
from afterglow.anat import motion, refine
from afterglow.anat.grids import Volume
from afterglow.anat.transforms import invert, rigid, rigid_parameters
from afterglow.config.anat import AnatConfig

SHAPE, ZOOMS = (72, 84, 16), (3.0, 3.0, 6.0)
FRAMES, ONSET = 14, 5


def series(moving: bool) -> tuple[Volume, list[np.ndarray]]:
    """A DSC series: a bolus that takes up to half of the grey matter's signal."""
    rng = np.random.default_rng(3)
    head = anat_head.head()
    affine = anat_head.grid(SHAPE, ZOOMS, (0.0, -18.0, 10.0))
    walk = np.zeros((FRAMES, 6))
    if moving:
        walk[ONSET:] += [0.8, -1.0, 0.6, 1.2, -0.8, 0.6]
        walk[10] += [0.5, 1.5, 0.0, 1.0, 0.0, 1.0]
    walk[:, 3:] = np.radians(walk[:, 3:])
    center = (affine @ [*((np.array(SHAPE) - 1) / 2), 1.0])[:3]
    poses = [rigid(w, center) for w in walk]
    bolus = np.array([0, 0, 0, 0, 0, 0.3, 1.0, 0.9, 0.5, 0.25, 0.2, 0.15, 0.15, 0.15])
    frames = []
    for pose, level in zip(poses, bolus, strict=True):
        signal = head.image("EPI") * np.exp(-0.15 * level * (4.0 * head.gm + 1.8 * head.wm))
        thick = ndimage.gaussian_filter(signal, (0.4, 0.4, 1.2))
        still = anat_head.scan(thick, head.affine, SHAPE, affine, pose)
        frames.append(np.abs(still + rng.normal(0, 0.02, SHAPE)))
    return Volume(np.stack(frames, axis=-1).astype(np.float32) * 400, affine), poses


def tissues(poses: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tissues where the head lies at first, as anatomy and registration give them."""
    head, affine = anat_head.head(), anat_head.grid(SHAPE, ZOOMS, (0.0, -18.0, 10.0))
    maps = {"GM": head.gm, "WM": head.wm, "CSF": head.csf * head.brain}
    return {c: anat_head.scan(v, head.affine, SHAPE, affine, poses[0]) for c, v in maps.items()}


@pytest.fixture(scope="module")
def moved() -> tuple[Volume, list[np.ndarray], motion.Motion]:
    made, poses = series(moving=True)
    return (
        made,
        poses,
        motion.estimate(motion.roughly(made, AnatConfig()), AnatConfig(), tissues(poses)),
    )


def errors(poses, found, affine):
    center = (affine @ [*((np.array(SHAPE) - 1) / 2), 1.0])[:3]
    rows = []
    for pose, matrix in zip(poses, found.matrices, strict=True):
        rest = invert(matrix) @ pose @ invert(poses[0]) @ found.matrices[0]
        six = rigid_parameters(rest, center)
        rows.append([*six[:3], *np.degrees(six[3:])])
    return np.abs(np.array(rows))


def test_poses_are_recovered_with_the_bolus_present(moved):
    made, poses, found = moved
    apart = errors(poses, found, made.affine)
    assert np.median(apart) <= 0.05
    assert apart[:, :3].max() <= 0.2
    assert apart[:, 3:].max() <= 0.22


def test_moved_frames_are_flagged_and_resampled(moved):
    _, _, found = moved
    assert found.censored[ONSET]
    assert found.censored[10]
    assert not found.censored[:ONSET].any()
    assert found.resampled[ONSET:].all()


def test_correction_brings_frames_together(moved):
    made, _, found = moved
    after = motion.correct(made, found)
    core = (slice(12, -12), slice(12, -12), slice(4, -4))
    before = np.abs(made.values[core][..., 13] - made.values[core][..., 0]).mean()
    assert np.abs(after[core][..., 13] - after[core][..., 0]).mean() < 0.8 * before


def test_a_bolus_alone_is_not_motion():
    made, poses = series(moving=False)
    found = motion.estimate(motion.roughly(made, AnatConfig()), AnatConfig(), tissues(poses))
    assert np.abs(found.parameters[:, :3]).max() <= 0.15
    assert np.abs(found.parameters[:, 3:]).max() <= 0.2
    assert not found.censored.any()


def test_other_contrast_of_the_same_head_is_aligned():
    head = anat_head.head()
    affine = anat_head.grid(SHAPE, ZOOMS, (0.0, -18.0, 10.0))
    move = anat_head.pose((1.0, -0.8, 0.5), (0.5, 1.0, -1.0))
    still = Volume(anat_head.scan(head.image("T1w"), head.affine, SHAPE, affine), affine)
    other = anat_head.scan(head.image("FLAIR"), head.affine, SHAPE, affine, move)
    matrix = refine.align(Volume(other, affine), still, AnatConfig())
    rest = rigid_parameters(invert(move) @ matrix, np.array([0.0, -18.0, 10.0]))
    assert np.abs(rest[:3]).max() <= 0.3
    assert np.degrees(np.abs(rest[3:])).max() <= 0.3
