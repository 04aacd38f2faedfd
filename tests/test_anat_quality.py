"""Verdicts: limits, reasons, and the range of a center."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from afterglow.anat import expected, quality
from afterglow.anat.detail import sharpness
from afterglow.anat.dynamic import _reason
from afterglow.anat.grids import Volume
from afterglow.config.anat import AnatConfig
from afterglow.tables.sessions import _quality


def test_the_worst_limit_decides_and_gives_its_reason():
    limits = [quality.Limit("dice", 0.9, 0.8), quality.Limit("angle", 30.0, 60.0, low=False)]
    found = quality.judge({"dice": 0.85, "angle": 70.0}, limits)
    assert found.verdict == "fail"
    assert found.reasons == ["dice 0.85 is below 0.9", "angle 70 is above 60"]
    assert quality.judge({"dice": np.nan}, limits).verdict == "fail"
    assert quality.judge({"dice": 0.95, "angle": 3.0}, limits).reasons == []


def test_a_number_far_below_the_centers_is_doubted_and_other_centers_do_not_count():
    def verdict(nmi: float) -> dict[str, dict[str, object]]:
        return {"dsc_to_T1w": {"verdict": "pass", "numbers": {"nmi": nmi, "coverage": 1.0}}}

    rng = np.random.default_rng(2)
    north = {("n", str(k)): verdict(0.2 + 0.01 * rng.normal()) for k in range(12)}
    south = {("s", str(k)): verdict(0.1 + 0.01 * rng.normal()) for k in range(12)}
    every = {**north, **south, ("n", "bad"): verdict(0.12), ("s", "good"): verdict(0.12)}
    centers = {key: "north" if key[0] == "n" else "south" for key in every}
    found = expected.unusual(every, centers, 5.0)
    assert set(found) == {("n", "bad")}
    few = {key: every[key] for key in [*list(north)[:4], ("n", "bad")]}
    assert expected.unusual(few, centers, 5.0) == {}


def test_the_sessions_table_counts_a_look_and_an_unusual_number():
    look = {"verdicts": {"brain": {"verdict": "look", "reasons": ["small"]}}}
    assert _quality(look, ())["qc_verdict"] == "look"
    good = {"verdicts": {"brain": {"verdict": "pass", "reasons": []}}}
    assert _quality(good, ())["qc_verdict"] == "pass"
    doubted = _quality(good, ["brain: look (template_dice 0.8 is unusual, 0.95 in the center)"])
    assert doubted["qc_verdict"] == "look"
    assert "unusual" in doubted["qc_reasons"]


def test_a_failed_brain_is_named_before_a_failed_registration():
    assert _reason(True, True) == ""
    assert _reason(False, True) == "registration_failed"
    assert _reason(True, False) == _reason(False, False) == "brain_mask_failed"


def _heads(seed: int, width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a coarse structure that heads share, and details of one of them."""
    rng = np.random.default_rng(seed)
    shared = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(40, 40, 30)), 6.0)
    detail = ndimage.gaussian_filter(rng.normal(size=(40, 40, 30)), width)
    return 100 + 20 * shared / shared.std(), 8 * detail / detail.std()


def test_details_of_another_head_do_not_match_although_the_coarse_structure_does():
    (coarse, mine), (_, theirs) = _heads(1), _heads(2)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    t1w = Volume((coarse + mine).astype(np.float32), affine)
    brain = Volume(np.pad(np.ones((34, 34, 24), bool), 3), affine)
    for same_contrast, sign in ((True, 1.0), (False, -1.0)):
        right = Volume((200 + sign * (coarse + mine)).astype(np.float32), affine)
        wrong = Volume((200 + sign * (coarse + theirs)).astype(np.float32), affine)
        found = [
            sharpness(t1w, image, np.eye(4), brain, 3.0, same_contrast=same_contrast)
            for image in (right, wrong)
        ]
        assert found[0] > 2.0
        assert found[1] < 1.3


def test_a_dynamic_series_of_another_head_fails_by_its_details():
    (coarse, mine), (_, theirs) = _heads(1, 0.8), _heads(2, 0.8)
    affine, settings = np.diag([3.0, 3.0, 3.0, 1.0]), AnatConfig()
    thick = np.diag([3.0, 3.0, 6.0, 1.0])
    thick[2, 3] = 1.5
    t1w = Volume((coarse + mine).astype(np.float32), affine)
    brain = Volume(np.pad(np.ones((34, 34, 24), bool), 3), affine)
    verdicts = []
    for detail in (mine, theirs):
        bright = 400 - 2 * (coarse + detail)
        mean = Volume(bright.reshape(40, 40, 15, 2).mean(axis=3).astype(np.float32), thick)
        more = quality.fine_match("dsc", t1w, mean, np.eye(4), brain, settings)
        verdicts.append(
            quality.registration(t1w, mean, np.eye(4), brain, settings, more=more).as_dict()
        )
    right, wrong = verdicts
    assert right["numbers"]["dsc_detail"] > 1.5 * wrong["numbers"]["dsc_detail"]
    assert right["reasons"] == []
    assert wrong["numbers"]["nmi"] > settings.nmi_look
    assert wrong["verdict"] == "fail"
    assert any("dsc_detail" in reason for reason in wrong["reasons"])


def test_an_image_without_signal_in_half_of_the_brain_fails_although_its_grid_covers_it():
    coarse, mine = _heads(1)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    t1w = Volume((coarse + mine).astype(np.float32), affine)
    brain = Volume(np.pad(np.ones((34, 34, 24), bool), 3), affine)
    half = np.array(t1w.values)
    half[20:] = 2.0
    good = quality.registration(t1w, t1w, np.eye(4), brain, AnatConfig())
    bad = quality.registration(t1w, Volume(half, affine), np.eye(4), brain, AnatConfig())
    assert good.numbers["support"] == 1.0
    assert abs(bad.numbers["support"] - 0.5) < 0.03
    assert any("support" in reason for reason in bad.reasons)
    assert bad.verdict == "fail"
