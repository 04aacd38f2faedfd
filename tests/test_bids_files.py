"""Names, sidecars and images: bytes that depend on content alone."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from afterglow.bids.images import load_nifti, save_nifti
from afterglow.bids.names import bids_path
from afterglow.bids.sidecars import to_json


def test_same_image_same_bytes_under_other_names(tmp_path):
    array = np.random.default_rng(0).normal(size=(4, 5, 6, 7)).astype(np.float32)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    save_nifti(array, affine, tmp_path / "a.nii.gz", frame_time=1.35)
    save_nifti(array, affine, tmp_path / "other.nii.gz", frame_time=1.35)
    first = (tmp_path / "a.nii.gz").read_bytes()
    assert first == (tmp_path / "other.nii.gz").read_bytes()
    assert first[3] == 0, "no file name flag in the gzip header"
    assert first[4:8] == b"\0\0\0\0", "no time in the gzip header"
    raw = gzip.decompress(first)
    assert raw[148:252] == b"\0" * 104, "descrip and aux_file are empty"


def test_round_trip_keeps_values_affine_and_frame_time(tmp_path):
    import nibabel as nib

    array = np.arange(2 * 3 * 4 * 5, dtype=np.float64).reshape(2, 3, 4, 5)
    affine = np.array([[-1, 0, 0, 10], [0, 0, 2, -5], [0, 1.5, 0, 3], [0, 0, 0, 1.0]])
    save_nifti(array, affine, tmp_path / "a.nii.gz", frame_time=1.35)
    values, back = load_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(values, array)
    np.testing.assert_allclose(back, affine, atol=1e-6)
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.header["pixdim"][4] == pytest.approx(1.35)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert image.get_data_dtype() == np.float32


def test_masks_are_small_integers(tmp_path):
    import nibabel as nib

    save_nifti(np.ones((2, 2, 2), bool), np.eye(4), tmp_path / "m.nii.gz")
    assert nib.load(tmp_path / "m.nii.gz").get_data_dtype() == np.uint8


def test_names_follow_the_order_of_bids():
    assert bids_path("a", "1", "perf", "VFA", flip=3, space="dce", run=2, acq="x", ce="gad") == (
        "sub-a/ses-1/perf/sub-a_ses-1_acq-x_ce-gad_run-2_flip-3_space-dce_VFA.nii.gz"
    )
    with pytest.raises(ValueError, match="letters and digits"):
        bids_path("../x", "1", "anat", "T1w")
    with pytest.raises(ValueError, match="no BIDS entity"):
        bids_path("x", "1", "anat", "T1w", color="red")


def test_json_is_sorted_and_never_nan():
    text = to_json({"b": np.float64("nan"), "a": np.arange(2)})
    assert json.loads(text) == {"a": [0, 1], "b": None}
    assert text.index('"a"') < text.index('"b"')
    assert text.endswith("\n")
