"""The manifest of a session: all that conversion depends on, and nothing that identifies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from afterglow.dicom.acquisition import acquisition
from afterglow.dicom.deidentify import Secret

# what the stages of the DAG read, then what is converted for people and other programs
NEEDED = ("T1w", "T1w_ce", "T2w", "FLAIR", "VFA", "DSC", "DCE")
MAPPING = ("IR", "MP2RAGE", "B1map")
FURTHER = ("DWI", "ADC", "SWI", "ASL")
CONVERTED = (*NEEDED, *MAPPING, *FURTHER)
_START_LAST = float("inf")


def manifest_text(content: Mapping[str, Any]) -> str:
    """Return a manifest as text: one line per series, so that differences can be read."""
    head = {name: value for name, value in content.items() if name != "series"}
    lines = [_line(entry) for entry in content["series"]]
    body = ",\n".join(lines)
    opened = _line(head)[:-1]
    return f'{opened},"series":[\n{body}\n]}}\n'


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def convertible(series: Mapping[str, Any]) -> bool:
    """Tell whether a series is of a class that is converted, and whole enough for it."""
    return series["class"] in CONVERTED and bool(series["n_volumes"]) and not series["lacks_slices"]


def numbered(study: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Return the usable series of a study with their run numbers, in order of time."""
    usable = [series for series in study if convertible(series)]
    usable.sort(key=lambda s: (_START_LAST if s["start"] is None else s["start"], s["series_key"]))
    runs: dict[str, int] = {}
    found = []
    for series in usable:
        runs[series["class"]] = runs.get(series["class"], 0) + 1
        found.append((runs[series["class"]], series))
    return sorted(found, key=lambda item: (item[1]["class"], item[0]))


def series_entry(
    run: int,
    series: Mapping[str, Any],
    rows: Sequence[dict[str, Any]],
    secret: Secret,
    replaced: Mapping[str, str],
) -> dict[str, Any]:
    """Return what a manifest says about one series.

    Parameters
    ----------
    run : int
        Number of the series among those of its class, from 1.
    series : mapping
        One element of ``series.describe``.
    rows : sequence of dict
        Inventory rows of the series, in the order of ``series["rows"]``.
    secret : Secret
        Key of the study.
    replaced : mapping
        File hash to the keyed hash of the whole file, where pixels changed under one header.
    """
    volumes, gains = series["volumes"], series["receive_gains"]
    return {
        "series_key": series["series_key"],
        "class": series["class"],
        "run": run,
        "label": f"{series['class']}_run-{run}",
        "rule": series["rule"],
        "confidence": series["confidence"],
        "n_volumes": series["n_volumes"],
        "n_incomplete": series["n_incomplete"],
        "frame_times": series["frame_times"],
        "timing_source": series["timing_source"],
        "timing_disagreement": series["timing_disagreement"],
        "evaluable": series["evaluable"],
        "reason": series["reason"],
        # only where there are any: what is said of nothing leaves manifests, and keys, as they are
        **{name: series[name] for name in ("doubts", "same_volume") if series[name]},
        **({"receive_gains": gains} if series["class"] == "VFA" and gains else {}),
        "acquisition": acquisition(rows, series["facts"], volumes),
        "volumes": [[[s.row, s.frame] for s in volume] for volume in volumes.complete],
        "instances": instance_entries(rows, secret, replaced),
    }


def instance_entries(
    rows: Sequence[Mapping[str, Any]], secret: Secret, replaced: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what a manifest says about files: keyed hashes and sizes."""
    entries = []
    for row in rows:
        name = file_hash(secret, row)
        entry = {
            "sop": secret.hash("sop", row["sop_uid"]),
            "file": name,
            "header": secret.hash("header", row["header_sha256"], 32),
            "bytes": row["bytes"],
        }
        if name in replaced:
            entry["content"] = replaced[name]
        entries.append(entry)
    return entries


def object_entry(
    series: Mapping[str, Any],
    image: str,
    by: str,
    rows: Sequence[Mapping[str, Any]],
    secret: Secret,
    replaced: Mapping[str, str],
) -> dict[str, Any]:
    """Return what a manifest says about a structure set, segmentation or dose.

    Parameters
    ----------
    series : mapping
        One element of ``series.describe``.
    image : str
        Series key of the image it belongs to.
    by : str
        What told so, see ``linking.Link``.
    rows, secret, replaced
        As for :func:`series_entry`.
    """
    return {
        "kind": series["class"],
        "series_key": series["series_key"],
        "image": image,
        "linked_by": by,
        **({"doubts": series["doubts"]} if series["doubts"] else {}),
        "instances": instance_entries(rows, secret, replaced),
    }


def file_hash(secret: Secret, row: Mapping[str, Any]) -> str:
    """Return the name under which messages and manifests speak of a file.

    It follows from the content, so that a copy elsewhere has the same name.
    """
    return secret.hash("file", f"{row['sop_uid']}\0{row['header_sha256']}")
