"""Compiled sampling and distances agree with scipy's general filters."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from afterglow.anat import sampling

RNG = np.random.default_rng(4)
VALUES = RNG.normal(size=(19, 23, 7)).astype(np.float32)
MATRIX = np.eye(4)
MATRIX[:3, :3] += RNG.normal(0, 0.05, (3, 3))
MATRIX[:3, 3] = [1.3, -0.8, 0.4]


@pytest.mark.parametrize("order", [0, 1, 3])
def test_volumes_are_sampled_as_scipy_samples_them(order):
    made = sampling.affine_sample(VALUES, MATRIX, (20, 18, 9), order, np.nan)
    wanted = ndimage.affine_transform(
        VALUES,
        MATRIX[:3, :3],
        MATRIX[:3, 3],
        output_shape=(20, 18, 9),
        order=order,
        mode="constant",
        cval=np.nan,
    )
    assert np.array_equal(np.isnan(made), np.isnan(wanted))
    assert 0 < np.isnan(made).sum() < made.size
    assert np.allclose(made, wanted, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("order", [1, 3])
def test_points_are_sampled_as_scipy_samples_them(order):
    index = RNG.uniform(0, 1, (3, 200)) * (np.array(VALUES.shape)[:, None] - 1)
    source = sampling.spline_coefficients(VALUES) if order > 1 else VALUES
    made = sampling.point_sample(source, index, order)
    wanted = ndimage.map_coordinates(VALUES, index, order=order, mode="mirror")
    assert np.allclose(made, wanted, atol=1e-4)


def test_points_outside_take_the_border():
    index = np.array([[-3.0, 30.0], [4.0, 5.0], [2.0, 90.0]])
    made = sampling.point_sample(VALUES, index, 1)
    assert made.tolist() == pytest.approx([VALUES[0, 4, 2], VALUES[18, 5, 6]])


def test_a_shape_with_one_slice_is_sampled():
    flat = VALUES[:, :, :1]
    assert np.allclose(sampling.affine_sample(flat, np.eye(4), flat.shape, 3, 0.0), flat, atol=1e-4)


def test_distances_are_euclidean_in_millimetres():
    inside = RNG.random((17, 12, 9)) > 0.98
    made = sampling.distance(inside, (1.0, 1.5, 2.5))
    wanted = ndimage.distance_transform_edt(~inside, sampling=(1.0, 1.5, 2.5))
    assert np.allclose(made, wanted, atol=1e-5)
    assert sampling.distance(np.zeros((3, 3, 3), dtype=bool), (1, 1, 1)).min() == 1e6


def test_code_compiled_now_and_code_kept_give_the_same_bits(tmp_path):
    program = (
        "import hashlib, numpy as np; from afterglow.anat import sampling as s;"
        "v = np.random.default_rng(0).normal(size=(30, 31, 32)).astype('f4');"
        "m = np.eye(4) + np.random.default_rng(1).normal(0, 0.02, (4, 4));"
        "made = [s.affine_sample(v, m, v.shape, order, 0.0) for order in (0, 1, 3)];"
        "made += [s.point_sample(v, np.full((3, 9), 7.3), 3), s.distance(v > 1.5, (1, 1.2, 2))];"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in made)).hexdigest())"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert list(tmp_path.rglob("*.nbi"))
    assert len(runs[0]) > 60
    assert runs[0] == runs[1]
