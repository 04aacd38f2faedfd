"""What an index found, in a form a person can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_NEEDED = ("T1w", "T1w_ce", "FLAIR", "DSC", "DCE", "VFA")
_SURE = 0.7
# what a person can do about a word of the table; `class_X` is said once for all classes
_REMEDIES = {
    "no_temporal_tag": "the header gives no frame times: nominal ones, perfusion not evaluable",
    "times_not_rising": "the recorded times do not rise: perfusion not evaluable",
    "times_incomplete": "some volumes have no time: perfusion not evaluable",
    "sources_disagree": "the header's clocks disagree: look at candidates, perfusion not evaluable",
    "times_implausible": "times in other units: perfusion not evaluable",
    "incomplete_volumes_dropped": "cut off or files missing: send the series again",
    "slices_missing": "slices between others are not here, no image is made: send the series again",
    "slices_may_be_missing": "a count says more than is here: compare with the scanner, send again",
    "field_strength_contradicted": "counts as not stated, so no relaxivity: ask the center",
    "receive_gains_differ": "flip angles on different scales: no T1; acquire them with one prescan",
    "linked_by_geometry_alone": "it fits where it lies and names nothing that is here: look at it",
    "file_cut_off": "cut off in the pixels, conversion will fail: send the series again",
    "fewer_volumes_than_declared": "stopped at the scanner, or files missing: ask the center",
    "flip_angle_alone": "no other angle has as many slices: send the series again, or the others",
    "no_complete_volume": "no volume has all its slices: send the series again",
    "no_usable_series": "nothing here that a stage reads: expected for reports and captures",
    "objects_of_another_session": "structures, plan or dose: used by the session they belong to",
    "no_referenced_image": "the image it was drawn on is not here: send that series",
    "referenced_image_not_used": "it was drawn on an image of a class that is not converted",
    "other_frame_of_reference": "it names one image and lies in the space of another: export anew",
    "class_unknown": "no rule names it: add one to `series_rules` of the center, or leave it",
    "class_localizer": "expected: never converted",
    "class_derived": "computed by the scanner: expected, never converted",
    "class_nonimage": "no image: expected, never converted",
    "same_uid_other_content": "one UID, two contents: ask the center which is right",
    "truncated_copy": "a whole copy is there and used: nothing to do",
    "two_birth_dates": "two people under one identifier: ask the center, nothing of it is used",
    "two_names": "two people under one identifier: ask the center, nothing of it is used",
    "study_of_two_patients": "one study under two identifiers: ask the center",
    "not_dicom": "no DICOM: expected for notes and spreadsheets",
    "header_truncated": "cut off in the header: send the file again",
    "deflate_truncated": "cut off in the compressed part: send the file again",
    "empty_file": "nothing is in it: send the file again",
    "volumes_share_times": "labels and controls of one time: expected in ASL",
    "injection_between_vfa_and_dce": "T1 before an injection that DCE came after: no DCE maps",
}
# the same by how a word starts
_FAMILIES = {
    "unreadable_": "permission, dead link or disk; what is in there is left out: mend, index again",
    "archive_": "broken, encrypted or too large: send it again, or unpacked",
}


@dataclass
class IndexResult:
    """Sessions found, what each lacks, what was skipped and why.

    Attributes
    ----------
    counts : dict
        ``files``, ``instances``, ``new``, ``duplicates``, ``quarantined``, ``rejected``,
        ``series``, ``sessions``, ``manifests_written``.
    plan : list of dict
        Rows of ``plan.parquet``.
    series : list of dict
        Rows of ``series.parquet``.
    rejected : dict
        Reason to number of files that are no usable DICOM.
    quarantined : dict
        Reason to number of files that were set aside.
    warnings : list of str
        What a person should look at.
    unchanged : bool
        Whether nothing had to be done.
    """

    counts: dict[str, int] = field(default_factory=dict)
    plan: list[dict[str, Any]] = field(default_factory=list)
    series: list[dict[str, Any]] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    unchanged: bool = False

    def summary(self, width: int = 150) -> str:
        """Return the table that ``afterglow index`` prints."""
        from rich.console import Console
        from rich.table import Table

        stream = StringIO()
        console = Console(file=stream, width=width, highlight=False)
        table = Table(box=None, pad_edge=False)
        for title in (
            "center",
            "subject",
            "session",
            "has",
            "lacks",
            "doubts",
            "skipped",
            "status",
        ):
            table.add_column(title, overflow="fold")
        doubts, skipped = _by_session(self.series, _doubt), _by_session(self.series, _left_out)
        said: set[str] = set(self.rejected) | set(self.quarantined)
        for row in self.plan:
            key = (row["center"], row["subject"], row["session"])
            has = [*row["classes"], *(row.get("objects") or ())]
            lacks = [c for c in _NEEDED if c not in row["classes"]] if row["classes"] else []
            label = row["session"] + ("*" if row["is_reference"] else "")
            status = row["status"] + (f": {row['reason']}" if row["reason"] else "")
            cells = (_counted(has), ", ".join(lacks), doubts.get(key, ""), skipped.get(key, ""))
            table.add_row(row["center"], row["subject"], label, *cells, status)
            said |= {row["reason"]}
        said |= {word for row in self.series for word in (*_words(row), row["skipped"]) if word}
        said |= {word.partition(" ")[0] for word in said}
        console.print(table)
        console.print("* reference session of its subject")
        console.print(", ".join(f"{name} {n}" for name, n in self.counts.items()))
        self._reasons(console, said)
        for warning in self.warnings:
            console.print(f"warning: {warning}")
        return stream.getvalue().rstrip()

    def _reasons(self, console: Console, said: set[str]) -> None:
        """Print how many files were left out why, and what can be done about every word."""
        for title, reasons in (("rejected", self.rejected), ("quarantined", self.quarantined)):
            for reason, number in sorted(reasons.items()):
                console.print(f"{title}: {number} file{'s' * (number > 1)}, {reason}")
        known = {word: remedy for word in sorted(said) if (remedy := _remedy(word))}
        if known:
            console.print("what to do:")
        for word, remedy in known.items():
            console.print(f"  {word}: {remedy}")
        if self.rejected or self.quarantined:
            console.print(
                "each of these files with its reason: `rejected.json` in the private folder"
            )


def _remedy(word: str) -> str:
    family = next((start for start in _FAMILIES if word.startswith(start)), "")
    return _REMEDIES.get(word) or _FAMILIES.get(family, "")


def _by_session(series: list[dict[str, Any]], say: Any) -> dict[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in series:
        key = (row["center"], row["subject"], row["session"])
        found.setdefault(key, []).extend(say(row))
    return {key: _counted(words) for key, words in found.items()}


def _counted(words: list[str]) -> str:
    counts = sorted(Counter(words).items())
    return ", ".join(f"{n} {word}" if n > 1 else word for word, n in counts)


def _left_out(row: Mapping[str, Any]) -> list[str]:
    if row["status"] == "used":
        return []
    named = row["skipped"] in ("slices_missing", "no_complete_volume")
    return [f"{row['class']}:{row['skipped']}" if named else str(row["skipped"])]


def _words(row: Mapping[str, Any]) -> list[str]:
    """Return what speaks against a used series: its times, its files, its volumes."""
    if row["status"] != "used":
        return []
    words = [row["reason"]] if row["reason"] else []
    if row["n_cut_off"]:
        words.append("file_cut_off")
    words += row.get("doubts") or []
    dynamic = row["class"] in ("DSC", "DCE") and row["n_expected"]
    if dynamic and row["n_expected"] > row["n_volumes"] + row["n_incomplete"]:
        words.append("fewer_volumes_than_declared")
    return words


def _doubt(row: Mapping[str, Any]) -> list[str]:
    """Return why a used series may not be what its class says, or not serve for perfusion."""
    words = _words(row)
    if row["status"] == "used" and row["confidence"] < _SURE and row["runner_up"]:
        words.append(f"perhaps_{row['runner_up']}")
    return [f"{row['class']}:{word}" for word in words]
