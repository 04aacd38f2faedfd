"""Writing, digests, clinical files and the pivot, each on its own."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterglow.errors import AfterglowError
from afterglow.lesions.growth import MONTH
from afterglow.tables import clinical, courses, treatment
from afterglow.tables.changes import ChangeSettings, change_columns
from afterglow.tables.digest import content_digest
from afterglow.tables.models import MODELS, EdgeRow, FlowRow, LesionRow, WideRow
from afterglow.tables.read import read_table
from afterglow.tables.rows import SCHEMA_VERSION, arrow_schema
from afterglow.tables.therapies import TherapyRow, therapy_rows
from afterglow.tables.wide import pivot
from afterglow.tables.write import write_arrow, write_sorted, write_table

ROW = {"step": 1, "name": "a", "reason": "", "n_subjects": 2, "n_sessions": 3, "n_lesions": None}


def test_rows_are_sorted_typed_and_free_of_nan(tmp_path):
    more = [pa.field("x", pa.float64())]
    base = {"center": "n", "subject": "s", "session": "1", "label": 1}
    rows = [{**base, "lesion_id": n, "x": x} for n, x in (("L002", np.nan), ("L001", 2.0))]
    write_table(rows, WideRow, tmp_path / "w.parquet", more=more)
    table = pq.read_table(tmp_path / "w.parquet")
    assert table.column("lesion_id").to_pylist() == ["L001", "L002"]
    assert table.column("x").to_pylist() == [2.0, None]
    metadata = pq.read_schema(tmp_path / "w.parquet").metadata
    assert b"pandas" not in metadata
    assert {b"schema_version", b"afterglow_version", b"record_ids"} <= set(metadata)


def test_unknown_columns_and_double_keys_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no column extra"):
        write_table([{**ROW, "extra": 1}], FlowRow, tmp_path / "f.parquet")
    with pytest.raises(ValueError, match="same step"):
        write_table([ROW, ROW], FlowRow, tmp_path / "f.parquet")


def test_batches_give_the_same_rows_whatever_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr("afterglow.tables.write.ROW_GROUP", 7)
    schema = arrow_schema(FlowRow).append(pa.field("record_id", pa.string()))
    model = type("Model", (FlowRow,), {"__annotations__": {"record_id": str}})
    rows = [{**ROW, "step": k, "record_id": f"r{k % 3}"} for k in range(40)]
    for size in (1, 5, 40):
        batches = [
            pa.Table.from_pylist(rows[k : k + size], schema=schema) for k in range(0, 40, size)
        ]
        assert write_sorted(batches, model, tmp_path / f"{size}.parquet") == 40
    files = [(tmp_path / f"{size}.parquet").read_bytes() for size in (1, 5, 40)]
    assert files[0] == files[1] == files[2]


def test_no_rows_make_an_empty_table_with_all_columns(tmp_path):
    for model in MODELS:
        table = write_table([], model, tmp_path / f"{model.TABLE}.parquet")
        assert (table.num_rows, table.column_names) == (0, list(model.model_fields))


@pytest.fixture
def mixed():
    return pa.table(
        {
            "id": ["b", "a", None],
            "n": pa.array([1, None, 3], pa.int32()),
            "x": [1 / 3, -0.0, None],
            "ok": [True, None, False],
            "v": pa.array([[1.0, 2.0], None, []], pa.list_(pa.float64())),
        }
    )


def test_digest_ignores_encoding_order_and_noise(mixed, tmp_path):
    digest = content_digest(mixed)
    same = mixed.take([2, 0, 1]).select(["x", "v", "ok", "n", "id"])
    same = same.set_column(4, "id", same.column("id").dictionary_encode())
    same = same.set_column(0, "x", pa.array([None, 1 / 3 + 1e-12, 0.0]))
    assert content_digest(same) == digest
    pq.write_table(mixed, tmp_path / "m.parquet")
    copy = duckdb.sql(f"select * from '{tmp_path}/m.parquet' order by n").arrow()
    copy = copy.read_all() if hasattr(copy, "read_all") else copy
    assert content_digest(copy) == digest


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", ["b", "a", ""]),
        ("n", [1, 0, 3]),
        ("x", [1 / 3 + 1e-6, 0.0, None]),
        ("x", [1 / 3, None, None]),
        ("ok", [True, False, False]),
        ("v", [[1.0], [2.0], []]),
    ],
)
def test_digest_sees_every_change(mixed, column, values):
    place = mixed.column_names.index(column)
    changed = mixed.set_column(place, column, pa.array(values, mixed.schema.field(column).type))
    assert content_digest(changed) != content_digest(mixed)


def batch(session, cells):
    rows = [
        {
            "center": "n",
            "subject": "s",
            "session": session,
            "lesion_id": f"L{label:03d}",
            "label": label,
            "map": image,
            "region": "lesion",
            "statistic": "mean",
            "value": value,
            "unit": "u",
            "record_id": session,
        }
        for (label, image), value in cells.items()
    ]
    return pa.Table.from_pylist(rows)


def test_pivot_joins_sessions_with_different_maps():
    wide = pivot(
        [batch("1", {(2, "B"): 1.0, (1, "B"): 2.0}), batch("2", {(1, "A"): 3.0, (1, "B"): 4.0})]
    )
    assert wide.names == ["A.lesion.mean", "B.lesion.mean"]
    assert [key[2:4] for key in wide.keys] == [("1", "L001"), ("1", "L002"), ("2", "L001")]
    np.testing.assert_array_equal(wide.values, [[np.nan, 2], [np.nan, 1], [3, 4]])
    order = {("s", "1"): 0, ("s", "2"): 1}
    found = change_columns(wide, order, {}, ChangeSettings(("mean",), {"B": 0.31}))
    kinds = ["change_baseline", "change_nadir", "change_month"]
    assert found.names == [
        *(f"A.lesion.mean.{kind}" for kind in kinds),
        *(f"B.lesion.mean.{kind}" for kind in (*kinds, "change_real")),
    ]
    assert found.values[2, 3] == pytest.approx(100)
    assert found.values[2, 6] == 0


PEOPLE = clinical.People(
    (clinical.Person("north", "P1", "aa", -1000), clinical.Person("south", "P1", "bb", -10)),
    {("aa", "x"): dt.date(2016, 6, 8), ("aa", "y"): dt.date(2016, 9, 1)},
)
PLACES = [
    clinical.Place("aa", "x", 1, "L001", (0.0, 0.0, 0.0)),
    clinical.Place("aa", "x", 2, "L002", (30.0, 0.0, 0.0)),
    clinical.Place("aa", "y", 1, "L002", (30.0, 1.0, 0.0)),
]


def test_site_files_are_joined_by_label_and_dates_are_shifted(tmp_path):
    path = tmp_path / "clinical.csv"
    path.write_text(
        "patient,center,lesion,srs_date,dose_gy\nP1,north,2,20190305,20\nQ,north,1,20190101,1\n"
    )
    rows = clinical.read_rows(path, PEOPLE, "clinical")
    assert [r["subject"] for r in rows] == ["aa"]
    assert rows[0]["srs_date"] == dt.date(2019, 3, 5) - dt.timedelta(days=1000)
    found = treatment.treatments(rows, PLACES, PEOPLE)
    assert found["aa", "L002"].dose == 20.0
    assert found["aa", None].srs == rows[0]["srs_date"]
    assert clinical.row_numbers(rows, PLACES, PEOPLE) == {"aa": [1], "aa/L002": [1]}
    path.write_text("who\nP1\n")
    with pytest.raises(AfterglowError, match="no column `patient`"):
        clinical.read_rows(path, PEOPLE, "clinical")


@pytest.mark.parametrize(
    ("row", "lesion"),
    [
        ({"lesion": "L002"}, "L002"),
        ({"lesion": "1"}, "L001"),
        ({"lesion": "1", "study_date": dt.date(2016, 9, 1)}, "L002"),
        (
            {
                "lesion": "1",
                "study_date": dt.date(2016, 6, 8),
                "centroid_x": "28",
                "centroid_y": "0",
                "centroid_z": "0",
            },
            "L002",
        ),
        ({"lesion": "9"}, None),
        ({"lesion": ""}, None),
    ],
)
def test_a_row_names_a_lesion_by_id_place_or_label(row, lesion):
    assert clinical.lesion_of({"subject": "aa", **row}, PLACES, PEOPLE) == lesion


def test_a_number_means_a_label_of_the_sites_own_mask_only():
    made = [replace(place, given=False) for place in PLACES]
    assert clinical.lesion_of({"subject": "aa", "lesion": "1"}, made, PEOPLE) is None
    mixed = [*made[:2], PLACES[2]]
    assert clinical.lesion_of({"subject": "aa", "lesion": "1"}, mixed, PEOPLE) == "L002"


def test_the_first_mask_is_the_earliest_and_not_the_first_label():
    places = [
        clinical.Place("aa", "v10", 1, "L002", (0.0, 0.0, 0.0)),
        clinical.Place("aa", "v9", 1, "L001", (0.0, 0.0, 0.0)),
    ]
    days = {("aa", "v9"): dt.date(2016, 1, 1), ("aa", "v10"): dt.date(2016, 2, 1)}
    people = clinical.People((), days)
    assert clinical.lesion_of({"subject": "aa", "lesion": "1"}, places, people) == "L001"


def test_contradicting_outcomes_are_counted_and_not_used():
    rows = [
        {"subject": "aa", "lesion": "L001", "label": "progression", "blinded": "true"},
        {"subject": "aa", "lesion": "1", "label": "treatment_effect"},
        {"subject": "aa", "lesion": "7", "label": "progression"},
        {"subject": "aa", "lesion": "L002", "label": "progression", "blinded": "true"},
        {"subject": "aa", "lesion": "L002", "label": "progression", "basis": "resection"},
    ]
    found, lost = treatment.outcomes(rows, PLACES, PEOPLE)
    assert list(found) == [("aa", "L002")]
    assert found["aa", "L002"].blinded is True
    assert lost == 3


def test_what_cannot_be_read_of_a_site_file_is_told(tmp_path):
    path = tmp_path / "clinical.csv"
    path.write_text(
        "patient,center,lesion,srs_date,dose_gy\n"
        "P1,north,1.0,05/03/2019,20\n"
        "P9,north,1,20190305,20\n"
        "P1,north,9,2019-03-05,20\n"
        "P1,north,L002,2019-03-05,20\n"
        "P1,north,L002,2019-09-05,18\n"
    )
    said = []
    rows = clinical.read_rows(path, PEOPLE, "clinical", said.append)
    said += treatment.treatment_doubts(rows, PLACES, PEOPLE)
    told = ("1 of 5 rows of a patient", "`srs_date` that is no date in rows 1:")
    told += ("1 of 4 clinical rows name a lesion that is none", "1 lesions were treated on several")
    assert len(said) == len(told)
    assert all(part in text for part, text in zip(told, said, strict=True))
    assert not any("05/03" in text or "P9" in text for text in said)
    assert clinical.lesion_of(rows[0], PLACES, PEOPLE) == "L001"


@pytest.mark.parametrize(
    ("named", "doses"),
    [
        (
            ("1", "2"),
            [20.0, 20.0, None, None],
        ),  # all rows name lesions: the others were not treated
        (
            ("1", ""),
            [20.0, 20.0, 20.0, None],
        ),  # one speaks of the subject, never of what came later
        (("1", "8"), [20.0, 20.0, 20.0, None]),
    ],
)
def test_a_dose_is_given_to_no_lesion_that_cannot_have_had_it(named, doses):
    srs = dt.date(2016, 6, 10)
    site = [{"subject": "aa", "lesion": n, "srs_date": srs, "dose_gy": "20"} for n in named]
    rows = [
        {"subject": "aa", "session": session, "lesion_id": lesion, "state": state}
        for lesion, session, state in (
            ("L001", "x", "baseline"),
            ("L002", "x", "baseline"),
            ("L003", "x", "baseline"),
            ("L004", "y", "new"),
        )
    ]
    courses.add_treatment(rows, treatment.treatments(site, PLACES, PEOPLE), {}, PEOPLE)
    assert [row.get("prescribed_dose") for row in rows] == doses
    assert [row["days_from_srs"] for row in rows] == [-2.0, -2.0, -2.0, 83.0]


def test_therapies_are_days_from_srs_and_change_no_dose(tmp_path):
    path = tmp_path / "clinical.csv"
    path.write_text(
        "patient,center,lesion,srs_date,dose_gy,therapy,therapy_start_date,therapy_end_date\n"
        "P1,north,1,20190305,20,osimertinib,20190101,20190404\n"
        "P1,north,2,20190305,20,osimertinib,2019-01-01,2019-04-04\n"
        "P1,north,,,,osimertinib,20190501,\n"
        "P1,north,,,,dexamethasone,20190305,20190301\n"
        "P1,north,,,,bevacizumab,,20190310\n"
        "P1,south,,,,radium,20190310,20190311\n"
        "Q,north,1,,,cisplatin,20190310,20190311\n"
    )
    rows = clinical.read_rows(path, PEOPLE, "clinical")
    treated = treatment.treatments(rows, PLACES, PEOPLE)
    assert (treated["aa", None].dose, treated["aa", "L002"].dose) == (None, 20.0)
    assert ("bb", None) not in treated
    srs = {subject: own.srs for (subject, lesion), own in treated.items() if lesion is None}
    found = therapy_rows(rows, {"aa": "north", "bb": "south"}, srs)
    names = ("subject", "therapy", "interval", "start_days_from_srs", "end_days_from_srs", "reason")
    assert [tuple(row[n] for n in names) for row in found] == [
        ("aa", "bevacizumab", 1, None, 5.0, "no_start_date"),
        ("aa", "dexamethasone", 1, 0.0, -4.0, "end_before_start"),
        ("aa", "osimertinib", 1, -63.0, 30.0, ""),
        ("aa", "osimertinib", 2, 57.0, None, "no_end_date"),
        ("bb", "radium", 1, None, None, "no_srs_date"),
    ]
    written = write_table(found, TherapyRow, tmp_path / "therapies.parquet")
    assert written.num_rows == 5
    assert therapy_rows(rows, {"bb": "south"}, srs) == found[4:]


# The columns of `edges` in schema version 1.0.0.
EDGES_1_0 = {
    "center": "n", "subject": "s", "from_session": "a", "from_label": 1,
    "from_lesion_id": "L001", "to_session": "b", "to_label": 2, "to_lesion_id": "L001",
    "kind": "continuation", "overlap": 0.9, "distance": 1.5, "score": 0.8, "margin": 0.7,
    "uncertain": False, "record_id": "r",
}  # fmt: skip


def test_tables_of_the_previous_version_are_read_with_todays_columns(tmp_path):
    facts = {"afterglow_table": "edges", "schema_version": "1.0.0"}
    write_arrow(pa.Table.from_pylist([EDGES_1_0]), tmp_path / "old.parquet", facts)
    found = read_table(tmp_path / "old.parquet", EdgeRow)
    assert found.column_names == list(EdgeRow.model_fields)
    (row,) = found.to_pylist()
    assert {name: row[name] for name in EDGES_1_0} == EDGES_1_0
    assert row["corrected"] is None
    write_table([{**EDGES_1_0, "corrected": True}], EdgeRow, tmp_path / "new.parquet")
    assert read_table(tmp_path / "new.parquet", EdgeRow).to_pylist()[0]["corrected"] is True
    stored = pq.read_schema(tmp_path / "new.parquet").metadata[b"schema_version"]
    assert stored.decode() == SCHEMA_VERSION


def test_lesions_of_the_previous_version_have_no_growth_yet(tmp_path):
    later = {"volume_change_month", "diameter_change_month", "volume_change_real"}
    later |= {"diameter_change_real", "growth_exponent", "growth_exponent_low"}
    later |= {"growth_exponent_high", "growth_reason"}
    old = {name: None for name in LesionRow.model_fields if name not in later}
    old |= {"center": "n", "subject": "s", "session": "a", "lesion_id": "L001", "label": 1}
    old |= {"volume": 1.5, "reason": "", "record_id": "r"}
    facts = {"afterglow_table": "lesions", "schema_version": "1.1.0"}
    write_arrow(pa.Table.from_pylist([old]), tmp_path / "old.parquet", facts)
    (row,) = read_table(tmp_path / "old.parquet", LesionRow).to_pylist()
    assert row["volume"] == 1.5
    assert {row[name] for name in later} == {None}


def test_tables_of_a_later_version_and_other_tables_are_refused(tmp_path):
    for facts, what in (
        ({"afterglow_table": "edges", "schema_version": "9.0.0"}, "schema version 9.0.0"),
        ({"afterglow_table": "flow", "schema_version": "1.0.0"}, "says it is flow"),
        ({}, "no table of a study"),
    ):
        write_arrow(pa.Table.from_pylist([EDGES_1_0]), tmp_path / "t.parquet", facts)
        with pytest.raises(AfterglowError, match=what):
            read_table(tmp_path / "t.parquet", EdgeRow)


def test_changes_follow_first_and_smallest_earlier_values_and_time():
    values = [0.0, 4.0, 2.0, 3.0, 10.0]
    wide = pivot([batch(str(k), {(1, "A"): v}) for k, v in enumerate(values)])
    wide = replace(wide, names=["shape.lesion.volume"])
    order = {("s", str(k)): k for k in range(5)}
    days = {moment: 2 * MONTH * k for moment, k in order.items()}
    found = change_columns(wide, order, days, ChangeSettings(("volume",), {"volume": 0.31}))
    kinds = [name.rsplit(".", 1)[1] for name in found.names]
    columns = dict(zip(kinds, found.values.T, strict=True))
    nan = np.nan
    np.testing.assert_allclose(columns["change_baseline"], [nan, nan, -50, -25, 150])
    np.testing.assert_allclose(columns["change_nadir"], [nan, nan, -50, 50, 400])
    monthly = 100 * (np.sqrt([0.5, 1.5, 10 / 3]) - 1)
    np.testing.assert_allclose(columns["change_month"], [nan, nan, *monthly])
    # the limits of 31 % are -57 % and +131 %
    np.testing.assert_allclose(columns["change_real"], [nan, nan, 0, 0, 1])
