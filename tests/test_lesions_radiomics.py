"""Radiomics against the IBSI digital phantom and against what is known of simple objects."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import numpy as np
import pytest

from afterglow.bids.images import load_nifti
from afterglow.errors import NotEvaluable
from afterglow.lesions.radiomics import RadiomicsSettings, discretise, extract
from afterglow.lesions.radiomics_ids import ibsi_id
from afterglow.lesions.radiomics_mesh import area, mesh, triangles, volume

ROOT = Path(os.environ.get("AFTERGLOW_SHARED", Path(__file__).resolve().parents[2] / "shared"))
DATA = ROOT / "data" / "radiomics"
# The reference table prints these under other names.
ALIASES = {
    "morph_area_dens_aab": "morph_area_dens_aabb",
    "int_quartile_coef_dispersion": "int_hist_quartile_coef_dispersion",
}


def reference():
    """Yield (name, value, tolerance) of every 3D reference value."""
    seen = set()
    path = DATA / "ibsi1_digital_phantom_reference.csv"
    if not path.exists():
        return
    for row in csv.DictReader(path.open(encoding="utf-8")):
        name, how = row["label"].lower(), row["aggregation"]
        if how and not how.startswith("3D"):
            continue
        if name == "rlm_run_entropy" and how == "3D":
            name = "szm_small_zone_emphasis"
        name = ALIASES.get(name, name)
        if name.startswith("int_vol_hist_"):
            name = name.replace("int_vol_hist_", "ivh_")
            if not name.endswith("difference"):
                name += "_90" if f"{name}_10" in seen else "_10"
        name += f"_{how.split(', ')[1]}" if ", " in how else ""
        seen.add(name)
        value = float(row["value"])
        printed = 0.5 * 10 ** (np.floor(np.log10(abs(value) or 1e-6)) - 2)
        yield name, value, max(float(row["tolerance"] or 0), printed * 1.0001)


@pytest.fixture(scope="module")
def phantom():
    if not DATA.exists():
        pytest.skip("the IBSI digital phantom is not there (AFTERGLOW_SHARED)")
    folder = DATA / "ibsi_1_digital_phantom" / "nifti"
    image, affine = load_nifti(folder / "image" / "phantom.nii.gz")
    mask = load_nifti(folder / "mask" / "mask.nii.gz")[0] > 0
    settings = RadiomicsSettings(bin_width=1.0, lowest=1.0)
    return extract(image, mask, np.abs(np.diag(affine)[:3]), settings)


def test_every_reference_value_is_met(phantom):
    wanted = list(reference())
    wrong = {n: (phantom.values[n], v) for n, v, t in wanted if abs(phantom.values[n] - v) > t}
    assert not wrong
    assert len(wanted) == 210
    assert {name for name, *_ in wanted} == set(phantom.values)
    assert not phantom.left_out


def test_every_feature_has_its_permanent_id(phantom):
    assert all(len(ibsi_id(name)) == 4 for name in phantom.values)


@pytest.mark.parametrize("case", range(256))
def test_every_case_closes_and_opposite_cases_share_their_crossed_edges(case):
    corners = {edge for part in triangles(case) for edge in part}
    crossed = {
        (a, b)
        for a in range(8)
        for b in range(a + 1, 8)
        if bin(a ^ b).count("1") == 1 and (case >> a & 1) != (case >> b & 1)
    }
    assert corners == crossed


def test_mesh_of_a_random_mask_is_closed():
    mask = np.random.default_rng(0).random((7, 6, 5)) < 0.4
    surface = mesh(mask, np.ones(3))
    edges = {}
    for a, b, c in (surface * 2).round().astype(int).tolist():
        for p, q in ((a, b), (b, c), (c, a)):
            edges[tuple(p), tuple(q)] = edges.get((tuple(p), tuple(q)), 0) + 1
    assert all(edges.get((q, p), 0) == n for (p, q), n in edges.items())


def test_mesh_of_a_ball():
    grid = np.stack(np.meshgrid(*[np.arange(-15, 16)] * 3, indexing="ij"), -1)
    surface = mesh((grid**2).sum(-1) <= 144, np.ones(3))
    assert volume(surface) == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.02)
    assert area(surface) == pytest.approx(4 * np.pi * 144, rel=0.1)


def test_small_regions_lose_families_with_a_reason():
    image = np.random.default_rng(1).normal(size=(9, 9, 9))
    mask = np.zeros(image.shape, bool)
    mask[2:5, 2:5, 2:5] = True
    found = extract(image, mask, np.ones(3))
    assert found.left_out == {"texture": "too_small"}
    assert not any(name.startswith("cm_") for name in found.values)
    mask[:] = False
    mask[:, :, 4] = True
    flat = extract(image, mask, np.ones(3))
    assert flat.left_out == {"morph": "single_slice", "texture": "too_few_slices"}
    mask[:] = False
    mask[0, 0, :3] = True
    with pytest.raises(NotEvaluable, match="too_small"):
        extract(image, mask, np.ones(3))


def test_a_constant_region_gives_finite_numbers():
    mask = np.ones((5, 5, 5), bool)
    found = extract(np.full(mask.shape, 3.0), mask, np.ones(3))
    assert all(np.isfinite(value) for value in found.values.values())


def test_where_the_lesion_lies_in_the_image_does_not_matter():
    rng = np.random.default_rng(2)
    lesion, shape = rng.normal(10, 3, (9, 9, 9)), (60, 50, 40)
    settings = RadiomicsSettings(families=("morph", "stat", "int_hist", "texture"))
    answers = []
    for corner in ((0, 0, 0), (30, 20, 25)):
        image, mask = np.zeros(shape), np.zeros(shape, bool)
        place = tuple(slice(c, c + 9) for c in corner)
        image[place], mask[place] = lesion, True
        answers.append(extract(image, mask, np.ones(3), settings).values)
    assert answers[0] == pytest.approx(answers[1], rel=1e-9)


def test_fixed_bin_width_does_not_depend_on_the_region():
    values = np.linspace(0, 10, 11)[None, None]
    settings = RadiomicsSettings(bin_width=2.0)
    whole = discretise(values, values >= 0, settings)
    part = discretise(values, values >= 5, settings)
    assert (whole[part > 0] == part[part > 0]).all()


def test_crop_makes_the_size_of_the_image_cheap():
    mask = np.zeros((200, 200, 200), bool)
    mask[100:108, 100:108, 100:108] = True
    image = np.zeros(mask.shape, np.float32)
    start = time.process_time()
    extract(image, mask, np.ones(3))
    assert time.process_time() - start < 2.0
