"""How large the page of many sessions is, and how soon it answers in Chromium.

    python benchmarks/study_page.py 1000

From an empty tab: until the page is loaded, until a typed filter has hidden the others, and until a
click has sorted by another column; the least and the median of five. Kept in
docs/data/study_page.json, from which docs/benchmarks.md is made.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "tests"), str(REPO / "docs/tools")]

import results  # noqa: E402  tools are no package

from afterglow.report.study import study_page  # noqa: E402
from devtools import browser  # noqa: E402  tests are no package
from test_report_stories import many_sessions  # noqa: E402

TYPED = (
    "(()=>{const t=performance.now(),f=document.querySelector('#f-text');f.value='0000000a';"
    "f.dispatchEvent(new Event('input'));document.body.offsetHeight;return performance.now()-t})()"
)
CLEARED = (
    "(()=>{const f=document.querySelector('#f-text');f.value='';"
    "f.dispatchEvent(new Event('input'))})()"
)
SORTED = (
    "(()=>{const t=performance.now();"
    "document.querySelector('#grid th:nth-child(3) button').click();"
    "document.body.offsetHeight;return performance.now()-t})()"
)


def main() -> None:
    """Print size and times."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    sessions, lesions = many_sessions(count)
    stories = frozenset((r["subject"], r["lesion_id"]) for r in lesions)
    started = time.perf_counter()
    html = study_page(sessions, lesions, [], study="many", stories=stories)
    made = time.perf_counter() - started
    found: dict[str, list[float]] = {"loaded": [], "filtered": [], "sorted": []}
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        path = Path(folder) / "study.html"
        path.write_text(html, encoding="utf-8")
        for _ in range(5):
            tab.open("about:blank")
            started = time.perf_counter()
            tab.open(path.as_uri())
            found["loaded"].append(time.perf_counter() - started)
            found["filtered"].append(tab.run(TYPED) / 1000)
            tab.run(CLEARED)
            found["sorted"].append(tab.run(SORTED) / 1000)
    sys.stdout.write(f"{count} sessions, {len(html.encode()) / 1e6:.2f} MB, made in {made:.2f} s\n")
    for name, times in found.items():
        middle = statistics.median(times)
        sys.stdout.write(f"{name}: {min(times):.2f} s least, {middle:.2f} s median\n")

    results.save(
        "study_page",
        {
            "sessions": count,
            "lesions": len(lesions),
            "megabytes": round(len(html.encode()) / 1e6, 3),
            "times": {name: [round(t, 3) for t in times] for name, times in found.items()},
        },
    )
    results.main()


if __name__ == "__main__":
    main()
