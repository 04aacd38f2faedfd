"""Open every page of a finished study in Chromium, check it, and take the pictures of the tour.

    python benchmarks/page_tour.py demo

Writes docs/page-tour.md with what was found, docs/images/tour/*.png, and docs/accuracy.md from the
accuracy that the demo's own report measured. Where axe-core is not installed
(`npm install --no-save axe-core@4.11.0`) pages are not checked with it, and the table says so.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "tests")]

from devtools import Browser, browser  # noqa: E402  tests are no package

IMAGES = REPO / "docs/images/tour"
AXE = (
    "(async()=>{for(const d of document.querySelectorAll('details'))d.open=true;"
    "const r=await axe.run(document,{runOnly:['wcag2a','wcag2aa','wcag21a','wcag21aa',"
    "'best-practice']});return r.violations.map(v=>v.id+' ('+v.impact+')')})()"
)
WIDER = "document.documentElement.scrollWidth-innerWidth"
VIEWER = "window.afterglow&&window.afterglow.ready"
TITLES = {
    "study": "All sessions",
    "lesion": "A lesion",
    "session": "A session",
    "viewer": "The viewer",
    "timepoints": "All timepoints",
    "cohort": "The cohort",
}
TEXT = {
    "study": "Every session by center, day from radiosurgery, scanner, quality and stage. A mark"
    " and a colour tell each stage's state; columns sort, fields filter, links lead down.",
    "lesion": "Volume, rCBV, PSR and Ktrans in days from radiosurgery with quartiles of the voxels"
    " and, shaded, the limits of repeatability; below, the same slice at every timepoint.",
    "session": "Verdicts first, then lesions with their values or the reason why there is none,"
    " outlines in three planes, registrations that flicker, and maps in fixed ranges.",
    "viewer": "Maps over anatomy in three planes with outlines of lesions and the value at the"
    " crosshair; one file that needs no network.",
    "timepoints": "`afterglow view` serves the timepoints of a subject side by side in the space"
    " of the reference session, with one crosshair; values of both stand below.",
    "cohort": "Failures, flow, accuracy where the truth is known, lesions over time, rules,"
    " models.",
}


@dataclass(frozen=True)
class Finding:
    """What was found of one page."""

    page: str
    megabytes: float
    seconds: float
    console: int
    outside: int
    wider: list[int]
    axe: str
    sheets: int

    def row(self) -> str:
        """Return the page's row of the table."""
        wide = "none" if max(self.wider) <= 0 else f"{max(self.wider)} px"
        return (
            f"| {self.page} | {self.megabytes:.2f} | {self.seconds:.1f} | {self.console} |"
            f" {self.outside} | {wide} | {self.axe} | {self.sheets} |"
        )


def kind(path: Path) -> str:
    """Return what a page is."""
    if path.parent.name == "cohort":
        return {"study": "study", "report": "cohort"}[path.stem]
    if "_lesion-" in path.stem:
        return "lesion"
    return "viewer" if path.stem.endswith("_viewer") else "session"


def examine(tab: Browser, path: Path, axe: str) -> Finding:
    """Open a page at both widths and in both looks and return what is found."""
    started = time.perf_counter()
    tab.open(path.as_uri(), 1280, 900)
    if kind(path) == "viewer":
        tab.wait(VIEWER)
    seconds = time.perf_counter() - started
    console, outside = len(tab.console), len(tab.outside())
    wider = [tab.run(WIDER)]
    violations = "not run"
    if axe:
        tab.run(axe)
        violations = ", ".join(tab.run(AXE)) or "none"
    sheets = tab.pdf().count(b"/Type /Page\n")
    tab.open(path.as_uri(), 390, 844, dark=True)
    wider.append(tab.run(WIDER))
    console += len(tab.console)
    outside += len(tab.outside())
    megabytes = path.stat().st_size / 1e6
    return Finding(path.name, megabytes, seconds, console, outside, wider, violations, sheets)


def picture(tab: Browser, path: Path, name: str, width: int, *, dark: bool = False) -> None:
    """Take a picture of a page."""
    height = {"session": 2700, "lesion": 2000}.get(kind(path), 1000) if width > 500 else 1100
    tab.open(path.as_uri(), width, height, dark=dark)
    if kind(path) == "viewer":
        tab.wait(VIEWER)
        time.sleep(1.0)
    save_picture(tab, name, colors=None if kind(path) == "viewer" else 255)


def save_picture(tab: Browser, name: str, *, colors: int | None) -> None:
    """Save what is seen among the pictures of the tour, with few enough colours to be small."""
    from PIL import Image

    raw = IMAGES / "raw.png"
    tab.picture(raw)
    image = Image.open(io.BytesIO(raw.read_bytes())).convert("RGB")
    raw.unlink()
    if colors is not None:
        image = image.quantize(colors, method=Image.Quantize.MAXCOVERAGE)
    image.save(IMAGES / name, optimize=True)


