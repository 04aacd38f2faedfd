"""Lesion pages, their pictures, and the page of all sessions."""

from __future__ import annotations

import re
import struct
import zlib

import nibabel as nib
import numpy as np
import pytest

from afterglow.config.report import StoryConfig
from afterglow.lesions.grids import Grid
from afterglow.lesions.lesion_dose import Placed
from afterglow.provenance.job import State
from afterglow.report.lesion import lesion_page
from afterglow.report.lesion_rows import LesionFacts, lesion_facts
from afterglow.report.planes import Plane, outline, sample
from afterglow.report.png import grey_png, levels, map_png, palette
from afterglow.report.slices import lesion_slices, scans_of
from afterglow.report.study import study_page
from cohort_tables import feature, lesion, session
from test_report_pages import Outline

SETTINGS = StoryConfig()


def decode(png):
    """Return the pixels of a PNG written without filters."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert (
            zlib.crc32(name + data) == struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0]
        )
        chunks[name], at = data, at + 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], chunks


def test_a_picture_holds_its_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(decode(grey_png(pixels))[0], pixels)
    found, chunks = decode(map_png(pixels, palette()))
    assert np.array_equal(found, pixels)
    assert chunks[b"tRNS"] == b"\x00"
    colors = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(256, 3)
    bright = colors[1:].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(bright) > -1).all()
    assert bright[-1] - bright[0] > 150


def test_levels_leave_out_what_has_no_value():
    assert levels(np.array([[np.nan, 0.0, 4.0, 99.0]]), 0.0, 4.0).tolist() == [[0, 1, 255, 255]]


def test_a_plane_shows_the_same_place_of_two_sessions():
    # A bright cube at world (20, 10, 5); the second session's head lies 7 mm further right.
    shape, affine = (40, 40, 20), np.diag([2.0, 2.0, 2.0, 1.0])
    first = np.zeros(shape, np.float32)
    first[9:12, 4:7, 2:4] = 1.0
    moved = np.eye(4)
    moved[0, 3] = -7.0
    other = affine.copy()
    other[0, 3] += 7.0
    plane = Plane(np.array([20.0, 10.0, 5.0]), 20.0, 40)
    one = sample(first, affine, np.eye(4), plane)
    two = sample(first, other, moved, plane)
    assert np.allclose(one, two)
    assert one[20, 20] == pytest.approx(1.0)
    assert np.isnan(sample(first, affine, np.eye(4), Plane(np.array([300.0, 0, 0]), 20.0, 4))).all()


def test_left_is_left_and_front_is_on_top():
    values = np.zeros((20, 20, 4), np.float32)
    values[15:, :, :] = 1.0  # patient's right
    values[:, 15:, :] += 2.0  # front
    found = sample(values, np.eye(4), np.eye(4), Plane(np.array([9.5, 9.5, 1.5]), 18.0, 18))
    assert found[9, -1] > found[9, 0]
    assert found[0, 3] == pytest.approx(2.0)
    assert found[-1, 3] == pytest.approx(0.0)


def test_an_outline_goes_around_the_region():
    inside = np.zeros((20, 20), bool)
    inside[5:15, 3:9] = True
    points = [tuple(map(float, p.split())) for p in re.findall(r"[\d.]+ [\d.]+", outline(inside))]
    xs, ys = zip(*points, strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == (3.0, 9.0, 5.0, 15.0)


@pytest.fixture
def subject(tmp_path):
    """Two sessions with one lesion that grows; the second has no DCE and lies 6 mm off."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    placed, upstream = [], {"anat": [], "dsc": [], "dce": []}
    for number, (name, radius) in enumerate((("s1", 3), ("s2", 5))):
        index = np.indices((32, 32, 32)) - 15.5
        labels = (np.sqrt((index**2).sum(axis=0)) < radius).astype(np.int32)
        brain = np.sqrt((index**2).sum(axis=0)) < 14
        image = np.where(brain, 100.0, 0.0) + 100.0 * labels

        def save(values, kind, name=name):
            path = f"{name}_{kind}.nii.gz"
            nib.save(nib.Nifti1Image(values.astype(np.float32), affine), tmp_path / path)
            return path

        shift = np.eye(4)
        shift[1, 3] = 6.0 * number
        (tmp_path / f"{name}.json").write_text(
            '{"dsc_to_T1w": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]], "dce_to_T1w": null}'
        )
        anat = {
            "t1w": save(image, "T1w"),
            "brain": save(brain, "brain"),
            "transforms": f"{name}.json",
        }
        maps = {"rCBV": {"path": save(2.0 + labels, "rCBV"), "evaluable": save(brain, "good")}}
        placed.append(Placed(name, labels, Grid((32, 32, 32), affine), shift, ""))
        upstream["anat"].append(State("anat", "k", "a", name, "done", summary=anat))
        upstream["dsc"].append(State("dsc", "k", "a", name, "done", summary={"maps": maps}))
        upstream["dce"].append(State("dce", "k", "a", name, "not_evaluable", reason="no_dce"))
    return tmp_path, placed, upstream


