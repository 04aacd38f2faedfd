"""Headers that would give a wrong number in silence: the right number, or a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest

from afterglow.bids.acquired import timing
from afterglow.config.center import CenterConfig
from afterglow.config.dce import DCEConfig
from afterglow.dicom.acquisition import acquisition
from afterglow.dicom.acquisition import dose as header_dose
from afterglow.dicom.agents import agent_of, normalized_agent
from afterglow.dicom.contrast import study_facts
from afterglow.dicom.inventory import scan
from afterglow.dicom.pixels import Source, intensity_scale
from afterglow.dicom.series import describe
from afterglow.dicom.timing import resolve
from afterglow.errors import AfterglowError, NotEvaluable
from afterglow.lesions.dose import dose_of
from afterglow.perfusion import aif
from afterglow.perfusion.aif_choice import _population
from afterglow.perfusion.bolus import bolus_of
from afterglow.perfusion.dce_inputs import agent_facts, sequence
from afterglow.perfusion.dsc_inputs import _echo_time
from afterglow.perfusion.dsc_stage import domain_of, preload_of
from afterglow.perfusion.dynamic import measured_times
from ingest_dicom import DCE, DSC, FLAIR, T1W, vfa, write_series, write_study
from test_timing import ge


def center(**facts) -> CenterConfig:
    return CenterConfig(name="north", dicom=["."], **facts)


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("Gadoteridol", "gadoteridol"),
        ("GADOTERIDOL 279.3 MG/ML", "gadoteridol"),
        ("Gadoterate meglumine", "gadoterate"),
        ("Acide gadoterique / Dotarem", "gadoterate"),
        ("Gadotersaeure", "gadoterate"),
        ("Gd-DTPA", "gadopentetate"),
        ("Gd-DTPA-BMA", "gadodiamide"),
        ("GD DTPA BMEA", "gadoversetamide"),
        ("Gd-EOB-DTPA", "gadoxetate"),
        ("Gd-HP-DO3A", "gadoteridol"),
        ("Gadovist or Dotarem", None),
        ("Gadolinium", None),
    ],
)
def test_an_agent_is_never_taken_for_one_of_like_name(text, agent):
    assert agent_of(text) == agent
    assert normalized_agent(text) == (agent or "gadolinium")


def test_dose_of_gadoteridol_and_of_an_unclear_agent():
    row = {"contrast_volume": 14.0, "patient_weight": 70.0}
    assert header_dose(normalized_agent("gadoteridol"), row) == 0.1
    assert header_dose(normalized_agent("Gadovist or Dotarem"), row) is None


def test_the_header_of_a_bolus_wins_over_the_center_and_says_so():
    sidecar = {
        "ContrastBolusAgent": "gadoteridol",
        "ContrastBolusDose": 0.05,
        "MagneticFieldStrength": 3.0,
    }
    site = center(contrast_agent="gadobutrol", dose=0.1)
    constant, facts = agent_facts(sidecar, site, DCEConfig())
    assert (constant.value, facts["dose"], facts["dose_source"]) == (3.5, 0.05, "dicom")
    domain = domain_of(sidecar, np.arange(9.0), site, 5, (0.03,), "none")
    assert (domain.agent, domain.dose) == ("gadoteridol", 0.05)
    unclear = domain_of({"ContrastBolusAgent": "gadolinium"}, np.arange(9.0), site, 5, (0.03,))
    assert (unclear.agent, unclear.dose) == ("gadobutrol", 0.1)


def test_times_in_other_units_are_not_evaluable():
    with pytest.raises(NotEvaluable, match="no_echo_time"):
        _echo_time({"EchoTime": 0.03 / 1000.0})
    for tr in (0.005 / 1000.0, 5.0):
        with pytest.raises(NotEvaluable, match="no_repetition_time"):
            sequence({"RepetitionTime": tr, "FlipAngle": 12.0}, "dce")
    with pytest.raises(NotEvaluable, match="no_flip_angle"):
        sequence({"RepetitionTime": 0.005, "FlipAngle": 0.0}, "dce")
    assert sequence({"RepetitionTime": 0.0023, "FlipAngle": 12.0}, "dce") == (0.0023, 12.0)


def test_dce_before_dsc_is_a_preload_whatever_the_site_says():
    seen = {"preload_evidence": "dce_before_dsc"}
    assert preload_of(None, seen) == ("dce", [])
    found, doubts = preload_of("none", seen)
    assert found == "dce"
    assert doubts
    assert preload_of("full", seen) == ("full", [])
    assert preload_of("none", {"preload_evidence": "none_seen"}) == ("none", [])


@pytest.mark.parametrize(
    ("facts", "largest", "reason"),
    [
        ({"DoseType": "ERROR"}, 20.0, "dose_of_other_kind"),
        ({"DoseType": "PHYSICAL"}, 2400.0, "dose_implausible"),
        ({"DoseType": "PHYSICAL"}, 48.0, ""),
        ({"DoseType": "EFFECTIVE"}, 900.0, ""),
    ],
)
def test_a_dose_that_cannot_be_gray_is_refused(facts, largest, reason):
    gray, facts = np.full((3, 3, 3), largest), {"DoseSummationType": "PLAN", **facts}
    if not reason:
        assert dose_of(gray, np.eye(4), facts).gray.max() == largest
        return
    with pytest.raises(NotEvaluable) as error:
        dose_of(gray, np.eye(4), facts)
    assert error.value.reason == reason


def test_nominal_times_of_a_sidecar_are_not_used_alone():
    nominal = {"VolumeTiming": [0.0, 1.0], "TimingEvaluable": False, "TimingReason": "no_tag"}
    with pytest.raises(AfterglowError, match="not measured"):
        measured_times(nominal, "dce.nii.gz")
    assert measured_times({"VolumeTiming": [0.0, 1.5]}, "dce.nii.gz") == [0.0, 1.5]


def described(folder):
    (found,) = describe(scan([folder]).to_pylist())
    return found


def by_count_alone(folder, lost=()):
    """Write a dynamic series whose volumes nothing but the order of files tells apart."""
    series = replace(DSC, times=[1.5 * n for n in range(24)], timing="none", n_slices=3)
    for number, path in enumerate(write_series(folder, series)):
        dataset = pydicom.dcmread(path)
        seconds = 0.5 * number
        dataset.AcquisitionTime = f"10{20 + int(seconds // 60):02d}{seconds % 60:09.6f}"
        dataset.save_as(path)
        if number in lost:
            path.unlink()
    return described(folder)


def test_volumes_told_by_count_alone_need_every_slice(tmp_path):
    assert not by_count_alone(tmp_path / "whole")["lacks_slices"]
    cut = by_count_alone(tmp_path / "cut", lost={70, 71})
    assert (cut["lacks_slices"], cut["n_volumes"], cut["n_incomplete"]) == (False, 23, 1)
    assert by_count_alone(tmp_path / "torn", lost={31})["lacks_slices"]


@pytest.mark.parametrize("step", [0.0015, 1500.0])
def test_frame_times_in_other_units_are_implausible(step):
    found = resolve(ge([step * n for n in range(20)], per_slice=step / 20))
    assert (found.evaluable, found.reason) == (False, "times_implausible")


def dynamic(kind, start, n_volumes=40):
    facts = {"n_volumes": n_volumes, "start": start}
    return {"class": kind, "facts": facts, "evaluable": True, "series_key": f"{kind}{start}"}


def flips(*starts):
    return [dynamic("VFA", start, 1) for start in starts]


def test_a_repeated_dynamic_series_is_an_injection_before_the_one_used():
    said = study_facts([*flips(10.0, 40.0), dynamic("DCE", 100.0, 9), dynamic("DCE", 400.0)])
    assert (said["injection_between_vfa_and_dce"], said["injection_before_dce"]) == (True, True)
    said = study_facts([*flips(10.0, 40.0), dynamic("DCE", 100.0), dynamic("DCE", 400.0, 9)])
    assert (said["injection_between_vfa_and_dce"], said["injection_before_dce"]) == (False, False)
    # one injection, exported twice
    said = study_facts([*flips(10.0), dynamic("DCE", 100.0, 39), dynamic("DCE", 100.5)])
    assert said["injection_before_dce"] is False
    said = study_facts([dynamic("DSC", 100.0, 30), dynamic("DSC", 400.0, 60)])
    assert said["preload_evidence"] == "dsc_before_dsc"
    assert preload_of("none", said)[0] is None


def test_flip_angles_of_philips_compare_on_the_precise_scale_only(tmp_path):
    paths = write_series(tmp_path, replace(DCE, times=[0.0], vendor="Philips Medical Systems"))
    places = [(Source(path, "", path.name), None) for path in paths]
    assert intensity_scale(places) == "displayed"
    for path in paths:
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.01)
        dataset.save_as(path.with_suffix(".precise"))
    precise = [(Source(path.with_suffix(".precise"), "", path.name), None) for path in paths]
    assert intensity_scale(precise) == "precise"
    assert intensity_scale([*precise, places[0]]) == "displayed"
    other = write_series(tmp_path / "ge", replace(DCE, times=[0.0]))
    assert intensity_scale([(Source(other[0], "", "x"), None)]) is None


def test_a_field_or_repetition_time_that_changes_within_a_series_is_not_stated(tmp_path):
    paths = write_series(tmp_path, replace(DCE, n_slices=3))
    assert facts_of(tmp_path)["field_strength"] == 3.0
    assert facts_of(tmp_path)["repetition_time"] == 0.004
    for path in paths[20:]:
        dataset = pydicom.dcmread(path)
        dataset.MagneticFieldStrength, dataset.RepetitionTime = 15000, 5.0
        dataset.save_as(path)
    found = facts_of(tmp_path)
    assert (found["field_strength"], found["repetition_time"]) == (None, None)


def facts_of(folder):
    rows = scan([folder]).to_pylist()
    (series,) = describe(rows)
    return acquisition(rows, series["facts"], series["volumes"])


@pytest.mark.parametrize("hematocrit", [0.25, 0.42, 0.5])
def test_a_curve_published_for_plasma_stays_what_it_is(hematocrit):
    time = np.arange(0.0, 120.0, 0.5)
    blood = _population("weinmann", time, 20.0, 0.1, hematocrit)
    late = aif.to_plasma(blood, hematocrit)[-1]
    minutes = (time[-1] - 20.0) / 60.0
    published = 0.1 * (3.99 * np.exp(-0.144 * minutes) + 4.78 * np.exp(-0.0111 * minutes))
    assert late == pytest.approx(published, rel=1e-3)


def test_an_enhanced_image_before_the_dynamic_series_is_an_injection():
    study = [*flips(300.0, 340.0), dynamic("DCE", 400.0), dynamic("DSC", 900.0)]
    said = study_facts(study, [100.0])
    assert (said["injection_before_vfa"], said["injection_before_dce"]) == (True, True)
    assert said["injection_between_vfa_and_dce"] is False
    assert study_facts(study, [360.0])["injection_between_vfa_and_dce"] is True
    assert study_facts(study, [1500.0])["injection_before_dce"] is False
    alone = study_facts([dynamic("DSC", 900.0)], [100.0])
    assert alone["preload_evidence"] == "contrast_before_dsc"
    assert preload_of("none", alone)[0] is None
    assert preload_of("full", alone)[0] == "full"


def test_an_enhanced_image_is_seen_through_its_tag(tmp_path):
    first = replace(T1W, name="AX T1 +C", number=4, clock="100300", agent="Gadovist")
    write_study(tmp_path, [T1W, FLAIR, first, vfa(2, 41), vfa(10, 42), DCE, DSC])
    facts = describe(scan([tmp_path]).to_pylist())[0]["study_facts"]
    assert (facts["injection_before_vfa"], facts["injection_between_vfa_and_dce"]) == (True, False)


def test_slice_times_that_count_something_else_are_left_out(tmp_path):
    series = replace(DSC, timing="none", times=[0.0])
    for number, path in enumerate(write_series(tmp_path, series)):
        dataset = pydicom.dcmread(path)
        dataset.AcquisitionTime = f"1020{number:02d}"
        dataset.save_as(path)
    assert facts_of(tmp_path)["slice_times"] is None
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        dataset = pydicom.dcmread(path)
        dataset.AcquisitionTime = f"1020{number:02d}.250000"
        dataset.save_as(path)
    assert facts_of(tmp_path)["slice_times"] == [0.0, 1.0, 2.0, 3.0]
    entry = {
        "acquisition": {"mosaic": False, "slice_times": [0.0, 86399.5], "slice_normal": None,
                        "n_expected": None},
        "frame_times": [0.0, 1.5, 3.0], "timing_source": "x", "timing_disagreement": None,
        "evaluable": True, "reason": "", "n_incomplete": 0,
    }  # fmt: skip
    assert timing(entry, {}, np.eye(4))["SliceTiming"] is None
    entry["acquisition"]["slice_times"] = [0.0, 0.75]
    assert timing(entry, {}, np.eye(4))["SliceTiming"] == [0.0, 0.75]


def doubts_of(folder):
    return {s["class"]: s["doubts"] for s in describe(scan([folder]).to_pylist()) if s["doubts"]}


def without(paths, lost):
    for number, path in enumerate(paths):
        if number in lost:
            path.unlink()


def test_half_a_volume_is_a_doubt_where_anything_counts_its_slices(tmp_path):
    counted = replace(T1W, options={"ImagesInAcquisition": 24})
    for name, series, lost, by in (
        ("count", counted, range(12, 24), "images_in_acquisition"),
        ("start", T1W, range(12), "instance_number"),
    ):
        paths = write_series(tmp_path / name, series)
        assert doubts_of(tmp_path / name) == {}
        without(paths, lost)
        (said,) = doubts_of(tmp_path / name).values()
        assert said == [f"slices_may_be_missing (12 of 24 by {by})"]
    ends = write_series(tmp_path / "vendor", T1W)
    for path in ends[:20]:
        dataset = pydicom.dcmread(path)
        dataset.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", 24)
        dataset.save_as(path)
    without(ends, range(20, 24))
    (said,) = doubts_of(tmp_path / "vendor").values()
    assert said == ["slices_may_be_missing (20 of 24 by vendor_count)"]


def test_a_partner_that_reaches_further_is_a_doubt(tmp_path):
    late = replace(T1W, name="AX T1 +C", number=7, clock="103000", agent="Gadovist")
    write_study(tmp_path, [T1W, FLAIR, late])
    assert doubts_of(tmp_path) == {}
    without(sorted((tmp_path / "007").iterdir()), range(20, 24))
    said = "slices_may_be_missing (20 of 24 by series_of_same_protocol)"
    assert doubts_of(tmp_path) == {"T1w_ce": [said]}


def test_a_slice_that_every_volume_lacks_is_a_doubt_and_a_lost_volume_is_not(tmp_path):
    for name, lost, doubted in (
        ("edge", range(3, 96, 4), True),
        ("first", range(4), False),
        ("middle", range(40, 48), False),
        ("last", range(90, 96), False),
    ):
        without(write_series(tmp_path / name, DSC), set(lost))
        found = doubts_of(tmp_path / name)
        said = ["slices_may_be_missing (3 of 4 by instance_number)"]
        assert found == ({"DSC": said} if doubted else {})


def test_numbers_that_are_a_scheme_of_their_own_raise_no_doubt(tmp_path):
    for name, number in (
        ("hundred", lambda n: 100 + n),
        ("zero", lambda n: n - 1),
        ("even", lambda n: 2 * n),
        ("same", lambda n: 1),
    ):
        for n, path in enumerate(write_series(tmp_path / name, T1W), start=1):
            dataset = pydicom.dcmread(path)
            dataset.InstanceNumber = number(n)
            dataset.save_as(path)
        assert doubts_of(tmp_path / name) == {}


def bolus_facts(tmp_path, volume_of_dsc):
    dce = replace(DCE, options={"ContrastBolusVolume": 7.0, "PatientWeight": 70.0})
    dsc = replace(DSC, options={"ContrastBolusVolume": volume_of_dsc, "PatientWeight": 70.0})
    write_study(tmp_path, [T1W, dce, dsc])
    (found,) = (s for s in describe(scan([tmp_path]).to_pylist()) if s["class"] == "DCE")
    return {
        "ContrastBolusAgent": "gadobutrol",
        "ContrastBolusDose": 0.1,
        "InjectionsOfSameVolume": found["same_volume"] or None,
        "MagneticFieldStrength": 3.0,
    }


def test_a_total_that_every_injection_states_is_not_the_dose_of_one(tmp_path):
    total = bolus_facts(tmp_path / "total", 7.0)
    assert total["InjectionsOfSameVolume"] == 2
    half = center(dose=0.05)
    found = bolus_of(total, half)
    assert (found.dose, found.dose_source, len(found.doubts)) == (0.05, "center_not_dicom", 1)
    assert "states 0.1 mmol/kg" in found.doubts[0]
    assert agent_facts(total, half, DCEConfig())[1]["dose"] == 0.05
    assert domain_of(total, np.arange(9.0), half, 5, (0.03,)).dose == 0.05
    for site in (center(dose=0.1), center()):
        found = bolus_of(total, site)
        assert (found.dose, found.dose_source, found.doubts) == (0.1, "dicom", ())
    own = bolus_facts(tmp_path / "own", 3.5)
    assert own["InjectionsOfSameVolume"] is None
    assert bolus_of(own, half).dose == 0.1


def test_a_field_strength_that_the_frequency_contradicts_is_not_stated(tmp_path):
    for name, megahertz, strength, doubts in (
        ("agrees", 127.7, 3.0, 0),
        ("siemens", 123.2, 3.0, 0),
        ("other", 63.68, None, 1),
        ("hertz", 127.7e6, 3.0, 0),
    ):
        folder = tmp_path / name
        write_series(folder, replace(DCE, options={"ImagingFrequency": megahertz}))
        assert facts_of(folder)["field_strength"] == strength
        assert len(doubts_of(folder).get("DCE", [])) == doubts
    (said,) = doubts_of(tmp_path / "other")["DCE"]
    assert said == "field_strength_contradicted (3 T, but 63.68 MHz is 1.496 T)"


def gained(folder, analog):
    """Write the three flip angles of GE with receive gains as its files hold them."""
    for number, (angle, gain) in enumerate(zip((2, 10, 20), analog, strict=True), start=41):
        for path in write_series(folder / str(number), vfa(angle, number)):
            dataset = pydicom.dcmread(path)
            block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
            block.add_new(0x8A, "SS", gain)
            block.add_new(0x8B, "SS", 15)
            dataset.save_as(path)
    return [s for s in describe(scan([folder]).to_pylist()) if s["class"] == "VFA"]


def test_flip_angles_at_different_receive_gains_are_doubted(tmp_path):
    same = gained(tmp_path / "same", (11, 11, 11))
    assert [(s["doubts"], s["receive_gains"]) for s in same] == 3 * [([], [[11, 15]])]
    for series in gained(tmp_path / "other", (11, 11, 13)):
        assert series["doubts"] == ["receive_gains_differ (R1/R2 11/15, 13/15)"]


def test_three_planes_of_one_series_lack_no_slices(tmp_path):
    for number, path in enumerate(write_series(tmp_path, replace(T1W, n_slices=3))):
        dataset = pydicom.dcmread(path)
        cosines = ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1])
        dataset.ImageOrientationPatient = cosines[number]
        dataset.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", 3)
        dataset.save_as(path)
    found = describe(scan([tmp_path]).to_pylist())
    assert [series["doubts"] for series in found] == [[], [], []]


def test_images_of_magnitude_and_phase_are_counted_together(tmp_path):
    counted = replace(T1W, options={"ImagesInAcquisition": 48})
    paths = write_series(tmp_path / "M", counted)
    (tmp_path / "P").mkdir()
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID += ".1"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "P"]
        dataset.InstanceNumber += 24
        dataset.save_as(tmp_path / "P" / path.name)
    assert doubts_of(tmp_path) == {}
    for folder in ("M", "P"):
        without(sorted((tmp_path / folder).iterdir()), range(20, 24))
    for series in describe(scan([tmp_path]).to_pylist()):
        assert series["doubts"] == ["slices_may_be_missing (20 of 24 by images_in_acquisition)"]
