"""Where the voxels of each lesion come from, how good they are, and how far raters agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from afterglow.bids.sidecars import read_json
from afterglow.tables.study import StudyStates

Facts = dict[tuple[str, str, int], dict[str, Any]]


def mask_facts(study: StudyStates, find: Callable[[str], Path]) -> Facts:
    """Return columns of `lesions` on masks by (subject, session, label)."""
    found: Facts = {}
    for plan in study.sessions:
        subject, session = plan["subject"], plan["session"]
        given = study.done("bids", subject, session).get("masks")
        made = study.done("features", subject, session)
        if given:
            own = _given(read_json(find(given["record"])))
        elif made.get("mask_source") in {"segmented", "external"}:
            record = read_json(find(made["mask"].replace(".nii.gz", ".json")))
            own = _made(record, made["mask_source"])
        else:
            continue
        found |= {(subject, session, label): facts for label, facts in own.items()}
    return found


def _given(record: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Return rater and least agreement of every given lesion."""
    chosen = record["chosen"]
    found = {}
    for lesion in record["raters"][chosen]["lesions"]:
        label = int(lesion["label"])
        others = [
            other["lesions"][str(label)]
            for other in record["agreement"].values()
            if str(label) in other["lesions"]
        ]
        least = min(others) if others else None
        found[label] = {"mask_source": "given", "rater": chosen, "rater_dice": least}
    return found


def _made(record: Mapping[str, Any], source: str) -> dict[int, dict[str, Any]]:
    """Return quality and doubts of every segmented lesion."""
    return {
        int(label): {
            "mask_source": source,
            "mask_quality": quality,
            "mask_doubt": record["doubts"].get(label, ""),
        }
        for label, quality in record["quality"].items()
    }
