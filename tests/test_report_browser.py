"""The pages in a browser, with real clicks: sorting, filtering, outlines, overlays, crosshair."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from afterglow.report.lesion import lesion_page
from afterglow.report.lesion_rows import lesion_facts
from afterglow.report.study import study_page
from afterglow.report.viewer import Layer, View, viewer_page
from afterglow.report.volumes import anatomy_volume, map_volume, outline_volume
from browser import axe_source, chromium
from devtools import Browser, browser
from test_report_stories import SETTINGS, many_sessions, tables

AXE = (
    "(async()=>{for(const d of document.querySelectorAll('details'))d.open=true;"
    "const r=await axe.run(document,{runOnly:['wcag2a','wcag2aa','wcag21a','wcag21aa',"
    "'best-practice']});return r.violations.map(v=>"
    "[v.id,v.impact,v.nodes[0].html.slice(0,200)])})()"
)
WIDER = "document.documentElement.scrollWidth-innerWidth"


def axe_findings(tab: Browser) -> list[list[str]]:
    """Return what axe finds on the open page."""
    tab.run(axe_source())
    found: list[list[str]] = tab.run(AXE)
    return found


@pytest.fixture(scope="module")
def tab():
    chromium()
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of 1,000 sessions, of a lesion, and the viewer of two timepoints."""
    folder = tmp_path_factory.mktemp("pages")
    sessions, lesions = many_sessions()
    stories = frozenset((r["subject"], r["lesion_id"]) for r in lesions)
    (facts,) = lesion_facts(tables(), {}).values()
    story = lesion_page(
        facts, study="demo", titles={"r1": "A rule"}, repeatability={"rCBV": 0.31},
        ranges=SETTINGS.ranges,
    )  # fmt: skip
    views = [timepoint("ses-1", 1.0), timepoint("ses-2", 3.0)]
    content = {
        "study": study_page(sessions, lesions, [], study="big", stories=stories),
        "lesion": story,
        "viewer": viewer_page(views, title="sub-a", lede="Two timepoints."),
    }
    for name, html in content.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in content}


def timepoint(title, value):
    """A ball of brain with a lesion, and two maps: one of ``value`` everywhere, one of a ramp."""
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -60.0
    index = np.indices((30, 30, 30))
    far = np.sqrt(((index - 14.5) ** 2).sum(axis=0))
    brain, lesion = far < 13, np.sqrt(((index - 18) ** 2).sum(axis=0)) < 3
    layers = [
        Layer("T1w", "T1w", "anatomy", content=anatomy_volume(100.0 * brain, affine, 10**6)),
        Layer("lesions", "Outlines", "outline", content=outline_volume(lesion, affine, 10**6)),
    ]
    for name, values in (("rCBV", value + 0.0 * far), ("Ktrans", index[0] / 100.0)):
        content = map_volume(values, brain, affine)
        layers.append(Layer(name, name, "map", "ratio", (0.0, 4.0), content))
    return View(title, layers, {"lesion 1": [12.0, 12.0, 12.0]})


def column(tab, number, table="#grid"):
    """Return the cells of a column that are seen."""
    return tab.run(
        f"[...document.querySelectorAll('{table} tbody tr')].filter(r=>!r.hidden)"
        f".map(r=>r.cells[{number}].textContent.trim())"
    )