def slices_of(subject, assignments=None):
    root, placed, upstream = subject
    written = {}

    def write(name, content):
        written[name] = content
        return f"derivatives/figures/{name}"

    scans = scans_of(lambda p: root / p, placed, upstream)
    rows = assignments or [{"session": s, "label": 1, "lesion_id": "L001"} for s in ("s1", "s2")]
    return lesion_slices(scans, rows, lambda p: root / p, SETTINGS, write), written


def test_pictures_of_a_lesion_are_of_one_slice(subject):
    found, written = slices_of(subject)
    entry = found["L001"]
    # The lesion is largest at the second session, which lies 6 mm in front.
    assert entry["center"] == pytest.approx([31.0, 37.0, 31.0])
    assert entry["extent"] == 64.0
    assert set(entry["sessions"]["s1"]["tiles"]) == {"T1w", "rCBV"}
    first, second = (
        decode(written[f"lesion-L001_ses-{s}_desc-T1w_slice.png"])[0] for s in ("s1", "s2")
    )
    middle = SETTINGS.pixels // 2
    assert second[middle, middle] == 255
    rows = np.flatnonzero((first > 200).any(axis=1))
    # At the first session the lesion lies 6 mm further back: 15 pixels of 0.4 mm, downwards.
    assert (rows[0] + rows[-1]) / 2 - middle == pytest.approx(6.0 / 0.4, abs=1.5)
    sizes = [
        np.ptp([float(x) for x in re.findall(r"[ML]([\d.]+) ", entry["sessions"][s]["outline"])])
        for s in ("s1", "s2")
    ]
    assert sizes == pytest.approx([2 * 3 * 2 / 0.4, 2 * 5 * 2 / 0.4], rel=0.12)
    colored = decode(written["lesion-L001_ses-s2_desc-rCBV_slice.png"])[0]
    assert colored[middle, middle] == levels(np.array([[3.0]]), 0.0, 4.0)[0, 0]
    assert colored[0, 0] == 0


def test_pictures_are_byte_identical(subject):
    assert slices_of(subject)[1] == slices_of(subject)[1]


def test_a_session_without_a_place_has_no_picture(subject):
    root, placed, upstream = subject
    astray = [placed[0], Placed("s2", placed[1].labels, placed[1].grid, np.eye(4), "no_anatomy")]
    found, _ = slices_of((root, astray, upstream))
    assert set(found["L001"]["sessions"]) == {"s1"}


def tables():
    rows = [
        lesion("s2", volume=2.0, days_from_srs=90.0, state="persistent", response_volume="PD"),
        lesion("s1", volume=1.0, days_from_srs=-7.0, state="baseline", prescribed_dose=20.0),
    ]
    cells = [
        feature(v, session=s, statistic=k, map=m, unit=u)
        for s, by in (("s1", (2.0, 1.8, 2.4)), ("s2", (3.0, 2.5, 3.5)))
        for m, u, scale in (("rCBV", "ratio", 1.0), ("Ktrans", "1/min", 0.05))
        for k, v in zip(("median", "p25", "p75"), [x * scale for x in by], strict=True)
    ]
    cells.append(feature(None, session="s2", map="PSR", statistic="median", reason="too_small"))
    rules = [
        {
            "subject": "a", "session": "s2", "lesion_id": "L001", "rule_id": "r1", "value": 3.0,
            "call": call, "unit": "ratio", "cutoff": 2.0, "reasons": ["beyond_cutoff"],
            "evidence_level": "derivation",
        }
        for call in ("progression", "not_evaluable")
    ]  # fmt: skip
    return {
        "sessions": [session("s1", -7.0), session("s2", 90.0)],
        "lesions": rows,
        "features": cells,
        "rules": rules,
        "predictions": [
            {
                "subject": "a", "session": "s2", "lesion_id": "L001", "model": "logistic",
                "split": "nested", "probability": 0.731,
            }
        ],
    }  # fmt: skip


def story(**slices):
    (facts,) = lesion_facts(tables(), {"a": {"lesions": slices}} if slices else {}).values()
    return lesion_page(
        facts,
        study="demo",
        titles={"r1": "A rule of 2010"},
        repeatability={"rCBV": 0.31},
        ranges=SETTINGS.ranges,
        record_id="d" * 64,
    )


