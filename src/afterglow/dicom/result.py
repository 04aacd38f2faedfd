"""What an index found, in a form a person can act on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

_NEEDED = ("T1w", "T1w_ce", "FLAIR", "DSC", "DCE", "VFA")


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

    def summary(self, width: int = 120) -> str:
        """Return the table that ``afterglow index`` prints."""
        from rich.console import Console
        from rich.table import Table

        stream = StringIO()
        console = Console(file=stream, width=width, highlight=False)
        table = Table("center", "subject", "session", "has", "lacks", "skipped", "status", box=None)
        skipped = self._skipped()
        for row in self.plan:
            classes = Counter(row["classes"])
            has = " ".join(f"{c}x{n}" if n > 1 else c for c, n in sorted(classes.items()))
            lacks = " ".join(c for c in _NEEDED if c not in classes)
            left = skipped.get((row["center"], row["subject"], row["session"]), "")
            label = row["session"] + ("*" if row["is_reference"] else "")
            status = row["status"] + (f": {row['reason']}" if row["reason"] else "")
            table.add_row(row["center"], row["subject"], label, has, lacks, left, status)
        console.print(table)
        console.print("* reference session of its subject")
        console.print(", ".join(f"{name} {n}" for name, n in self.counts.items()))
        for title, reasons in (("rejected", self.rejected), ("quarantined", self.quarantined)):
            for reason, number in sorted(reasons.items()):
                console.print(f"{title}: {number} files, {reason}")
        for warning in self.warnings:
            console.print(f"warning: {warning}")
        return stream.getvalue().rstrip()

    def _skipped(self) -> dict[tuple[str, str, str], str]:
        reasons: dict[tuple[str, str, str], Counter[str]] = {}
        for row in self.series:
            if row["status"] != "used":
                key = (row["center"], row["subject"], row["session"])
                reasons.setdefault(key, Counter())[row["skipped"]] += 1
        return {
            key: " ".join(f"{r}x{n}" if n > 1 else r for r, n in sorted(found.items()))
            for key, found in reasons.items()
        }
