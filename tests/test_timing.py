"""Frame times: measured, compared, or refused; never the repetition time unsaid."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterglow.dicom.timing import resolve
from afterglow.dicom.volumes import assemble

EMPTY = {"frames": None, "image_type": ["ORIGINAL", "PRIMARY"], "acquisition_type": "2D"}


def row(position=0.0, **facts):
    return {
        **EMPTY,
        "vendor": "GE",
        "image_position": [0.0, 0.0, position],
        "image_orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "repetition_time": 1000.0,
        "scanning_sequence": ["EP", "GR"],
        "acquisition_date": "20240229",
        **facts,
    }


def clock(seconds: float, start: str = "10:00:00") -> str:
    moment = dt.datetime.strptime(start, "%H:%M:%S") + dt.timedelta(seconds=seconds)
    return moment.strftime("%H%M%S.%f")


def ge(times, n_slices=3, per_slice=0.1, *, temporal=True):
    return [
        row(
            4.0 * place,
            trigger_time=1000.0 * (time + per_slice * place) + 100.0,
            temporal_index=volume + 1 if temporal else None,
            acquisition_time="100000",
            instance_number=1 + volume * n_slices + place,
        )
        for volume, time in enumerate(times)
        for place in range(n_slices)
    ]


def siemens(times, start="10:00:00", date="20240229"):
    return [
        row(
            vendor="Siemens",
            image_type=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
            acquisition_time=clock(time, start),
            acquisition_date=date,
            acquisition_number=volume + 1,
            instance_number=volume + 1,
        )
        for volume, time in enumerate(times)
    ]


def enhanced(times, n_slices=3, vendor="Philips", **facts):
    frames = [
        {
            "index": volume * n_slices + place,
            "position": [0.0, 0.0, 4.0 * place],
            "orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            "acquired": 7.0e10 + time,
            "temporal_index": volume + 1,
            **{name: value(volume) for name, value in facts.items()},
        }
        for volume, time in enumerate(times)
        for place in range(n_slices)
    ]
    return [row(vendor=vendor, frames=frames, image_position=None, image_orientation=None)]


steps = st.lists(st.integers(200, 9000), min_size=2, max_size=40).map(
    lambda gaps: [sum(gaps[:n]) / 1000.0 for n in range(len(gaps))]
)


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from(["ge", "siemens", "enhanced"]), st.randoms())
def test_times_are_exact_whatever_order_the_files_have(times, shape, random):
    rows = {"ge": ge, "siemens": siemens, "enhanced": enhanced}[shape](times)
    random.shuffle(rows)
    found = resolve(rows)
    assert found.evaluable
    np.testing.assert_allclose(found.seconds, times, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(steps, st.integers(1, 86399))
def test_midnight_never_breaks_the_clock(times, before):
    start = (dt.datetime(2024, 2, 29) - dt.timedelta(seconds=before)).strftime("%H:%M:%S")
    found = resolve(siemens(times, start))
    np.testing.assert_allclose(found.seconds, times, atol=1e-3)
    assert found.source == "acquisition_time"


def test_repetition_time_never_replaces_a_trigger_time():
    found = resolve(ge([1.35 * n for n in range(10)]))
    assert found.source == "trigger_time"
    assert found.evaluable
    np.testing.assert_allclose(np.diff(found.seconds), 1.35, atol=1e-9)
    assert found.disagreement == pytest.approx(9 * 0.35)
    np.testing.assert_allclose(found.candidates["nominal"], np.arange(10.0))


def test_without_any_tag_the_time_is_nominal_and_says_so():
    rows = [
        row(4.0 * place, repetition_time=5000.0, acquisition_time="114815", instance_number=n)
        for n, place in enumerate([0, 1, 2] * 4)
    ]
    found = resolve(rows)
    assert not found.evaluable
    assert (found.source, found.reason) == ("nominal", "no_temporal_tag")
    np.testing.assert_allclose(found.seconds, [0, 5, 10, 15])
    assert found.disagreement is None


def test_times_that_fall_are_refused():
    found = resolve(siemens([0.0, 2.0, 1.0, 6.0]))
    assert not found.evaluable
    assert found.reason == "times_not_rising"


def test_one_volume_without_time_is_not_mixed_with_another_clock():
    rows = siemens([0.0, 2.0, 4.0])
    rows[1]["acquisition_time"] = None
    found = resolve(rows)
    assert not found.evaluable
    assert found.reason == "times_incomplete"


def test_two_measured_sources_that_disagree_fail_closed():
    rows = enhanced([0.0, 5.0, 10.0], dynamic_start=lambda n: 2.0 * n)
    found = resolve(rows)
    assert not found.evaluable
    assert found.reason == "sources_disagree"
    assert np.max(
        np.abs(found.candidates["philips_dynamic_start"] - found.seconds)
    ) == pytest.approx(6.0)
    assert found.disagreement >= 6.0


def test_times_of_frames_that_contradict_a_rising_count_are_refused():
    """The order of volumes follows another element than the clock: one of them is wrong."""
    rising = [2.0 * n for n in range(8)]
    swapped = [0.0, 2.0, 6.0, 4.0, *rising[4:]]
    repeated = [0.0, 2.0, 4.0, 4.0, *rising[4:]]
    assert resolve(enhanced(rising, dynamic_start=lambda v: 2.0 * v)).evaluable
    for wrong in (swapped, rising[::-1], repeated):
        found = resolve(enhanced(wrong, dynamic_start=lambda v: 2.0 * v))
        assert (found.evaluable, found.reason) == (False, "sources_disagree")
        alone = resolve(enhanced(wrong))
        assert (alone.evaluable, alone.reason) == (False, "times_not_rising")
    # a clock of whole seconds repeats where frames are shorter, and contradicts nothing
    coarse = [float(int(0.6 * n)) for n in range(8)]
    assert resolve(enhanced(coarse, dynamic_start=lambda v: 0.6 * v)).evaluable


def test_whole_seconds_do_not_count_as_disagreement():
    rows = ge([2.004 * n for n in range(8)], per_slice=0.0)
    for item in rows:
        item["acquisition_time"] = clock(int(2.004 * (item["temporal_index"] - 1)))[:6]
    found = resolve(rows)
    assert found.evaluable
    assert found.source == "trigger_time"


def test_incomplete_last_volume_is_dropped():
    rows = ge([2.0 * n for n in range(5)])[:-1]
    volumes = assemble(rows)
    assert (volumes.n_volumes, len(volumes.incomplete)) == (4, 1)
    np.testing.assert_allclose(resolve(rows).seconds, [0, 2, 4, 6])


def test_label_and_control_share_their_time_and_are_not_evaluable():
    rows = [
        row(
            4.0 * place,
            vendor="Philips",
            philips_label=label,
            temporal_index=time + 1,
            philips_dynamic_start=127.5 * time,
            instance_number=6 * time + place,
        )
        for time in range(3)
        for label in ("CONTROL", "LABEL")
        for place in range(3)
    ]
    found = resolve(rows)
    assert list(found.seconds) == [0.0, 0.0, 127.5, 127.5, 255.0, 255.0]
    assert found.reason == "volumes_share_times"


def test_two_echoes_are_one_time():
    rows = [
        {**item, "echo_time": echo}
        for item in ge([1.5 * n for n in range(6)])
        for echo in (14.0, 33.0)
    ]
    volumes = assemble(rows)
    assert volumes.n_volumes == 6
    assert volumes.echo_times == (14.0, 33.0)
    np.testing.assert_allclose(resolve(rows).seconds, 1.5 * np.arange(6))


def test_a_single_volume_has_no_source():
    found = resolve(ge([0.0]))
    assert (found.source, list(found.seconds)) == ("single", [0.0])
