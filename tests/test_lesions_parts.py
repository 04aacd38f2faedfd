"""Regions that the images tell: necrosis and enhancing tissue, hyperintensity, treated volume."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.errors import NotEvaluable
from afterglow.lesions import anatomy
from afterglow.lesions.anatomy import Anatomy
from afterglow.lesions.dose import Dose
from afterglow.lesions.grids import Grid
from afterglow.lesions.nodule import nodule_values
from afterglow.lesions.regions import lesion_regions
from afterglow.lesions.treated import treated_volumes

SHAPE = (60, 60, 60)
GRID = Grid(SHAPE, np.diag([1.0, 1.0, 1.0, 1.0]))
POINTS = np.stack(np.meshgrid(*[np.arange(60.0)] * 3, indexing="ij"), -1)


def ball(center, radius):
    return ((POINTS - np.array(center)) ** 2).sum(-1) <= radius**2


@pytest.fixture(scope="module")
def head():
    """A ring, a solid lesion, one that does not enhance; edema around the first; CSF beside it."""
    rng = np.random.default_rng(3)
    labels = np.zeros(SHAPE, np.int32)
    labels[ball((20, 20, 30), 10)] = 1
    labels[ball((45, 45, 30), 6)] = 2
    labels[ball((45, 15, 15), 5)] = 3
    before = 100 + rng.normal(0, 2, SHAPE)
    after = 100 + rng.normal(0, 2, SHAPE)
    after[labels == 1] += 70
    after[ball((20, 20, 30), 6)] -= 70
    after[labels == 2] += 60
    flair = 50 + rng.normal(0, 2, SHAPE)
    flair[ball((20, 20, 30), 15)] = 90
    csf = np.zeros(SHAPE, np.float32)
    csf[:8] = 1
    brain = np.ones(SHAPE, bool)
    white = ((labels == 0) & ~ball((20, 20, 30), 15) & (csf == 0)).astype(np.float32)
    f = np.float32
    images = Anatomy(GRID, after.astype(f), before.astype(f), flair.astype(f), brain, white, csf)
    return labels, images


def regions_of(labels, images):
    pieces = lesion_regions(labels, GRID, None, 1.5, 3.0)
    anatomy.add_parts(pieces, labels, images, 8)
    anatomy.add_edema(pieces, labels, images)
    return pieces


def volume_of_ball(radius):
    return 4 / 3 * np.pi * radius**3 / 1000


def test_necrosis_is_what_does_not_enhance_within(head):
    pieces = regions_of(*head)
    ring = pieces[1]
    assert ring["necrosis"].volume == pytest.approx(volume_of_ball(6), rel=0.06)
    both = ring["enhancing"].mask.astype(int) + ring["necrosis"].mask
    assert (both == ring["lesion"].mask).all()
    assert pieces[2]["necrosis"].volume == 0
    assert not pieces[2]["necrosis"].reason
    assert pieces[2]["enhancing"].volume == pieces[2]["lesion"].volume
    assert pieces[3]["necrosis"].reason == pieces[3]["enhancing"].reason == "not_enhancing"


def test_hyperintensity_belongs_to_the_lesion_it_touches(head):
    labels, images = head
    pieces = regions_of(labels, images)
    expected = volume_of_ball(15) - volume_of_ball(10)
    beside = (ball((20, 20, 30), 15) & (images.csf > 0)).sum() / 1000
    assert pieces[1]["flair"].volume == pytest.approx(expected - beside, rel=0.03)
    assert pieces[2]["flair"].volume == 0
    middle = pieces[1]["flair"].points.mean(axis=0)
    assert np.linalg.norm(middle - [20, 20, 30]) < 2


def test_what_cannot_be_told_apart_has_the_reason(head):
    labels, images = head
    bare = Anatomy(GRID, images.t1w, None, None, images.brain, images.white_matter, images.csf)
    pieces = regions_of(labels, bare)
    assert pieces[1]["necrosis"].reason == "no_precontrast_image"
    assert pieces[1]["flair"].reason == "no_flair"
    pieces = regions_of(labels, Anatomy(GRID))
    assert pieces[1]["enhancing"].reason == "no_anatomy"
    assert pieces[1]["flair"].reason == "no_anatomy"
    with pytest.raises(NotEvaluable, match="no_precontrast_image"):
        bare.enhancement(labels)


def test_parts_as_drawn_win_over_enhancement(head):
    labels, images = head
    drawn = np.zeros(SHAPE, np.int32)
    drawn[ball((20, 20, 30), 13)] = 2
    drawn[labels == 1] = 3
    drawn[ball((20, 20, 30), 4)] = 1
    pieces = regions_of(labels, Anatomy(GRID, csf=images.csf, parts=drawn))
    assert pieces[1]["necrosis"].volume == (drawn == 1).sum() / 1000
    assert pieces[1]["enhancing"].volume == (drawn == 3).sum() / 1000


def test_the_treated_volume_is_the_part_of_the_plan_that_holds_the_lesion(head):
    labels, _ = head
    move = np.eye(4)
    move[:3, 3] = (3.0, -2.0, 1.0)
    dose_grid = Grid((30, 30, 30), np.diag([2.0, 2.0, 2.0, 1.0]))
    points = 2.0 * np.stack(np.meshgrid(*[np.arange(30.0)] * 3, indexing="ij"), -1)
    first = np.linalg.norm(points - (np.array([20, 20, 30]) + move[:3, 3]), axis=-1)
    second = np.linalg.norm(points - (np.array([45, 45, 30]) + move[:3, 3]), axis=-1)
    gray = 24 / (1 + np.exp((first - 11) / 1.5)) + 20 / (1 + np.exp((second - 7) / 1.5))
    pieces = lesion_regions(labels, GRID, None, 1.5, 3.0)
    masks = {label: own["lesion"] for label, own in pieces.items()}
    found = treated_volumes(Dose(gray, dose_grid, "PHYSICAL", "PLAN"), move, masks, 0.5)
    assert set(found) == {1, 2}
    assert found[1].volume == pytest.approx(volume_of_ball(11), rel=0.05)
    assert np.linalg.norm(found[1].points.mean(axis=0) - [20, 20, 30]) < 0.3
    anatomy.add_treated(pieces, found, GRID, "")
    assert pieces[3]["treated"].reason == "not_treated"
    anatomy.add_treated(pieces, {}, GRID, "no_dose")
    assert pieces[1]["treated"].reason == "no_dose"


def test_quotient_and_mismatch_of_a_drawn_nodule():
    lesion, half = ball((30, 30, 30), 8), ball((30, 30, 30), 8 / np.sqrt(2))
    found = nodule_values(lesion, half | ball((50, 50, 50), 5), GRID)
    assert found["lesion_quotient"].value == pytest.approx(0.5, abs=0.03)
    assert found["t1_t2_dice"].value == pytest.approx(2 / (2**1.5 + 1), abs=0.02)
    assert found["t1_t2_distance"].value == pytest.approx(8 - 8 / np.sqrt(2), abs=0.3)
    same = nodule_values(lesion, lesion, GRID)
    assert [v.value for v in same.values()] == [1.0, 1.0, 0.0]
    none = nodule_values(lesion, ball((50, 50, 50), 5), GRID)
    assert none["lesion_quotient"].value == 0
    assert none["t1_t2_distance"].reason == "no_nodule"
    assert {v.reason for v in nodule_values(lesion, None, GRID).values()} == {"no_nodule_mask"}
