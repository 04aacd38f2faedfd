"""The reference sets: real DICOM of several vendors with known answers."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from afterglow.dicom.convert import convert
from afterglow.dicom.deidentify import Secret
from afterglow.dicom.inventory import scan
from afterglow.dicom.manifest import file_hash, series_entry
from afterglow.dicom.mosaic import read_mosaics
from afterglow.dicom.pixels import Source
from afterglow.dicom.series import classify, describe
from afterglow.dicom.sessions import source_entry
from afterglow.dicom.timing import resolve

SHARED = Path(os.environ.get("AFTERGLOW_SHARED", Path(__file__).parents[2] / "shared"))
SETS = SHARED / "data" / "dicom"
pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason="reference sets are not there")
SECRET = Secret(b"test")


@cache
def accepted(name: str) -> list[dict]:
    return [row for row in scan([SETS / name / "dicom"]).to_pylist() if row["status"] == "ok"]


@cache
def series_of(name: str) -> list[dict]:
    return describe(accepted(name))


def one(name: str, **facts) -> dict:
    found = [
        s
        for s in series_of(name)
        if all(s["facts"].get(key, s.get(key)) == value for key, value in facts.items())
    ]
    assert len(found) == 1, [(s["facts"]["text"], s["n_volumes"]) for s in found]
    return found[0]


def made(name: str, series: dict):
    rows = [accepted(name)[number] for number in series["rows"]]
    entry = series_entry(1, series, rows, SECRET, {})
    return convert(entry, {file_hash(SECRET, row): source_entry(row) for row in rows}, "test")


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("fmri multiphase des brain advanced sequences", [1.0 * n for n in range(10)]),
        ("fmri multiphase des 0.35delay brain advanced sequences", [1.35 * n for n in range(10)]),
        (
            "fmri multiphase des variabledelays1s brain advanced sequences",
            [0, 2.016, 4.019, 6.017, 8.014, 10.016, 12.015, 14.016],
        ),
    ],
)
def test_ge_multiphase_times_come_from_trigger_times(text, times):
    series = next(
        s for s in series_of("ge_epi_multiphase_delays") if s["facts"]["text"].strip() == text
    )
    assert (series["n_volumes"], series["n_positions"]) == (10, 10)
    assert series["timing_source"] == "trigger_time"
    assert series["evaluable"]
    np.testing.assert_allclose(series["frame_times"][: len(times)], times, atol=1e-3)


def test_header_truth_of_every_series_is_met():
    checked = 0
    for folder in sorted(SETS.iterdir()):
        truth = json.loads((folder / "series_from_headers.json").read_text())
        groups: dict[str, list[dict]] = {}
        for row in accepted(folder.name):
            groups.setdefault(row["series_uid"], []).append(row)
        for item in truth:
            triggers = item.get("min_trigger_time_ms_per_volume")
            if not triggers or len(triggers) < 2:
                continue
            rows = [r for r in groups[item["series_uid"]] if not r["frames"] and r["rows"]]
            found = resolve(rows)
            expected = (np.array(triggers) - triggers[0]) / 1000.0
            np.testing.assert_allclose(np.unique(found.seconds), expected, atol=1e-3)
            checked += 1
    assert checked >= 5


def test_ge_without_temporal_tags_is_nominal_and_not_evaluable():
    found = [s for s in series_of("ge_epi_no_timing") if s["vendor"] == "GE"]
    assert len(found) == 2
    for series in found:
        assert (series["n_volumes"], series["n_positions"]) == (10, 15)
        assert series["frame_times"] == [5.0 * n for n in range(10)]
        assert (series["evaluable"], series["reason"]) == (False, "no_temporal_tag")
        assert series["timing_source"] == "nominal"


def test_siemens_mosaics_have_acquisition_times():
    for series in series_of("siemens_mosaic_d13"):
        assert series["n_volumes"] == 6
        np.testing.assert_allclose(np.diff(series["frame_times"]), 3.2, atol=1e-3)
        assert series["evaluable"]


def test_mosaics_read_by_ourselves_are_what_the_converter_makes():
    for series in series_of("siemens_mosaic_d13"):
        image = made("siemens_mosaic_d13", series)
        assert (image.reader, image.warnings) == ("dcm2niix", [])
        rows = [accepted("siemens_mosaic_d13")[number] for number in series["rows"]]
        files = [Source(Path(row["path"]), row["member"], "x") for row in rows]
        volumes = [[(files[s.row], None) for s in v] for v in series["volumes"].complete]
        array, affine = read_mosaics(volumes)
        index = np.stack(np.meshgrid(*map(np.arange, array.shape[:3]), indexing="ij"))
        to_image = np.linalg.inv(image.affine) @ affine
        x, y, z = np.rint(
            np.tensordot(to_image[:3, :3], index, axes=1) + to_image[:3, 3].reshape(3, 1, 1, 1)
        ).astype(int)
        np.testing.assert_array_equal(image.array[x, y, z], array)


def test_interrupted_siemens_drops_the_partial_volume():
    (series,) = series_of("siemens_xa_interrupted")
    assert (series["n_volumes"], series["n_incomplete"], series["n_expected"]) == (1, 1, 328)
    assert made("siemens_xa_interrupted", series).array.shape == (64, 64, 34)


def test_non_images_and_scouts_are_told():
    kinds = {s["facts"]["text"][:4]: s["class"] for s in series_of("siemens_nonimage_phoenix")}
    assert kinds == {"aahe": "localizer", "phoe": "nonimage"}


def test_philips_classic_and_enhanced_give_one_array():
    name = "philips_enhanced_vs_classic"
    both = [s for s in series_of(name) if s["class"] == "ASL"]
    first, second = (made(name, series) for series in both)
    assert first.array.shape == (96, 96, 40, 6)
    np.testing.assert_array_equal(first.array, second.array)
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-3)
    assert sum(s["class"] == "nonimage" for s in series_of(name)) == 3


def test_philips_scale_is_the_quantitative_one():
    (series,) = series_of("philips_classic_scaled")
    np.testing.assert_allclose(series["frame_times"], [0, 2, 4], atol=1e-3)
    image = made("philips_classic_scaled", series)
    assert image.array.shape == (64, 64, 9, 3)
    assert image.reader == "dcm2niix"
    assert image.warnings == []


def test_reference_object_is_vfa_and_dce():
    table = classify(scan([SETS / "qiba_dce_dro_v12_ge" / "dicom"]))
    rows = table.to_pylist()
    assert sorted(row["class"] for row in rows) == ["DCE"] * 2 + ["VFA"] * 12
    for row in rows:
        if row["class"] == "DCE":
            np.testing.assert_allclose(row["frame_times"], 6.0 * np.arange(61), atol=1e-3)
            assert row["evaluable"]


def test_nine_encodings_are_nine_equal_volumes():
    (series,) = series_of("transfer_syntaxes")
    image = made("transfer_syntaxes", series)
    assert image.array.shape == (64, 64, 35, 9)
    for volume in range(1, 9):
        np.testing.assert_array_equal(image.array[..., volume], image.array[..., 0])
