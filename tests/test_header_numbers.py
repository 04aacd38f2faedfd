"""Headers that would give a wrong number in silence: the right number, or a reason."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.config.center import CenterConfig
from afterglow.config.dce import DCEConfig
from afterglow.dicom.acquisition import dose as header_dose
from afterglow.dicom.agents import agent_of, normalized_agent
from afterglow.errors import AfterglowError, NotEvaluable
from afterglow.lesions.dose import dose_of
from afterglow.perfusion.dce_inputs import agent_facts, sequence
from afterglow.perfusion.dsc_inputs import _echo_time
from afterglow.perfusion.dsc_stage import domain_of, preload_of
from afterglow.perfusion.dynamic import measured_times


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
