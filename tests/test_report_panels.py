"""The pictures of a session page: outlines, registrations that flicker, mosaics, citations."""

from __future__ import annotations

import base64
import json
import re

import nibabel as nib
import numpy as np
import pytest

from afterglow.provenance.job import State
from afterglow.report.citations import CITATIONS
from afterglow.report.methods import methods_text
from afterglow.report.panels import (
    PIXELS,
    first_frame,
    flicker_panels,
    mosaics,
    outline_panels,
    read_head,
)
from afterglow.report.png import levels
from test_report_stories import decode

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
AFFINE[:3, 3] = -60.0


def picture(uri):
    """Return the pixels of a picture in a data address."""
    return decode(base64.b64decode(uri.partition(",")[2]))[0]


@pytest.fixture
def session(tmp_path):
    """A head with one lesion; the DSC series is the same head, 9 mm further left."""
    index = np.indices((40, 40, 40))
    far = np.sqrt(((index - 19.5) ** 2).sum(axis=0))
    lesion = np.sqrt(((index - np.array([26, 22, 24])[:, None, None, None]) ** 2).sum(axis=0)) < 4
    head = np.where(far < 18, 20.0 + 4.0 * index[0], 0.0) + 80.0 * lesion
    moved = AFFINE.copy()
    moved[0, 3] -= 9.0
    series = np.stack([head, 0 * head, 0 * head], axis=-1)
    rcbv = np.where(far < 18, 1.0, np.nan) + 2.0 * lesion

    def save(name, values, affine=AFFINE):
        nib.save(nib.Nifti1Image(values.astype(np.float32), affine), tmp_path / f"{name}.nii.gz")
        return f"{name}.nii.gz"

    way = np.eye(4)
    way[0, 3] = 9.0
    (tmp_path / "xfm.json").write_text(json.dumps({"dsc_to_T1w": way.tolist()}))
    anat = {
        "t1w": save("t1w", head),
        "brain": save("brain", far < 18),
        "transforms": "xfm.json",
        "dsc": {"moco": save("moco", series, moved)},
        "brain_backend": {"name": "bet"},
    }
    maps = {
        "rCBV": {"path": save("rcbv", rcbv, moved), "units": "1 (ratio)", "model": "bsw"},
        "PSR": {"path": "x", "reason": "no_tail"},
        "CBV": {"path": "x", "model": "bsw"},
        "CBF": {"path": "x", "model": "osvd"},
    }
    dsc = {"maps": maps, "domain": {"text": "3 T; TE 30 ms"}}
    states = {
        "bids": State("bids", "k", "a", "s", "done", summary={"mask": save("mask", lesion)}),
        "anat": State("anat", "k", "a", "s", "done", summary=anat),
        "dsc": State("dsc", "k", "a", "s", "done", summary=dsc),
    }
    return states, lambda name: tmp_path / name


def test_outlines_lie_on_what_they_surround(session):
    panels = outline_panels(read_head(*session))
    assert [p["caption"] for p in panels] == [
        f"{place}, {plane}"
        for place in ("middle of the brain", "lesion 1")
        for plane in ("axial", "coronal", "sagittal")
    ]
    axial = panels[3]
    pixels = picture(axial["src"])
    points = np.array(
        [[float(x) for x in p.split()] for p in re.findall(r"[\d.]+ [\d.]+", axial["lesions"])]
    )
    x, y = points.mean(axis=0)
    step = 230.0 / PIXELS
    # The lesion is 6.5 voxels of 3 mm right of the middle and 2.5 in front of it.
    assert x == pytest.approx(PIXELS / 2 + 6.5 * 3 / step, abs=1.0)
    assert y == pytest.approx(PIXELS / 2 - 2.5 * 3 / step, abs=1.0)
    assert pixels[int(y), int(x)] == 255
    brain = np.array([float(v) for v in re.findall(r"[ML]([\d.]+) ", axial["brain"])])
    assert np.ptp(brain) == pytest.approx(2 * 3 * np.sqrt(18**2 - 4.5**2) / step, rel=0.03)
    assert panels[0]["lesions"] == ""


def likeness(session):
    """Return how alike the two pictures of each plane are (correlation)."""
    states, find = session
    (row,) = flicker_panels(read_head(states, find), states, find)
    assert row["name"] == "DSC, first frame"
    pairs = [(picture(t["fixed"]), picture(t["moved"])) for t in row["tiles"]]
    assert all(a.shape == b.shape == (PIXELS, PIXELS) for a, b in pairs)
    return [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]


def test_a_registration_flickers_where_it_is_wrong(session, tmp_path):
    good = likeness(session)
    (tmp_path / "xfm.json").write_text(json.dumps({"dsc_to_T1w": np.eye(4).tolist()}))
    wrong = likeness(session)
    # Axial and coronal planes see the 9 mm; the windows of the two images differ a little.
    assert min(good) > 0.95, good
    assert all(w < g - 0.05 for g, w in zip(good[:2], wrong[:2], strict=True))


def test_a_mosaic_has_fixed_colours_and_leaves_out_what_has_a_reason(session):
    states, find = session
    (row,) = mosaics(read_head(states, find), states, find)
    assert (row["name"], row["units"], row["span"]) == ("rCBV", "ratio", (0.0, 4.0))
    pixels = picture(row["src"])
    assert pixels.shape == (116, 5 * 116)
    found = set(np.unique(pixels).tolist())
    assert found == {0, *levels(np.array([1.0, 3.0]), 0.0, 4.0).tolist()}


@pytest.mark.parametrize("part", [slice(24, None), slice(None, 16), slice(18, 20)])
def test_no_slice_of_a_mosaic_is_empty_where_the_series_covers_a_part(session, tmp_path, part):
    states, find = session
    image = nib.load(tmp_path / "rcbv.nii.gz")
    values = np.full(image.shape, np.nan, dtype=np.float32)
    values[:, :, part] = image.get_fdata()[:, :, part]
    nib.save(nib.Nifti1Image(values, image.affine), tmp_path / "rcbv.nii.gz")
    (row,) = mosaics(read_head(states, find), states, find)
    tiles = np.split(picture(row["src"]), 5, axis=1)
    assert min(np.count_nonzero(tile) for tile in tiles) > 200


def test_a_session_without_anatomy_has_no_pictures():
    assert read_head({}, lambda name: name) is None


def test_only_the_first_frame_is_read(session, tmp_path):
    values, affine = first_frame(tmp_path / "moco.nii.gz")
    assert values.shape == (40, 40, 40)
    assert values.max() > 100
    assert affine[0, 3] == -69.0


def test_methods_cite_what_ran_and_nothing_else(session):
    states, _ = session
    text = methods_text(states)
    joined = " ".join(text)
    listed = [line for line in text if re.match(r"\d+\. ", line)]
    cited = {int(n) for group in re.findall(r"\[([\d, ]+)\]", joined) for n in group.split(",")}
    assert cited == set(range(1, len(listed) + 1))
    assert "leakage (bsw [" in joined
    assert "3 T; TE 30 ms" in joined
    assert any("block-circulant" in line for line in listed)
    assert not any("Tofts" in line for line in listed)
    assert len(listed) < len(CITATIONS)
