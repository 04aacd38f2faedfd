"""Pages of results, made from the files in docs/data that benchmarks write.

python docs/tools/results.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
DATA = REPO / "docs/data"
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
    " and, shaded, the limits of repeatability; above them other therapy; below, the same slice at"
    " every timepoint.",
    "session": "Verdicts first, then lesions with their values or the reason why there is none,"
    " outlines in three planes, registrations that flicker, and maps in fixed ranges.",
    "viewer": "Maps over anatomy in three planes with outlines of lesions and the value at the"
    " crosshair; one file that needs no network.",
    "timepoints": "`afterglow view` serves the timepoints of a subject side by side in the space"
    " of the reference session, with one crosshair; values of all stand below.",
    "cohort": "Failures, flow, accuracy where the truth is known, lesions over time, rules,"
    " models.",
}
KINDS = {
    "study": "all sessions",
    "cohort": "cohort",
    "lesion": "lesion",
    "session": "session",
    "viewer": "viewer of a session",
}


def read(name: str) -> Any:
    """Return the results of one benchmark; None where it was not run."""
    path = DATA / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def save(name: str, content: Any) -> None:
    """Keep the results of one benchmark."""
    DATA.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (DATA / f"{name}.json").write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return every page of results by its name in docs."""
    tour = read("page_tour")
    return {
        "accuracy.md": accuracy_page(read("accuracy")),
        "benchmarks.md": benchmarks_page(tour, read("study_page")),
        "page-tour.md": tour_page(tour),
    }


def accuracy_page(content: dict[str, Any]) -> str:
    """Return how far the demo's own report finds its values from the truth."""
    lines = [
        "# Accuracy on the demo",
        "",
        "The demo's cohort has known truth; its own report measures how far every value is from",
        f"it. This page is made from that report: {content['cohort']}. Values are matched by the",
        "place of the lesion; limits are those of agreement (Bland and Altman) in the unit.",
        "",
        *_table(
            ("quantity", "unit", "pairs", "without value", "median absolute error, %", "target, %",
             "bias", "95 % limits"),
            [
                (row["quantity"], row["unit"], row["n"], row["n_missing"], *_agreement(row))
                for row in content["rows"]
            ],
        ),
        "## By center",
        "",
        "Scanner, field strength and order of injections differ between centers.",
        "",
        *_table(
            ("quantity", "center", "pairs", "median absolute error, %", "bias", "95 % limits"),
            [
                (row["quantity"], center, of["n"], _percent(of), _number(of["bias"]), _limits(of))
                for row in content["rows"]
                for center, of in row["by_center"].items()
            ],
        ),
        "More: [DSC](dsc.md), [DCE and T1](dce.md), [lesions](lesions.md).",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def benchmarks_page(tour: dict[str, Any], study: dict[str, Any] | None) -> str:
    """Return sizes and times of pages."""
    found = tour["findings"]
    rows = []
    for kind, text in KINDS.items():
        own = [f for f in found if f["kind"] == kind]
        if own:
            largest, slowest = (max(f[k] for f in own) for k in ("megabytes", "seconds"))
            rows.append((text, len(own), f"{largest:.2f}", f"{slowest:.1f}"))
    lines = [
        "# Benchmarks",
        "",
        "## Pages",
        "",
        f"Of {tour['cohort']}, opened from the file system by `make tour`:",
        "",
        *_table(("page", "how many", "largest, MB", "slowest to answer, s"), rows),
        *_many(study),
        "What else is measured, and by which script: `benchmarks/` (the site lists it under",
        "*Benchmark scripts*); results stand on the page of each part.",
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def tour_page(tour: dict[str, Any]) -> str:
    """Return the tour with its pictures and what was checked."""
    lines = ["# Page tour", "", f"Pictures of {tour['cohort']}, made by `make tour`."]
    lines.append("")
    for name, title in TITLES.items():
        lines += [f"## {title}", "", TEXT[name], "", f"![{title}](images/tour/{name}-1280.png)", ""]
        if name in {"study", "lesion", "session"}:
            lines.append(f"![{title}, 390 pixels wide and dark](images/tour/{name}-390.png)")
        lines.append("")
    lines += [
        "## What was checked",
        "",
        "Every one of these pages, from the file system. Seconds are from the address to a page",
        "that answers. Violations are those that axe finds against WCAG 2.1 A and AA and its best",
        "practices. Wider: how far the page reaches beyond a window of 1280 or 390 pixels.",
        "",
        *_table(
            ("page", "MB", "s", "console errors", "outside requests", "wider", "axe",
             "sheets in print"),
            [
                (f["page"], f"{f['megabytes']:.2f}", f"{f['seconds']:.1f}", f["console"],
                 f["outside"], f"{max(f['wider'])} px" if max(f["wider"]) > 0 else "none",
                 f["axe"], f["sheets"])
                for f in tour["findings"]
            ],
        ),
        tour["linked"],
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _many(study: dict[str, Any] | None) -> list[str]:
    if study is None:
        return [
            "The page of 1,000 sessions was not measured: `python benchmarks/study_page.py`.",
            "",
        ]
    return [
        f"The page of all sessions with {study['sessions']:,} sessions and {study['lesions']:,}",
        f"lesion links has {study['megabytes']:.2f} MB. Of five openings each, by",
        f"`python benchmarks/study_page.py {study['sessions']}`:",
        "",
        *_table(
            ("until", "least, s", "median, s"),
            [(k, f"{min(v):.2f}", f"{_median(v):.2f}") for k, v in study["times"].items()],
        ),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines] + [""]


def _agreement(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return _percent(row), _number(row["target_percent"]), _number(row["bias"]), _limits(row)


def _percent(row: dict[str, Any]) -> str:
    return _number(row["median_absolute_error_percent"])


def _limits(row: dict[str, Any]) -> str:
    return f"{_number(row['limit_low'])} to {_number(row['limit_high'])}"


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3g}"  # noqa: PLR0124  NaN


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (REPO / "docs" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
