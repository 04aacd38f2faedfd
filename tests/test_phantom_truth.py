"""Truth that needs no rendering: who is who, touching lesions, fields, motion."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.phantom import fields, truth
from afterglow.phantom.geometry import Grid, Pose
from afterglow.phantom.lesions import Solid
from afterglow.phantom.motion import draw_motion
from afterglow.phantom.plan import LesionState, full_plan


def _solid(number: int, x: float, diameter: float = 12.0) -> Solid:
    state = LesionState(diameter, 2.0, 0.1)
    return Solid(number, "progression", np.array([x, 0.0, 0.0]), np.zeros((1, 4)), state)


def test_every_fate_of_a_lesion_is_planned_and_named() -> None:
    rows = truth.identity_rows(full_plan(20190304))
    fates = {(r["patient"], r["lesion"], r["state"]) for r in rows}
    assert {("NORTH-0002", 2, "merged"), ("SOUTH-0002", 2, "split")} <= fates
    assert {("NORTH-0003", 4, "new"), ("WEST-0002", 3, "new")} <= fates
    assert {("SOUTH-0003", 1, "absent"), ("SOUTH-0003", 1, "returned")} <= fates
    merged = next(r for r in rows if r["state"] == "merged")
    assert (merged["label"], merged["partner"]) == (1, 1)
    assert all((r["label"] == 0) == (r["state"] == "absent") for r in rows)


def test_growing_lesions_grow_after_radiosurgery_and_both_kinds_are_at_every_center() -> None:
    kinds = set()
    for subject in full_plan(20190304).subjects:
        assert 2 <= len(subject.lesions) <= 5
        assert subject.visits[0] < subject.srs_date < subject.visits[1]
        for spec in subject.lesions:
            sizes = [state.diameter for state in spec.states if state]
            if spec.kind != "stable":
                assert sizes == sorted(sizes)
                kinds.add((subject.center, spec.kind))
    assert len(kinds) == 6


def test_lesions_that_overlap_are_counted_once() -> None:
    apart, centroid = truth._extent([_solid(1, 0.0), _solid(2, 14.0)])
    assert apart == pytest.approx(2 * np.pi / 6 * 1.728, rel=0.01)
    assert centroid == pytest.approx([7.0, 0.0, 0.0], abs=0.05)
    overlap = 10.0
    lens = np.pi * (12 + overlap / 2) * (6 - overlap / 2) ** 2 * 2 / 3 / 1000
    joined, _ = truth._extent([_solid(1, 0.0), _solid(2, overlap)])
    assert joined == pytest.approx(apart - lens, rel=0.01)


def test_fields_are_as_mild_as_the_page_says() -> None:
    axis = np.diag([4.0, 4.0, 4.0, 1.0])
    axis[:3, 3] = -100.0, -118.0, -92.0
    grid = Grid((51, 51, 51), axis)
    index = np.stack(np.meshgrid(*(np.arange(51) for _ in range(3)), indexing="ij"))
    world = np.tensordot(axis[:3, :3], index, axes=1) + axis[:3, 3].reshape(3, 1, 1, 1)
    brain = ((world - np.array([0.0, -18.0, 8.0]).reshape(3, 1, 1, 1)) ** 2).sum(0) < 85.0**2
    angle = fields.transmit(3.0, grid, Pose())
    assert angle[brain].mean() == pytest.approx(0.0, abs=0.003)
    assert (angle[brain].min(), angle[brain].max()) == pytest.approx((-0.04, 0.06), abs=0.003)
    shift, rate = fields.distortion(3.0, grid, Pose())
    upper = brain & (world[2] > 10.0)
    assert np.percentile(np.abs(shift[upper]), 99) * 4.0 < 1.0
    assert np.abs(shift[brain]).max() * 4.0 > 3.0
    assert rate[upper].max() < 10.0 < rate[brain].max()
    low, _ = fields.distortion(1.5, grid, Pose())
    assert low == pytest.approx(shift / 2.0, abs=1e-5)


def test_a_jerk_is_larger_than_the_drift_between_frames_and_passes() -> None:
    motion = draw_motion(20190304, "A", 0, "dsc", Pose(), 60)
    assert 1 <= len(motion.jerked) <= 6
    assert motion.weights[1, -1] in (0.0, 1.0)
    steps = np.abs(np.diff(motion.weights[1]))
    calm = [k for k in range(59) if not {k, k + 1} & set(motion.jerked)]
    assert steps[calm].max() < 0.06
