"""Bias, brain, registration, tissue and verdicts on a synthetic head with known truth."""

from __future__ import annotations

import numpy as np
import pytest

import anat_head
from afterglow.anat import bias, brain, quality, refine, registration, template, tissue
from afterglow.anat.grids import Volume
from afterglow.anat.registration import Side
from afterglow.anat.transforms import apply, invert, resample
from afterglow.config.anat import AnatConfig

SHAPE, ZOOMS = (80, 96, 80), (2.2, 2.2, 2.2)
AFFINE = anat_head.grid(SHAPE, ZOOMS, (0.0, -18.0, 12.0))
MOVE = anat_head.pose((3.0, 5.0, -4.0), (6.0, -3.0, 5.0))
SETTINGS = AnatConfig()


def scanned(contrast: str, move: np.ndarray, seed: int) -> Volume:
    head = anat_head.head()
    values = anat_head.scan(head.image(contrast), head.affine, SHAPE, AFFINE, move)
    noise = np.random.default_rng(seed).normal(0, 0.02, SHAPE)
    return Volume((np.abs(values + noise) * 500).astype(np.float32), AFFINE)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    head = anat_head.head()
    return anat_head.scan(head.brain, head.affine, SHAPE, AFFINE, MOVE) > 0.5


@pytest.fixture(scope="module")
def lesions(truth) -> np.ndarray:
    """Labels of a lesion that sticks out of the brain's surface."""
    edge = np.argwhere(truth)[-1]
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[tuple(slice(max(v - 3, 0), v + 4) for v in edge)] = 1
    return labels


@pytest.fixture(scope="module")
def t1w() -> Volume:
    return scanned("T1w", MOVE, 1)


@pytest.fixture(scope="module")
def found(t1w, lesions) -> brain.Brain:
    return brain.extract(t1w, AnatConfig(brain_backend="bet"), lesions=t1w.like(lesions))


def test_bias_field_is_removed(t1w, truth):
    index = np.indices(SHAPE) / np.array(SHAPE)[:, None, None, None]
    field = np.exp(0.3 * np.sin(3 * index[0]) + 0.3 * (index[1] - 0.5) - 0.3 * index[2] ** 2)
    _, made = bias.correct(t1w.like(t1w.values * field.astype(np.float32)), SETTINGS)
    before = np.std(field[truth]) / np.mean(field[truth])
    rest = (field / made)[truth]
    assert np.std(rest) / np.mean(rest) < 0.5 * before


def test_brain_is_found_and_keeps_the_lesion(found, truth, lesions):
    assert quality.dice(found.mask.values & (lesions == 0), truth & (lesions == 0)) >= 0.95
    assert found.mask.values[lesions > 0].all()
    assert found.facts["lesion_voxels_added"] > 0


def test_brain_maps_to_the_template(found, truth):
    points = apply(AFFINE, np.argwhere(truth)[::101])
    apart = np.linalg.norm(apply(found.to_template, points) - apply(invert(MOVE), points), axis=1)
    assert np.median(apart) <= 1.5


def test_tissues_and_plane_follow_the_head(found, t1w, truth):
    head = anat_head.head()
    maps = found.warp.pull([getattr(template.load(), c.lower()) for c in tissue.CLASSES], t1w)
    priors = dict(zip(tissue.CLASSES, maps, strict=True))
    made = tissue.segment(t1w, found.mask, priors, SETTINGS)
    for name, values in (("GM", head.gm), ("WM", head.wm)):
        wanted = anat_head.scan(values, head.affine, SHAPE, AFFINE, MOVE) > 0.5
        assert quality.dice((made[name] > 0.5) & truth, wanted & truth) >= 0.8
    plane = tissue.midsagittal(t1w, found.mask, found.to_template, SETTINGS)
    assert np.degrees(np.arccos(abs(plane.normal @ MOVE[:3, 0]))) <= 1.0
    assert abs(plane.normal @ MOVE[:3, 3] - plane.offset) <= 1.0