def test_a_lesion_page_tells_the_course_in_days():
    html = story()
    outline_ = Outline(html)
    assert outline_.faults == []
    text = outline_.plain
    assert "Days from radiosurgery" in text
    assert html.index("ses-s1") < html.index("ses-s2")
    assert "2.00 at day -7" not in html
    assert "2 at day -7, 3 at day 90" in html
    # exp(+-2.77 sqrt(ln(1 + 0.31^2))) around the first value of 2.
    assert "limits of repeatability around the first value: 0.8642 to 4.628" in html
    assert html.count('class="whisker') == 4
    assert "ses-s2: too small" in text
    assert "A rule of 2010" in text
    assert "0.731" in text
    assert "not evaluable beyond cutoff 1" in text
    assert "Prescribed dose, Gy" not in text
    assert "d" * 64 in text


def test_no_day_is_told_where_none_is_known():
    content = tables()
    for row in (*content["lesions"], *content["sessions"]):
        row |= {name: None for name in row if name.startswith("days_from_")}
    (facts,) = lesion_facts(content, {}).values()
    html = lesion_page(facts, study="x", titles={}, repeatability={}, ranges={})
    assert "against session (days unknown): 2 at session 1, 3 at session 2." in html
    assert " at day " not in html


def test_a_change_that_counts_other_lesions_in_says_so():
    content = tables()
    content["lesions"][-1] |= {"volume_change_nadir": 12.5, "reason": "with: L002"}
    (facts,) = lesion_facts(content, {}).values()
    text = Outline(lesion_page(facts, study="x", titles={}, repeatability={}, ranges={})).plain
    assert "12.5 with L002" in text
    assert "they merged with this one" in text
    assert "they merged" not in Outline(story()).plain


def test_what_a_person_decided_is_told_with_rater_and_reason():
    content = tables()
    content["lesions"][0] |= {"decision": "same_as s1/1 (reader-1: same <place>)"}
    (facts,) = lesion_facts(content, {}).values()
    text = Outline(lesion_page(facts, study="x", titles={}, repeatability={}, ranges={})).plain
    assert "ses-s2 same_as s1/1 (reader-1: same <place>)" in text
    assert "decided by a person" not in Outline(story()).plain


def test_the_dose_is_that_of_the_last_session():
    content = tables()
    content["lesions"][0] |= {"prescribed_dose": 20.0, "dose_d98": 19.25}
    (facts,) = lesion_facts(content, {}).values()
    assert isinstance(facts, LesionFacts)
    html = lesion_page(facts, study="x", titles={}, repeatability={}, ranges={})
    text = Outline(html).plain
    assert "Prescribed dose, Gy 20" in text
    assert "19.2" in text
    assert "limits of repeatability" not in text


GIVEN = [
    {"subject": "a", "therapy": name, "interval": 1, "start_days_from_srs": start,
     "end_days_from_srs": end, "reason": reason}
    for name, start, end, reason in (
        ("osimertinib", -60.0, 40.0, ""),
        ("pembrolizumab", 47.0, None, "no_end_date"),
        ("radium", 5.0, 1.0, "end_before_start"),
        ("cisplatin", -700.0, -600.0, ""),
    )
]  # fmt: skip


def bars(html, name):
    """Return the x of the corners of every bar of a therapy, and its title."""
    found = re.findall(r'<polygon class="interval" points="([^"]*)"><title>([^<]*)', html)
    return [
        ([float(p.split(",")[0]) for p in points.split()], title)
        for points, title in found
        if title.startswith(name)
    ]


def test_therapies_are_bars_over_the_course_with_words_and_a_table():
    (facts,) = lesion_facts(tables() | {"therapies": GIVEN}, {}).values()
    html = lesion_page(facts, study="x", titles={}, repeatability={}, ranges={})
    found = Outline(html)
    assert found.faults == []
    # Three charts have a value, and a lane for each of the two therapies within their days.
    assert len(bars(html, "osimertinib")) == len(bars(html, "pembrolizumab")) == 3
    assert bars(html, "cisplatin") == bars(html, "radium") == []
    (first, title), (later, open_title) = bars(html, "osimer")[0], bars(html, "pembro")[0]
    assert (title, open_title) == ("osimertinib: -60 to 40", "pembrolizumab: 47 to ?")
    # The axis begins after day -60: the bar is pointed at its left, and ends at its day.
    assert min(first) < first[0] == first[4]
    assert first[1] == first[2] == max(first)
    assert max(later) > later[1]
    scale = re.search(r'cx="([\d.]+)" cy="[\d.]+" r="3.4"/></g></svg>', html)
    day_90 = float(scale[1])
    per_day = (day_90 - first[1]) / 50.0
    assert later[0] == pytest.approx(day_90 - 43.0 * per_day, abs=0.2)
    assert "osimertinib from day -60 to day 40; pembrolizumab from day 47, no end recorded" in html
    assert "osimertinib -60 40" in found.plain
    assert "pembrolizumab 47 – no end is recorded" in found.plain
    assert "radium 5 1 ends before it starts: not drawn" in found.plain
    assert "cisplatin -700 -600" in found.plain