def timepoints(tab: Browser, out: Path) -> str:
    """Look at all timepoints of a subject through the server, move the crosshair, tell how it went.

    Returns
    -------
    str
        A sentence for the tour.
    """
    from afterglow.report.server import StudyServer

    with StudyServer(out) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        subject, sessions = max(server.sessions().items(), key=lambda item: len(item[1]))
        tab.open(f"{server.address}view/sub-{subject}", 1280, 1000)
        tab.wait(VIEWER)
        tab.click("#gl0", (0.3, 0.7))
        said = [
            tab.run(f"document.querySelector('#at{k}').textContent") for k in range(len(sessions))
        ]
        save_picture(tab, "timepoints-1280.png", colors=None)
        strange = [u for u in tab.asked if not u.startswith((server.address, "data:", "blob:"))]
        console = len(tab.console)
        server.shutdown()
        thread.join()
    places = {text.partition(" mm")[0] for text in said}
    agree = "agree" if len(places) == 1 else "DISAGREE"
    return (
        f"After a click into the first of {len(said)} timepoints their crosshairs {agree}"
        f" ({'; '.join(said)}); {console} console errors, {len(strange)} requests beyond the"
        " server."
    )


def shown(pages: list[Path]) -> dict[str, Path]:
    """Return the page that stands for each kind: of lesions and sessions the last one seen."""
    return {kind(path): path for path in pages}


def tour_text(findings: list[Finding], linked: str) -> str:
    """Return docs/page-tour.md."""
    lines = ["# Page tour", "", "Pictures of the demo's pages, made by `make tour`.", ""]
    for name, title in TITLES.items():
        lines += [f"## {title}", "", TEXT[name], "", f"![{title}](images/tour/{name}-1280.png)", ""]
        narrow = [f for f in (f"{name}-390.png",) if (IMAGES / f).exists()]
        lines += [f"![{title}, 390 pixels wide and dark](images/tour/{f})" for f in narrow]
        lines.append("")
    lines += ["## What was checked", "", "Every page of the demo, from the file system."]
    lines += ["Seconds are from the address to a page that answers. Violations are those that axe"]
    lines += ["finds against WCAG 2.1 A and AA and its best practices. Wider: how far the page"]
    lines += ["reaches beyond a window of 1280 or 390 pixels.", ""]
    lines += [
        "| page | MB | s | console errors | outside requests | wider | axe | sheets in print |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|", *[f.row() for f in findings], ""]
    lines += [linked, ""]
    return "\n".join(lines)


def accuracy_text(rows: list[dict[str, object]]) -> str:
    """Return docs/accuracy.md from the accuracy of the demo's report."""
    lines = ["# Accuracy on the demo", ""]
    lines += [
        "The demo's cohort has known truth; its own report measures how far every value is from"
    ]
    lines += ["it. This page is written from that report by `make tour`.", ""]
    lines += [
        "| quantity | unit | pairs | median absolute error, % | target, % | bias | 95 % limits |"
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in rows:
        names = ("median_absolute_error_percent", "target_percent", "bias")
        numbers = " | ".join(_number(row[name]) for name in names)
        limits = f"{_number(row['limit_low'])} to {_number(row['limit_high'])}"
        lines.append(f"| {row['quantity']} | {row['unit']} | {row['n']} | {numbers} | {limits} |")
    lines += ["", "More: [DSC](dsc.md), [DCE and T1](dce.md), [lesions](lesions.md)."]
    return "\n".join(lines) + "\n"


def _number(value: object) -> str:
    return "–" if value is None else f"{float(str(value)):.3g}"


def main() -> None:
    """Examine, take pictures, write the pages."""
    out = Path(sys.argv[1]).resolve()
    out = out / "out" if (out / "out").is_dir() else out
    pages = [out / "cohort/study.html", out / "cohort/report.html"]
    pages += sorted((out / "derivatives").glob("sub-*.html"))
    axe_path = Path(os.environ.get("AFTERGLOW_AXE", REPO / "node_modules/axe-core/axe.min.js"))
    axe = axe_path.read_text(encoding="utf-8") if axe_path.exists() else ""
    IMAGES.mkdir(parents=True, exist_ok=True)
    findings = []
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        for path in pages:
            findings.append(examine(tab, path, axe))
            sys.stdout.write(findings[-1].row() + "\n")
        for name, path in shown(pages).items():
            picture(tab, path, f"{name}-1280.png", 1280)
            if name in {"study", "lesion", "session"}:
                picture(tab, path, f"{name}-390.png", 390, dark=True)
        linked = timepoints(tab, out)
        sys.stdout.write(linked + "\n")
    (REPO / "docs/page-tour.md").write_text(tour_text(findings, linked), encoding="utf-8")
    accuracy = json.loads((out / "cohort/accuracy.json").read_text(encoding="utf-8"))
    (REPO / "docs/accuracy.md").write_text(accuracy_text(accuracy), encoding="utf-8")


if __name__ == "__main__":
    main()
