"""Enhancement between two images of one session."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from afterglow.bids.enhancement import check_contrast, enhanced_share, enhances
from afterglow.bids.images import save_nifti

FACTS = {"repetition_time": 0.008, "inversion_time": 0.4, "echo_times": [0.003], "dimension": "3D",
         "spin_echo": False, "gradient_echo": True}  # fmt: skip


def head(*, agent: bool, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    grid = np.mgrid[0:60, 0:70, 0:50].astype(float)
    inside = sum(
        ((g - c) / r) ** 2 for g, c, r in zip(grid, (30, 35, 25), (24, 29, 21), strict=True)
    )
    image = np.where(inside < 1, 400.0, 0.0)
    sinus = (np.hypot(grid[0] - 30, grid[2] - 40) < 3) & (inside < 1)
    if agent:
        image[sinus] *= 2.5
    return (image + random.normal(0, 15, image.shape)).astype(np.float32)


def test_contrast_is_seen_and_noise_is_not():
    turned = np.diag([-1.0, 1.0, 1.0, 1.0])
    turned[0, 3] = 59
    before, after = head(agent=False), head(agent=True, seed=1)
    share = enhanced_share(before, np.eye(4), after[::-1], turned)
    sinus = (after > 700).sum() / (after > 200).sum()
    assert share == pytest.approx(sinus, rel=0.3)
    assert enhances(share)
    same = enhanced_share(before, np.eye(4), head(agent=False, seed=2), np.eye(4))
    assert abs(same) < 5e-4
    far = np.eye(4)
    far[:3, 3] = 900
    assert enhanced_share(before, np.eye(4), after, far) is None


@pytest.mark.parametrize(
    ("agents", "problems", "warnings", "agrees"),
    [((False, True), 0, 0, True), ((False, False), 0, 1, False), ((True, False), 1, 0, False)],
)
def test_a_class_that_the_pixels_deny_is_said(tmp_path, agents, problems, warnings, agrees):
    said = {"problems": [], "warnings": []}
    job = SimpleNamespace(
        out=lambda path: tmp_path / path,
        problem=lambda *words: said["problems"].append(words),
        warn=said["warnings"].append,
    )
    converted = []
    for number, (kind, agent) in enumerate(zip(("T1w", "T1w_ce"), agents, strict=True)):
        path = f"{kind}.nii.gz"
        save_nifti(head(agent=agent, seed=number), np.eye(4), tmp_path / path)
        converted.append(({"class": kind, "acquisition": FACTS}, {"path": path}))
    found = check_contrast(job, converted)
    assert found["agrees"] is agrees
    assert (len(said["problems"]), len(said["warnings"])) == (problems, warnings)
    other = {**FACTS, "echo_times": [0.012]}
    converted[0][0]["acquisition"] = other
    assert check_contrast(job, converted) is None, "another protocol has another contrast"
