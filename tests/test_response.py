"""Lesion response and RANO-BM on worked cases, one for each clause."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterglow.lesions.rano import ClinicalAt, LesionAt, patient_response
from afterglow.lesions.response import (
    Course,
    ResponseSettings,
    exceeds_noise,
    lesion_response,
    measurable,
    repeatability_limits,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((10.0,), "baseline"),
        ((10.0, 7.0), "PR"),
        ((10.0, 7.01), "SD"),
        ((10.0, 12.0), "PD"),
        ((10.0, 11.99), "SD"),
        ((10.0, 0.0), "CR"),
        ((10.0, 5.0, 6.0), "PD"),
        ((10.0, 5.0, 5.99), "PR"),
        ((10.0, 8.0, 9.5), "SD"),
        ((10.0, 8.0, 9.6), "PD"),
        ((10.0, 0.0, 4.0), "PD"),
        ((10.0, NAN), "not_evaluable"),
        ((NAN, 10.0), "baseline"),
        ((10.0, NAN, 6.0), "PR"),
        ((0.0, 0.0), "CR"),
    ],
)
def test_lesion_response(sizes, expected):
    assert lesion_response(Course(sizes))[-1].response == expected


def test_changes_are_in_percent_of_baseline_and_nadir():
    change = lesion_response(Course((10.0, 5.0, 8.0)))[-1]
    assert change.from_baseline == pytest.approx(-20)
    assert change.from_nadir == pytest.approx(60)
    assert math.isnan(lesion_response(Course((0.0, 5.0)))[-1].from_baseline)


def test_the_absolute_clause_is_an_option():
    strict = ResponseSettings(absolute_increase=5.0)
    assert lesion_response(Course((10.0, 13.0)))[-1].response == "PD"
    assert lesion_response(Course((10.0, 13.0)), strict)[-1].response == "SD"
    assert lesion_response(Course((20.0, 25.0)), strict)[-1].response == "PD"


@given(st.floats(4, 40), st.floats(0.5, 2.0))
def test_volumes_of_spheres_respond_like_their_diameters(diameter, factor):
    if min(abs(factor - 0.7), abs(factor - 1.2)) < 1e-6:
        return
    volumes = [math.pi / 6 * d**3 for d in (diameter, diameter * factor)]
    by_volume = lesion_response(Course(tuple(volumes)), ResponseSettings().for_volume())
    by_diameter = lesion_response(Course((diameter, diameter * factor)))
    assert by_volume[-1].response == by_diameter[-1].response


@pytest.mark.parametrize(
    ("longest", "across", "n_slices", "thickness", "factor", "expected"),
    [
        (10.0, 5.0, 2, 1.0, None, True),
        (9.9, 5.0, 2, 1.0, None, False),
        (10.0, 4.9, 2, 1.0, None, False),
        (10.0, 5.0, 1, 1.0, None, False),
        (11.0, 8.0, 2, 6.0, None, True),
        (11.0, 8.0, 2, 6.0, 2.0, False),
        (12.0, 8.0, 2, 6.0, 2.0, True),
        (10.0, 8.0, 2, 5.0, 2.0, True),
    ],
)
def test_measurable(longest, across, n_slices, thickness, factor, expected):
    settings = ResponseSettings(slice_factor=factor)
    assert measurable(longest, across, n_slices, thickness, settings) is expected


def big(size, **more):
    return LesionAt(size, measurable=size >= 10, **more)


TARGET = {"a": big(20.0)}
MIXED = {"a": big(20.0), "n": big(6.0)}
OK = ClinicalAt("stable", "stable")
FRESH = LesionAt(4.0, fresh=True)
IMMUNE = ResponseSettings(immunotherapy=True)
ABSOLUTE = ResponseSettings(absolute_increase=5.0)


@pytest.mark.parametrize(
    ("visits", "facts", "settings", "expected"),
    [
        ([TARGET], OK, None, "baseline"),
        ([TARGET, {"a": big(14.0)}], OK, None, "PR"),
        ([TARGET, {"a": big(14.1)}], OK, None, "SD"),
        ([TARGET, {"a": big(24.0)}], OK, None, "PD"),
        ([TARGET, {"a": big(23.9)}], OK, None, "SD"),
        ([TARGET, {"a": big(0.0)}], OK, None, "CR"),
        ([TARGET, {"a": big(12.0)}, {"a": big(14.4)}], OK, None, "PD"),
        ([TARGET, {"a": big(12.0)}, {"a": big(14.0)}], OK, None, "PR"),
        ([TARGET, {"a": big(18.0)}, {"a": big(21.7)}], OK, None, "PD"),
        ([TARGET, {"a": big(NAN)}], OK, None, "NE"),
        ([TARGET, {}], OK, None, "NE"),
        ([TARGET, {"a": big(NAN)}, {"a": big(14.0)}], OK, None, "PR"),
        # several targets: the sum counts
        ([{"a": big(20.0), "b": big(10.0)}, {"a": big(20.0), "b": big(16.0)}], OK, None, "PD"),
        ([{"a": big(20.0), "b": big(10.0)}, {"a": big(22.0), "b": big(13.0)}], OK, None, "SD"),
        ([{"a": big(20.0), "b": big(20.0)}, {"a": big(26.0), "b": big(0.0)}], OK, None, "PR"),
        ([{"a": big(20.0), "b": big(20.0)}, {"a": big(0.0), "b": big(0.0)}], OK, None, "CR"),
        # non-target lesions
        ([MIXED, {"a": big(0.0), "n": big(6.0)}], OK, None, "PR"),
        ([MIXED, {"a": big(0.0), "n": big(0.0)}], OK, None, "CR"),
        ([MIXED, {"a": big(20.0), "n": big(30.0)}], OK, None, "SD"),
        ([MIXED, {"a": big(12.0), "n": big(9.0, progression=True)}], OK, None, "PD"),
        ([MIXED, {"a": big(12.0), "n": big(9.0, progression=False)}], OK, None, "PR"),
        ([MIXED, {"a": big(0.0), "n": big(NAN)}], OK, None, "PR"),
        # no target: non-target lesions alone
        ([{"n": big(6.0)}, {"n": big(7.0)}], OK, None, "SD"),
        ([{"n": big(6.0)}, {"n": big(0.0)}], OK, None, "CR"),
        ([{"n": big(6.0)}, {"n": big(9.0, progression=True)}], OK, None, "PD"),
        ([{}, {}], OK, None, "NE"),
        # new lesions
        ([TARGET, {"a": big(10.0), "x": FRESH}], OK, None, "PD"),
        ([TARGET, {"a": big(10.0), "x": FRESH}], OK, IMMUNE, "SD"),
        ([TARGET, {"a": big(24.0), "x": FRESH}], OK, IMMUNE, "PD"),
        ([TARGET, {"a": big(0.0), "x": FRESH}], OK, IMMUNE, "SD"),
        ([TARGET, {"a": big(10.0), "x": LesionAt(0.0, fresh=True)}], OK, None, "PR"),
        ([TARGET, {"a": big(10.0), "x": LesionAt(4.0, fresh=None)}], OK, None, "PR"),
        ([{}, {"x": FRESH}], OK, None, "PD"),
        # steroids and clinical status
        ([TARGET, {"a": big(10.0)}], ClinicalAt("increased", "stable"), None, "SD"),
        ([TARGET, {"a": big(10.0)}], ClinicalAt("decreased", "improved"), None, "PR"),
        ([TARGET, {"a": big(20.0)}], ClinicalAt("increased", "stable"), None, "SD"),
        ([TARGET, {"a": big(10.0)}], ClinicalAt("stable", "worse"), None, "PD"),
        ([TARGET, {"a": big(0.0)}], ClinicalAt("increased", "stable"), None, "SD"),
        ([TARGET, {"a": big(10.0)}], ClinicalAt(None, None), None, "PR"),
        # the unverified absolute increase, switched on
        ([TARGET, {"a": big(24.5)}], OK, ABSOLUTE, "SD"),
        ([TARGET, {"a": big(25.0)}], OK, ABSOLUTE, "PD"),
        ([{"a": big(12.0), "b": big(12.0)}, {"a": big(15.0), "b": big(15.0)}], OK, ABSOLUTE, "SD"),
        ([{"a": big(12.0), "b": big(12.0)}, {"a": big(17.0), "b": big(12.0)}], OK, ABSOLUTE, "PD"),
        ([TARGET, {"a": big(10.0)}, {"a": big(15.0)}], OK, ABSOLUTE, "PD"),
    ],
)
def test_rano_bm(visits, facts, settings, expected):
    clinical = [ClinicalAt()] + [facts] * (len(visits) - 1)
    assert patient_response(visits, clinical, settings)[-1].response == expected


def test_five_largest_measurable_lesions_are_targets():
    first = {f"l{k}": big(10.0 + k) for k in range(7)}
    found = patient_response([first, first])
    assert found[0].sum_longest == sum(10.0 + k for k in range(2, 7))


def test_what_was_lacking_is_listed():
    found = patient_response([MIXED, MIXED])[-1]
    assert found.lacking == ("non_target_reading", "steroids", "clinical_status")
    assert "lacking: non_target_reading, steroids" in found.facts
    told = patient_response([TARGET, TARGET], [ClinicalAt(), OK])[-1]
    assert told.lacking == ()


def test_noise_limits_are_those_of_the_log_scale():
    low, high = repeatability_limits(0.31)
    assert (low, high) == (pytest.approx(0.43, abs=0.005), pytest.approx(2.31, abs=0.01))
    assert low * high == pytest.approx(1)
    assert exceeds_noise(1.0, 2.4, 0.31)
    assert not exceeds_noise(1.0, 1.9, 0.31)
