"""World matrices agree with ANTs, and images are sampled where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterglow.anat import transforms
from afterglow.anat.engine import ants_module, to_ants, workspace
from afterglow.errors import AfterglowError

NUMBERS = st.floats(-1.0, 1.0, allow_nan=False)


@given(st.lists(NUMBERS, min_size=6, max_size=6), st.lists(NUMBERS, min_size=3, max_size=3))
@settings(max_examples=50, deadline=None)
def test_rigid_parameters_survive_a_round_trip(parameters, center):
    center = 80 * np.array(center)
    wanted = np.array(parameters) * [30, 30, 30, 0.5, 0.5, 0.5]
    matrix = transforms.rigid(wanted, center)
    assert np.allclose(transforms.rigid_parameters(matrix, center), wanted, atol=1e-9)
    assert np.isclose(np.linalg.det(matrix), 1.0)


def test_matrices_move_points_as_ants_does():
    ants = ants_module()
    import pandas as pd

    rng = np.random.default_rng(0)
    points = rng.uniform(-80, 80, (20, 3))
    flip = np.array([-1.0, -1.0, 1.0])
    linear = np.eye(3) + rng.normal(0, 0.1, (3, 3))
    shift, center = rng.normal(0, 10, 3), rng.normal(0, 30, 3)
    made = ants.create_ants_transform(
        transform_type="AffineTransform",
        precision="double",
        matrix=linear,
        translation=shift,
        center=center,
    )
    with workspace() as folder:
        path = folder / "made.mat"
        ants.write_transform(made, str(path))
        table = pd.DataFrame(points * flip, columns=["x", "y", "z"])
        moved = ants.apply_transforms_to_points(3, table, [str(path)])
        matrix = transforms.read_itk(path)
        again = folder / "again.mat"
        transforms.write_itk(matrix, again)
        back = ants.apply_transforms_to_points(3, table, [str(again)])
    wanted = moved[["x", "y", "z"]].to_numpy() * flip
    assert np.allclose(transforms.apply(matrix, points), wanted, atol=1e-3)
    assert np.allclose(back[["x", "y", "z"]].to_numpy() * flip, wanted, atol=1e-3)


def test_ants_images_keep_their_place():
    ants = ants_module()
    turn = transforms.rigid([4, 5, 6, 0.2, 0.1, -0.3], np.zeros(3))
    affine = turn @ np.diag([-1.0, 2.0, 3.0, 1.0])
    image = to_ants(np.zeros((4, 5, 6)), affine, ants)
    index = np.array([1, 2, 3])
    world = (affine @ [*index, 1])[:3] * [-1, -1, 1]
    assert np.allclose(ants.transform_index_to_physical_point(image, index), world, atol=1e-5)


def test_sheared_grids_are_refused():
    affine = np.eye(4)
    affine[0, 1] = 0.2
    with pytest.raises(AfterglowError, match="right angles"):
        to_ants(np.zeros((4, 4, 4)), affine, ants_module())


def test_resampling_follows_the_world_matrix():
    image = np.zeros((20, 20, 20))
    image[12, 7, 9] = 1.0
    move = transforms.rigid([2, -1, 3, 0, 0, 0], np.zeros(3))
    moved = transforms.resample(image, np.eye(4), (20, 20, 20), np.eye(4), move)
    assert np.argwhere(moved > 0.5).tolist() == [[10, 8, 6]]


def test_composition_is_one_resampling_of_both():
    a = transforms.rigid([1, 2, 3, 0.1, 0, 0], np.zeros(3))
    b = transforms.rigid([0, 1, 0, 0, 0.2, 0.1], np.ones(3))
    point = np.array([3.0, -2.0, 7.0])
    twice = transforms.apply(b, transforms.apply(a, point))
    assert np.allclose(transforms.apply(transforms.compose(a, b), point), twice)
    assert np.allclose(transforms.compose(a, transforms.invert(a)), np.eye(4))


def test_labels_keep_their_volume_and_small_ones_survive():
    labels = np.zeros((40, 40, 40), dtype=int)
    labels[10:30, 10:30, 8:28] = 1
    labels[3, 3, 3] = 2
    target = np.diag([2.0, 2.0, 4.0, 1.0])
    target[:3, 3] = [0.5, 0.5, 1.5]
    shape = (20, 20, 10)
    moved = transforms.resample_labels(
        labels, shape, lambda mask: transforms.average(mask, np.eye(4), shape, target)
    )
    assert int((moved == 1).sum()) * 16 == pytest.approx(8000, rel=0.1)
    assert int((moved == 2).sum()) == 1


def test_average_keeps_the_mean():
    image = np.random.default_rng(1).uniform(size=(24, 24, 24))
    target = np.diag([2.0, 3.0, 4.0, 1.0])
    target[:3, 3] = [0.5, 1.0, 1.5]
    mean = transforms.average(image, np.eye(4), (12, 8, 6), target)
    blocks = image.reshape(12, 2, 8, 3, 6, 4).mean(axis=(1, 3, 5))
    assert np.allclose(mean, blocks, atol=1e-5)