def test_registration_recovers_the_pose_and_repeats_bit_for_bit(t1w, truth):
    other_pose = anat_head.pose((4.0, 4.0, -2.0), (5.0, -1.0, 3.0))
    flair = scanned("FLAIR", other_pose, 2)
    matrix = registration.linear(Side(t1w), Side(flair), SETTINGS)
    again = registration.linear(Side(t1w), Side(flair), SETTINGS)
    assert matrix.tobytes() == again.tobytes()
    points = apply(AFFINE, np.argwhere(truth)[::101])
    rough = registration.displacement(matrix, other_pose @ invert(MOVE), points)
    assert np.median(rough) <= 2.0
    region = t1w.like(truth)
    matrix = refine.refine(t1w, flair, matrix, refine.grown(region, 4.0), SETTINGS)
    apart = registration.displacement(matrix, other_pose @ invert(MOVE), points)
    assert np.median(apart) <= 0.3
    assert np.percentile(apart, 95) <= 0.5
    assert quality.registration(t1w, flair, matrix, region, SETTINGS).verdict == "pass"


def test_seeded_failures_are_flagged(t1w, truth, found):
    region = t1w.like(truth)
    wrong = anat_head.pose((15.0, -20.0, 10.0), (0.0, 0.0, 25.0))
    blank = t1w.like(np.zeros(SHAPE, np.float32))
    assert quality.registration(t1w, t1w, wrong, region, SETTINGS).verdict == "fail"
    assert quality.registration(t1w, blank, np.eye(4), region, SETTINGS).verdict == "fail"
    half = truth.copy()
    half[: SHAPE[0] // 2] = False
    hull = t1w.like(
        resample(
            template.load().mask.values,
            template.load().mask.affine,
            SHAPE,
            AFFINE,
            found.to_template,
        )
    )
    assert quality.brain(t1w.like(half), hull, t1w, SETTINGS).verdict == "fail"
    assert quality.brain(found.mask, hull, t1w, SETTINGS).verdict == "pass"


def test_lesions_are_kept_out_of_the_metric():
    labels = np.zeros((20, 20, 20), dtype=int)
    labels[10, 10, 10] = 1
    mask = Volume(np.ones((20, 20, 20), dtype=bool), np.eye(4))
    free = registration.lesion_free(mask, mask.like(labels), 3.0)
    assert not free.values[10, 10, 12]
    assert free.values[10, 10, 13]


def test_the_reference_is_deformed_to_a_later_session_where_asked(t1w, truth, tmp_path):
    from afterglow.anat.session import Anatomy, _compare
    from afterglow.anat.store import Store
    from afterglow.bids.images import load_nifti

    def made(relative: str):
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    head, pose = anat_head.head(), anat_head.pose((1.0, 2.0, -3.0), (2.0, 3.0, -2.0))
    stretch = np.diag([1.04, 0.97, 1.03, 1.0])
    other = anat_head.scan(head.image("T1w"), head.affine, SHAPE, AFFINE, pose @ stretch)
    earlier = Volume((500 * other).astype(np.float32), AFFINE)
    near = refine.grown(t1w.like(truth), 10.0)
    anatomy = Anatomy(t1w, t1w.like(truth), {}, None, None, near, near, near, near, True)
    store = Store(made, made, "A", "1", print, print)
    matrix = pose @ invert(MOVE)
    _compare(store, anatomy, earlier, matrix, SETTINGS, 1)
    deformed, _ = load_nifti(next(tmp_path.rglob("*desc-deformedreference_T1w.nii.gz")))
    stiff = resample(earlier.values, AFFINE, SHAPE, AFFINE, matrix)
    alike = [float(np.corrcoef(t1w.values[truth], v[truth])[0, 1]) for v in (stiff, deformed)]
    assert alike[1] > alike[0] + 0.02