@pytest.mark.parametrize("name", ["study", "lesion"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_is_silent_and_fits(tab, pages, name, width):
    tab.open(pages[name], width)
    assert tab.run("document.readyState") == "complete"
    assert tab.console == []
    assert tab.outside() == []
    assert tab.run(WIDER) <= 0


@pytest.mark.parametrize("dark", [False, True])
def test_a_lesion_page_passes_axe(tab, pages, dark):
    tab.open(pages["lesion"], dark=dark)
    assert axe_findings(tab) == []


def test_sessions_sort_by_a_click(tab, pages):
    tab.open(pages["study"])
    tab.click("#grid thead th:nth-child(3) button")
    days = [float(x) for x in column(tab, 2)]
    assert days == sorted(days)
    assert len(days) == 1000
    tab.click("#grid thead th:nth-child(3) button")
    assert [float(x) for x in column(tab, 2)] == sorted(days, reverse=True)
    tab.click("#grid thead th:nth-child(8) button")
    assert column(tab, 7)[0] == "○not evaluable"
    assert tab.run("document.querySelector('#grid th:nth-child(8)').ariaSort") == "ascending"


def test_sessions_filter_by_word_center_quality_and_state(tab, pages):
    tab.open(pages["study"])
    tab.choose("#f-center", "center2")
    assert set(column(tab, 1)) == {"center2"}
    assert tab.run("document.querySelector('#shown').textContent") == "200 of 1000 sessions"
    tab.choose("#f-verdict", "fail")
    left = [k for k in range(1000) if k % 5 == 2 and k % 3 == 2]
    assert len(column(tab, 0)) == len(left)
    tab.choose("#f-verdict", "")
    tab.choose("#f-center", "")
    tab.choose("#f-state", "not_evaluable")
    assert len(column(tab, 0)) == 100
    tab.choose("#f-state", "")
    tab.write("#f-text", "sub-0000000a")
    assert {name.split(" ")[0] for name in column(tab, 0)} == {"sub-0000000a"}
    assert len(column(tab, 0)) == 4


def test_outlines_of_a_lesion_page_go_by_a_click(tab, tmp_path):
    tile = {"tiles": {"T1w": "derivatives/x.png"}, "outline": "M1 1L5 5Z", "label": 1}
    slices = {"a": {"lesions": {"L001": {"extent": 64.0, "sessions": {"s1": tile}}}}}
    (facts,) = lesion_facts(tables(), slices).values()
    path = tmp_path / "story.html"
    path.write_text(
        lesion_page(facts, study="x", titles={}, repeatability={}, ranges=SETTINGS.ranges)
    )
    tab.open(path.as_uri())
    seen = "getComputedStyle(document.querySelector('.outline')).display"
    assert tab.run(seen) != "none"
    tab.click("#outlines")
    assert tab.run(seen) == "none"


@pytest.fixture(scope="module")
def viewer(tab, pages):
    tab.open(pages["viewer"], 1280, 1000)
    tab.wait("window.afterglow&&window.afterglow.ready")
    assert tab.console == []
    assert tab.outside() == []
    return tab


def said(tab):
    return [tab.run(f"document.querySelector('#at{k}').textContent") for k in (0, 1)]


def test_the_viewer_links_its_crosshair_and_switches_maps(viewer):
    assert viewer.run("document.querySelector('#v-state').textContent") == "2 maps of 2 sessions"
    assert said(viewer) == [
        "at 12, 12, 12 mm: rCBV 1.00 ratio",
        "at 12, 12, 12 mm: rCBV 3.00 ratio",
    ]
    # A click into the axial plane of the first timepoint moves both crosshairs alike.
    viewer.choose("#v-planes", "0")
    viewer.click("#gl0", (0.56, 0.42))
    first, second = (re.match(r"at (.*) mm", text)[1] for text in said(viewer))
    assert first == second
    assert first != "12, 12, 12"
    viewer.choose("#v-map", "Ktrans")
    viewer.wait("document.querySelector('#at1').textContent.includes('Ktrans')")
    x = float(first.split(",")[0])
    value = float(re.search(r"Ktrans ([\d.]+)", said(viewer)[1])[1])
    assert value == pytest.approx((x + 60.0) / 4.0 / 100.0, abs=0.011)
    viewer.choose("#v-map", "")
    viewer.wait("!document.querySelector('#at0').textContent.includes('Ktrans')")
    viewer.choose("#v-map", "rCBV")
    viewer.wait("document.querySelector('#at0').textContent.includes('rCBV')")
    viewer.choose("#v-planes", "3")
    assert viewer.console == []


def test_the_viewer_draws_maps_and_outlines(viewer, tmp_path):
    def colors():
        path = tmp_path / "seen.png"
        viewer.picture(path)
        from matplotlib.image import imread

        pixels = (255 * imread(path)[..., :3]).astype(int)
        spread = pixels.max(axis=2) - pixels.min(axis=2)
        orange = (pixels[..., 0] > 180) & (pixels[..., 2] < 110) & (pixels[..., 1] < 190)
        return (spread > 40).sum(), orange.sum()

    with_map, outlined = colors()
    viewer.click("#v-outline")
    viewer.wait("afterglow.shown.every(o=>o.nv.volumes.length===2)")
    assert colors()[1] < outlined
    viewer.choose("#v-map", "")
    viewer.wait("afterglow.shown.every(o=>o.nv.volumes.length===1)")
    assert colors()[0] < with_map / 3


def test_the_viewer_passes_axe(viewer):
    assert axe_findings(viewer) == []


@pytest.mark.parametrize("name", ["study", "lesion"])
def test_pages_print_whole_tables(tab, pages, name):
    tab.open(pages[name], 703)  # A4 within its margins
    tab.call("Emulation.setEmulatedMedia", media="print")
    cut = (
        "[...document.querySelectorAll('.scroll')].map(e=>e.scrollWidth-e.clientWidth)"
        ".filter(x=>x>1)"
    )
    assert tab.run(cut) == []
    assert tab.run("getComputedStyle(document.querySelector('nav.toc')).display") == "none"
    if name == "lesion":
        assert tab.pdf().startswith(b"%PDF-")
