"""Open every page of a finished study in Chromium, check it, and take the pictures of the tour.

    python benchmarks/page_tour.py demo [SUBJECT ...]

Subjects, where given, are those whose pages are opened.

Writes docs/images/tour/*.png, what was found as docs/data/page_tour.json, the accuracy that the
demo's own report measured as docs/data/accuracy.json, and the pages made from them. Where
axe-core is not installed (`npm install --no-save axe-core@4.11.0`) pages are not checked with it,
and the table says so.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "tests"), str(REPO / "docs/tools")]

import results  # noqa: E402  tools are no package

from devtools import Browser, browser  # noqa: E402

IMAGES = REPO / "docs/images/tour"
AXE = (
    "(async()=>{for(const d of document.querySelectorAll('details'))d.open=true;"
    "const r=await axe.run(document,{runOnly:['wcag2a','wcag2aa','wcag21a','wcag21aa',"
    "'best-practice']});return r.violations.map(v=>v.id+' ('+v.impact+')')})()"
)
WIDER = "document.documentElement.scrollWidth-innerWidth"
VIEWER = "window.afterglow&&window.afterglow.ready"


@dataclass(frozen=True)
class Finding:
    """What was found of one page."""

    page: str
    kind: str
    megabytes: float
    seconds: float
    console: int
    outside: int
    wider: list[int]
    axe: str
    sheets: int


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
    return Finding(
        path.name,
        kind(path),
        round(megabytes, 3),
        round(seconds, 2),
        console,
        outside,
        wider,
        violations,
        sheets,
    )


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
    """Return the page that stands for each kind: the one with most on it."""
    return {kind(path): path for path in sorted(pages, key=lambda path: path.stat().st_size)}


def told(out: Path) -> str:
    """Return what cohort it is, in words."""
    import pyarrow.parquet as pq

    rows = pq.read_table(out / "tables/sessions.parquet", columns=["center", "subject"]).to_pylist()
    centers, subjects = ({row[name] for row in rows} for name in ("center", "subject"))
    return (
        f"a demo cohort of {len(centers)} centers, {len(subjects)} subjects and {len(rows)}"
        " sessions"
    )


def main() -> None:
    """Examine, take pictures, write the pages."""
    out = Path(sys.argv[1]).resolve()
    out = out / "out" if (out / "out").is_dir() else out
    pages = [out / "cohort/study.html", out / "cohort/report.html"]
    subjects = sys.argv[2:] or ["*"]
    pages += sorted(p for s in subjects for p in (out / "derivatives").glob(f"sub-{s}_*.html"))
    axe_path = Path(os.environ.get("AFTERGLOW_AXE", REPO / "node_modules/axe-core/axe.min.js"))
    axe = axe_path.read_text(encoding="utf-8") if axe_path.exists() else ""
    IMAGES.mkdir(parents=True, exist_ok=True)
    findings = []
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        for path in pages:
            findings.append(examine(tab, path, axe))
            sys.stdout.write(f"{findings[-1]}\n")
        for name, path in shown(pages).items():
            picture(tab, path, f"{name}-1280.png", 1280)
            if name in {"study", "lesion", "session"}:
                picture(tab, path, f"{name}-390.png", 390, dark=True)
        linked = timepoints(tab, out)
        sys.stdout.write(linked + "\n")
    cohort = told(out)
    only = f"the pages of {len(sys.argv) - 2} subjects of " if sys.argv[2:] else ""
    rows = json.loads((out / "cohort/accuracy.json").read_text(encoding="utf-8"))
    results.save("accuracy", {"cohort": cohort, "rows": rows})
    content = {"cohort": only + cohort, "linked": linked, "findings": [asdict(f) for f in findings]}
    results.save("page_tour", content)
    results.main()


if __name__ == "__main__":
    main()
