"""Pages: what they say, that nothing leaves them, and that equal facts give equal bytes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from afterglow.cohort.analysis import analyse, rule_catalogue
from afterglow.cohort.rules import load_rules
from afterglow.config.cohort import CohortConfig
from afterglow.config.report import SessionReportConfig
from afterglow.errors import AfterglowError
from afterglow.provenance.job import State
from afterglow.report.accuracy import assess
from afterglow.report.charts import Level, Line, chart, ticks
from afterglow.report.cohort import cohort_page
from afterglow.report.render import data_uri
from afterglow.report.session import session_page, worst
from cohort_tables import session_states, study_tables

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Text, tags and attributes of a page, and whether its elements are nested properly."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.tags, self.text, self.faults = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.text.append(data)

    @property
    def plain(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


def session_html(root, **more):
    states = session_states(root) | more
    return session_page(
        states,
        lambda p: root / p,
        SessionReportConfig(),
        center="north",
        subject="a",
        session="s1",
        record_id="f" * 64,
    )


def cohort_html(accuracy=None, **tables):
    content = study_tables() | tables
    found = analyse(content, CohortConfig())
    content |= {"rules": found.rules, "performance": found.performance}
    return cohort_page(
        content,
        {"validation": found.validation, "flow": found.flow},
        rule_catalogue(load_rules()),
        study="demo",
        accuracy=accuracy,
        record_id="e" * 64,
    )


def truth_rows():
    return [
        {
            "patient": "P1",
            "study_date": "20200101",
            "lesion": str(k),
            "centroid_x": 30.0 * k + 1,
            "centroid_y": 0.0,
            "centroid_z": 5.0,
            "volume_ml": 1.02 + k,
            "rcbv": 1.0,
            "rcbv_enhancing": 2.1 - k,
            "ktrans": 0.11,
            "t1_wm": 0.95,
        }
        for k in (0, 1, 5)
    ]


def agreement(distance=10.0, locate=lambda row: ("a", "s1")):
    tables = study_tables()
    found = assess(truth_rows(), locate, tables["lesions"], tables["features"], distance)
    return {a.quantity.name: a for a in found}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("session")
    return {"session": session_html(root), "cohort": cohort_html(list(agreement().values()))}


@pytest.mark.parametrize("name", ["session", "cohort"])
def test_a_page_is_well_formed_and_self_contained(pages, name):
    outline = Outline(pages[name])
    assert outline.faults == []
    assert outline.stack == []
    sources = [a.get("src") or a.get("href") for _, a in outline.tags if "src" in a or "href" in a]
    assert all(
        s.startswith(("data:", "#", "../derivatives/", "../cohort/", "study")) for s in sources
    )
    assert not re.search(r"https?://", pages[name])
    assert not [t for t, a in outline.tags if t in {"link", "iframe"}]


@pytest.mark.parametrize("name", ["session", "cohort"])
def test_a_page_can_be_read_without_seeing(pages, name):
    outline = Outline(pages[name])
    assert ("html", {"lang": "en"}) in outline.tags
    assert all(a.get("alt") for t, a in outline.tags if t == "img")
    charts = [a for t, a in outline.tags if t == "svg"]
    assert all(len(a.get("aria-label", "")) > 20 for a in charts)
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(ids) == len(set(ids))
    jumps = {a["href"][1:] for t, a in outline.tags if t == "a" and a["href"].startswith("#")}
    assert jumps <= set(ids)
    assert sum(t == "h1" for t, _ in outline.tags) == 1


def test_equal_facts_give_equal_bytes(tmp_path, pages):
    assert cohort_html(list(agreement().values())) == pages["cohort"]
    states = session_states(tmp_path)
    one, two = (
        session_page(
            states,
            lambda p: tmp_path / p,
            SessionReportConfig(),
            center="north",
            subject="a",
            session="s1",
            record_id="f" * 64,
        )
        for _ in range(2)
    )
    assert one == two


def test_units_are_written_one_way_and_the_peak_has_one(tmp_path):
    maps = {"Ktrans": {"units": "1/min", "model": "tofts"}, "vp": {"units": "1"}}
    maps["CBV"] = {"units": "1 (relative: area under delta R2*)"}
    maps["PH"] = {"units": "percent of S0"}
    arterial = {"peak": 84.4, "rule": "the found input peaks at 0.29 mM"}
    found = {"maps": maps, "aif": arterial}
    html = session_html(tmp_path, dce=State("dce", "k", "a", "s1", "done", summary=found))
    text = Outline(html).plain
    for row in ("Ktrans 1/min", "vp ratio", "CBV relative (area under delta R2*)", "PH % of S0"):
        assert row in text
    assert "peak, signal above baseline 84.4" in text


def test_the_session_page_says_what_to_trust(pages):
    text = Outline(pages["session"]).plain
    assert "registration dsc warn edge distance edge distance mm 2.31" in text
    assert "use a longer series" in text
    assert "no dce series: none was acquired" in text
    assert "trigger time" in text
    assert "candidate times differ by 0.2 s" in text
    assert "3 in 3 s" in text
    assert "rCBV median, ratio" in text
    assert "2.35" in text
    assert "too small" in text
    assert "0.0812" in text
    assert "dcm2niix 1." in text
    assert "f" * 64 in text
    assert text.index("Quality checks") < text.index("What was acquired")


def test_failures_come_before_what_is_merely_not_evaluable(tmp_path):
    states = session_states(tmp_path)
    from dataclasses import replace

    broken = replace(
        states["dsc"], status="failed", detail="a volume is missing", remedy="fetch it", summary={}
    )
    text = Outline(session_html(tmp_path, dsc=broken)).plain
    assert text.index("a volume is missing") < text.index("none was acquired")
    assert "fetch it" in text


def test_a_session_of_which_nothing_worked_still_has_a_page(tmp_path):
    from dataclasses import replace

    states = {
        name: replace(state, status="failed", detail="broken", summary={})
        for name, state in session_states(tmp_path).items()
    }
    text = Outline(session_html(tmp_path, **states)).plain
    assert "0 of 5" in text
    assert "No lesion was measured" in text
    assert "No series was converted" in text


def test_text_from_files_cannot_become_markup(tmp_path):
    from dataclasses import replace

    nasty = "<script>alert(1)</script>"
    state = replace(session_states(tmp_path)["bids"], warnings=[nasty])
    assert nasty not in session_html(tmp_path, bids=state)


def test_the_cohort_page_says_what_failed_first(pages):
    text = Outline(pages["cohort"]).plain
    assert text.index("ends before its pixel data") < text.index("sessions indexed")
    assert "fetch the series again" in text
    assert "left out: 0 subjects, 1 session: corrupt file" in text
    assert "Validation impossible, because no lesion has an outcome" in text
    assert "56 % (31–78; 10/18)" in text
    assert "92 % (counts unknown)" in text
    assert "The review prints 1.54" in text
    assert "Days from radiosurgery" in text
    assert "L001" in text


def test_a_study_without_anything_has_a_page():
    html = cohort_page({}, {}, [], study="empty", accuracy=None)
    text = Outline(html).plain
    assert "nothing failed" in text
    assert "Accuracy" not in text


def test_unknown_days_are_said_on_the_axis():
    tables = study_tables()
    sessions = [{**s, "days_from_srs": None} for s in tables["sessions"][:2]]
    sessions = [{**s, "days_from_first": 90.0 * i} for i, s in enumerate(sessions)]
    lesions = [r for r in tables["lesions"] if r["subject"] == "a"]
    html = cohort_html(sessions=sessions, lesions=lesions)
    assert "Days from first session (day of SRS unknown)" in html


def test_accuracy_by_hand():
    found = agreement()
    volume = found["Lesion volume"]
    assert volume.truth == (1.02, 2.02)
    assert volume.measured == (1.0, 2.0)
    assert volume.median_error == pytest.approx(100 * (0.02 / 1.02 + 0.02 / 2.02) / 2)
    assert volume.bias == pytest.approx(-0.02)
    assert volume.limits == pytest.approx((-0.02, -0.02))
    assert volume.n_missing == 1
    assert found["rCBV"].truth == (2.1, 1.1)
    assert found["rCBV"].median_error == pytest.approx(100 * (0.1 / 2.1 + 0.1 / 1.1) / 2)
    assert found["Ktrans"].median_error == pytest.approx(100 / 11)
    assert [found[n].verdict for n in ("Lesion volume", "Ktrans")] == ["met", "met"]
    white = found["White-matter T1"]
    assert (len(white.truth), white.n_missing) == (1, 0)
    assert white.median_error == pytest.approx(100 * 0.02 / 0.95)
    assert white.as_dict()["limit_low"] is None


def test_limits_of_agreement():
    from afterglow.report.accuracy import QUANTITIES, Agreement

    a = Agreement(QUANTITIES[0], (1.0, 2.0, 3.0), (1.1, 2.0, 2.9), 0)
    assert a.bias == pytest.approx(0)
    assert a.limits == pytest.approx((-0.196, 0.196))
    missed = Agreement(QUANTITIES[0], (1.0,), (1.2,), 0)
    assert missed.verdict == "missed"


def test_agreement_is_given_by_center():
    from afterglow.report.accuracy import QUANTITIES, Agreement

    a = Agreement(QUANTITIES[0], (1.0, 2.0, 3.0), (1.2, 2.0, 2.8), 0, ("west", "north", "west"))
    parts = a.by_center()
    assert list(parts) == ["north", "west"]
    assert parts["west"].bias == pytest.approx(0.0)
    assert parts["west"].limits == pytest.approx((-0.5544, 0.5544), abs=1e-4)
    assert a.as_dict()["by_center"]["north"]["limit_low"] is None
    assert a.as_dict()["by_center"]["west"]["n"] == 2
    html = cohort_html(accuracy=[a])
    assert "By center: bias and 95 % limits of agreement" in html
    open_quantity = next(q for q in QUANTITIES if q.target is None)
    assert Agreement(open_quantity, (1.0,), (9.0,), 0).verdict == "open"
    assert "no target" in cohort_html(accuracy=[Agreement(open_quantity, (1.0,), (9.0,), 0)])


def test_a_lesion_far_away_is_not_the_lesion():
    assert agreement(distance=0.5)["Lesion volume"].verdict == "none"
    assert agreement(locate=lambda row: None)["Lesion volume"].n_missing == 3


def test_the_locator_finds_shifted_sessions(tmp_path):
    from afterglow.config import Study
    from afterglow.dicom.crosswalk import Crosswalk
    from afterglow.dicom.deidentify import load_secret
    from afterglow.report.crosswalk import locator

    center = {"name": "north", "dicom": [tmp_path]}
    study = Study.model_validate({"study": "s", "out": tmp_path / "out", "centers": [center]})
    secret = load_secret(study)
    register = Crosswalk(study.private_dir / "crosswalk.json", secret)
    label = register.subject(study.centers[0], "P1")["label"]
    ses = register.session(study.centers[0], "P1", "1.2.3", "20200304")["label"]
    register.save()
    locate = locator(study)
    seen = {"patient": "P1", "study_date": "20200304"}
    assert locate(seen) == (label, ses)
    assert locate({**seen, "study_date": "20200305"}) is None
    assert locate({**seen, "patient": "P2"}) is None

    again = register.session(study.centers[0], "P1", "1.2.4", "20200304")["label"]
    register.save()
    locate = locator(study)
    assert locate(seen) is None, "one of two studies on a date is not guessed"
    assert locate({**seen, "study_uid": "1.2.3"}) == (label, ses)
    assert locate({**seen, "study_uid": "1.2.4"}) == (label, again)
    assert locate({**seen, "study_uid": "1.2.5"}) is None


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (0.001, 0.0012), (5, 5), (-1e5, 1e5)])
def test_ticks_enclose_and_are_few(low, high):
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 3 <= len(found) <= 8


def test_a_chart_leaves_out_what_is_not_a_number():
    nan = float("nan")
    svg = chart(
        [Line("a", [0, 1, 2], [1.0, nan, 3.0])],
        x_label="Days",
        y_label="Volume, mL",
        alt="Volume over time, from 1 to 3 mL.",
        levels=[Level("limit", 2.0)],
    )
    assert svg.count("<circle") == 2
    assert "Volume, mL" in svg
    assert "nan" not in svg
    assert chart([Line("a", [0], [nan])], x_label="", y_label="", alt="") == ""


def test_only_pictures_become_data(tmp_path):
    path = tmp_path / "f.png"
    path.write_bytes(b"abc")
    assert data_uri(path) == "data:image/png;base64,YWJj"
    with pytest.raises(AfterglowError, match="neither PNG nor SVG"):
        data_uri(tmp_path / "f.jpg")


def test_the_worst_verdict_of_an_unknown_word_is_not_a_pass():
    assert worst(["pass", "odd"]) == "odd"
