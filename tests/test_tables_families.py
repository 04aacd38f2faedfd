"""Merged lesions, lesions that came apart, and lesions with two ids, followed over time."""

from __future__ import annotations

import pytest

from afterglow.cohort.matrix import landmarks
from afterglow.lesions.response import ResponseSettings
from afterglow.tables import courses

ORDER = {("s", name): place for place, name in enumerate("abc")}


def row(session, lesion, size, state="persistent", **more):
    """Return a row of `lesions`: a ball of ``size`` mm, None where it lies in another one."""
    gone = size is None or size == 0
    return {
        "subject": "s",
        "session": session,
        "lesion_id": lesion,
        "label": 0 if gone else int(lesion[1:]),
        "state": state,
        "volume": None if size is None else (size / 10) ** 3,
        "longest_diameter": size,
        "perpendicular_diameter": size,
        "n_slices": 5,
        "reason": "",
        **more,
    }


def edge(kind, start, end, session):
    return {
        "subject": "s",
        "kind": kind,
        "from_lesion_id": start,
        "to_lesion_id": end,
        "to_session": session,
    }


def followed(rows, edges):
    courses.add_responses(rows, ORDER, ResponseSettings(), edges)
    days = {place: 91.0 * k for place, k in ORDER.items()}
    courses.add_growth(rows, ORDER, days, {}, edges)
    found = courses.patient_responses(rows, ORDER, ResponseSettings(), edges)
    return {(r["session"], r["lesion_id"]): r for r in rows}, found


def test_a_lesion_does_not_grow_by_another_one_that_it_swallows():
    rows = [row("a", "L001", 20.0, "baseline"), row("a", "L002", 18.0, "baseline")]
    rows += [row("b", "L001", 20.0), row("b", "L002", 18.0)]
    merged = row("c", "L001", 38.0, volume=8.0 + 5.832)
    rows += [merged, row("c", "L002", None, "merged")]
    by, patient = followed(rows, [edge("merge", "L002", "L001", "c")])
    assert by["c", "L001"]["volume_change_baseline"] == pytest.approx(0, abs=1e-9)
    assert by["c", "L001"]["volume_change_month"] == pytest.approx(0, abs=1e-9)
    assert by["c", "L001"]["response_volume"] == by["c", "L001"]["response_diameter"] == "SD"
    assert by["c", "L001"]["reason"] == "with: L002"
    assert by["c", "L002"]["response_volume"] == "not_evaluable"
    assert by["b", "L001"]["reason"] == ""
    assert patient["s", "c"].response == "SD"
    assert patient["s", "c"].sum_longest == pytest.approx(38.0)


def test_a_lesion_does_not_shrink_by_the_pieces_that_come_off():
    rows = [row("a", "L001", 20.0, "baseline"), row("b", "L001", 20.0)]
    rows += [row("c", "L001", 12.0), row("c", "L002", 9.0, "split")]
    by, patient = followed(rows, [edge("split", "L001", "L002", "c")])
    assert by["c", "L001"]["diameter_change_baseline"] == pytest.approx(5.0)
    assert by["c", "L001"]["volume_change_baseline"] == pytest.approx(100 * (2.457 / 8 - 1))
    assert by["c", "L001"]["response_diameter"] == "SD"
    assert patient["s", "c"].response == "SD"
    assert patient["s", "c"].sum_longest == pytest.approx(21.0)


def test_a_target_that_goes_into_a_lesion_that_is_none_leaves_the_sum_unknown():
    rows = [row("a", "L001", 8.0, "baseline"), row("a", "L002", 12.0, "baseline")]
    rows += [row("b", "L001", 16.0), row("b", "L002", None, "merged")]
    _, patient = followed(rows, [edge("merge", "L002", "L001", "b")])
    assert (patient["s", "b"].response, patient["s", "b"].reasons) == (
        "NE",
        ("target_not_measured",),
    )


def test_two_ids_of_one_lesion_are_one_course_and_no_new_lesion():
    rows = [row("a", "L001", 20.0, "baseline"), row("b", "L001", 20.0)]
    rows += [row("c", "L002", 20.5, same_as="L001")]
    by, patient = followed(rows, [])
    assert by["c", "L002"]["response_diameter"] == "SD"
    assert by["c", "L002"]["diameter_change_baseline"] == pytest.approx(2.5)
    assert patient["s", "c"].response == "SD"
    labelled = [{**r, "outcome": "RN"} for r in rows]
    assert len(landmarks(labelled, mixed="drop").rows) == 1


@pytest.mark.parametrize(("factor", "thick", "answer"), [(2.0, 6.0, False), (None, 6.0, True)])
def test_the_clause_on_thick_slices_reaches_the_table(factor, thick, answer):
    rows = [row("a", "L001", 11.0, "baseline", slice_thickness=thick)]
    courses.add_responses(rows, ORDER, ResponseSettings(slice_factor=factor))
    assert rows[0]["measurable"] is answer
    assert "slice_thickness" not in rows[0]