def test_therapies_follow_the_radiosurgery_of_the_lesion_and_need_days():
    content = tables() | {"therapies": GIVEN[:1]}
    for row in content["lesions"]:
        row["days_from_srs"] -= 30.0
    (facts,) = lesion_facts(content, {}).values()
    html = lesion_page(facts, study="x", titles={}, repeatability={}, ranges={})
    assert bars(html, "osimertinib")[0][1] == "osimertinib: -90 to 10"
    for row in (*content["lesions"], *content["sessions"]):
        row["days_from_srs"] = None
    (facts,) = lesion_facts(content, {}).values()
    html = lesion_page(facts, study="x", titles={}, repeatability={}, ranges={})
    assert bars(html, "osimertinib") == []
    text = Outline(html).plain
    assert "Days from the subject's radiosurgery. Therapy From To Remark osimertinib -60 40" in text


def test_pictures_stand_on_the_page_with_text_and_a_range():
    tile = {"tiles": {"rCBV": "derivatives/sub-a/figures/x.png"}, "outline": "M1 1Z", "label": 1}
    html = story(L001={"extent": 64.0, "center": [0, 0, 0], "sessions": {"s2": tile}})
    images = [a for t, a in Outline(html).tags if t == "img"]
    assert [i["src"] for i in images] == ["sub-a/figures/x.png"]
    assert images[0]["alt"] == "rCBV, ratio of lesion L001, ses-s2, day\u00a090"
    assert "Not available" in html
    assert re.search(r"0<span class=\"ramp\".*?</span>4; same range at all times", html)


def many_sessions(count=1000):
    sessions = [
        session(
            f"2019{1 + k % 4:02d}{1 + k % 28:02d}",
            float(k),
            subject=f"{k // 4:08x}",
            center=f"center{k % 5}",
            qc_reasons="edge_distance" if k % 7 == 0 else "",
            qc_verdict=("pass", "warn", "fail")[k % 3],
            **({"state_dsc": "not_evaluable"} if k % 10 == 0 else {}),
        )
        for k in range(count)
    ]
    lesions = [
        lesion(s["session"], f"L{n:03d}", subject=s["subject"], label=n)
        for s in sessions
        for n in range(1, 6)
    ]
    return sessions, lesions


def test_a_thousand_sessions_stay_small():
    sessions, lesions = many_sessions()
    stories = frozenset((r["subject"], r["lesion_id"]) for r in lesions)
    html = study_page(sessions, lesions, [], study="big", stories=stories)
    assert len(html.encode()) < 5_000_000
    assert html.count("<tr data-c=") == 1000
    assert html.count("_lesion-L005.html") == 1000


def test_the_study_page_leads_down():
    sessions, lesions = many_sessions(8)
    html = study_page(sessions, lesions, [], study="s", stories=frozenset({("00000000", "L001")}))
    found = Outline(html)
    assert found.faults == []
    links = {a["href"] for t, a in found.tags if t == "a"}
    assert "../derivatives/sub-00000000_lesion-L001.html" in links
    assert "../derivatives/sub-00000000_lesion-L002.html" not in links
    assert "../derivatives/sub-00000001_ses-20190105.html" in links
    assert "not evaluable" in found.plain
    assert "◐ done but for a part" in found.plain
    assert 'class="st partial"' not in html
    assert "7 of 8" in found.plain  # DSC of the one session that is not evaluable


def test_a_stage_that_is_done_but_for_a_part_is_not_shown_as_whole():
    sessions, lesions = many_sessions(2)
    first = sessions[0]
    lost = {"subject": first["subject"], "session": first["session"], "stage": "bids"}
    html = study_page(sessions, lesions, [lost], study="s")
    assert html.count('class="st partial"') == 1
    assert 'data-s="partial"' in html


def test_a_call_stands_beside_the_side_of_its_cut_off():
    (facts,) = lesion_facts(tables(), {}).values()
    html = lesion_page(
        facts, study="x", titles={}, cutoffs={"r1": "≤ 2 ratio"}, repeatability={}, ranges={}
    )
    assert "≤ 2 ratio" in Outline(html).plain
