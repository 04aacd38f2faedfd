"""Seed failures into finished sessions of a study and print what the verdicts say.

    python benchmarks/anat_failures.py STUDY_OUT [--sessions LABEL ...] [--parts pre flair ...]
        [--other LABEL]

Every session is first judged as it is, then with one image replaced: by that of another subject (of
session LABEL, else of the first in the list), by its mirror image (left and right exchanged, header
kept), by one with half the brain missing, by a blank one. A case counts as flagged where the stage
says `look` or `fail`, reports a problem, or calls the image not evaluable.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from afterglow.anat.dynamic import run_dynamic
from afterglow.anat.session import Anatomy, run_longitudinal, run_other, run_structural
from afterglow.anat.store import Store
from afterglow.bids.images import load_nifti, save_nifti
from afterglow.config.anat import AnatConfig
from afterglow.errors import NotEvaluable

SETTINGS = AnatConfig()
KINDS = {"pre": "T1w", "flair": "FLAIR", "dsc": "dsc", "dce": "dce"}
PARTS = (*KINDS, "own", "follow")


class Case:
    """One run of a part of the stage on altered input, in a folder of its own."""

    def __init__(self, out: Path, label: str, folder: Path) -> None:
        subject, session = label.removeprefix("sub-").split("_ses-")
        self.words: list[str] = []
        self.store = Store(
            find=lambda r: folder / r if (folder / r).exists() else out / r,
            out=lambda r: self._made(folder / r),
            subject=subject,
            session=session,
            warn=self.words.append,
            problem=lambda name, why, _remedy: self.words.append(f"{name}: problem: {why}"),
        )

    @staticmethod
    def _made(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def outcome(self) -> str:
        """Return ``fail``, ``look`` or ``pass``, with the words behind it."""
        verdicts = [v["verdict"] for v in self.store.verdicts.values()]
        if any(": problem:" in w or "not evaluable" in w for w in self.words):
            verdicts.append("fail")
        worst = next((w for w in ("fail", "look") if w in verdicts), "pass")
        return f"{worst:5s} {' | '.join(self.words)}"


def other_subject(values: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return another subject's voxels in this image's grid (cut or padded about the middle)."""
    result = np.zeros_like(values)
    take, give = [], []
    for n, m in zip(values.shape, theirs.shape, strict=True):
        k = min(n, m)
        take.append(slice((n - k) // 2, (n - k) // 2 + k))
        give.append(slice((m - k) // 2, (m - k) // 2 + k))
    result[tuple(take)] = theirs[tuple(give)]
    return result


def halved(values: np.ndarray, affine: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the image without the half that lies beyond its brain's middle (right or front)."""
    along = int(np.argmax(np.abs(affine[axis, :3])))
    result = np.array(values)
    part: list[Any] = [slice(None)] * values.ndim
    part[along] = slice(values.shape[along] // 2, None)
    result[tuple(part)] = 0
    return result


def mirrored(values: np.ndarray, affine: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the voxels in reverse order along a world axis, with the header unchanged."""
    return np.flip(values, int(np.argmax(np.abs(affine[axis, :3]))))


def alterations(values: np.ndarray, affine: np.ndarray, theirs: np.ndarray) -> Iterator[Any]:
    """Yield name and altered image of every seeded failure."""
    yield "other subject", other_subject(values, theirs)
    yield "mirrored", mirrored(values, affine)
    yield "upside down", mirrored(values, affine, 2)
    yield "half missing", halved(values, affine)
    yield "blank", np.zeros_like(values)


def structural(out: Path, label: str, bids: dict[str, Any], folder: Path) -> tuple[Case, Any]:
    case = Case(out, label, folder)
    try:
        return case, run_structural(case.store, bids, SETTINGS, 1)
    except NotEvaluable as error:
        case.words.append(f"not evaluable: {error}")
        return case, None


def part(case: Case, anatomy: Anatomy, bids: dict[str, Any], kind: str) -> None:
    """Run one registration of a session."""
    if kind in ("pre", "flair"):
        run_other(case.store, anatomy, bids, kind, SETTINGS, 1)
    else:
        run_dynamic(case.store, anatomy, bids, kind, SETTINGS, 1)  # type: ignore[arg-type]


def session(
    out: Path, label: str, other: str, follow: str | None, parts: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield every case of one session and its outcome."""
    bids, theirs = (_bids(out, name) for name in (label, other))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        case, made = structural(out, label, bids, root / "good")
        anatomy, summary = made
        yield "as it is: T1w, pre, FLAIR", case.outcome()
        for kind, entry in KINDS.items():
            if kind not in parts:
                continue
            if kind in ("dsc", "dce") and bids["series"].get(kind):
                good = Case(out, label, root / f"good-{kind}")
                part(good, anatomy, bids, kind)
                yield f"as it is: {kind}", good.outcome()
            if not bids["series"].get(entry):
                continue
            values, affine = load_nifti(out / bids["series"][entry]["path"])
            foreign, _ = load_nifti(out / theirs["series"][entry]["path"])
            for what, altered in alterations(values, affine, foreign):
                bad = Case(out, label, root / f"{kind}-{what}".replace(" ", "-"))
                save_nifti(altered, affine, bad.store.out("altered.nii.gz"))
                series = {
                    **bids["series"],
                    entry: {**bids["series"][entry], "path": "altered.nii.gz"},
                }
                part(bad, anatomy, {**bids, "series": series}, kind)
                yield f"{kind}: {what}", bad.outcome()
        if "own" in parts:
            yield from reference_cases(out, label, bids, theirs, root)
        if follow and "follow" in parts:
            yield from follow_cases(out, follow, summary, theirs, root)


def reference_cases(
    out: Path, label: str, bids: dict[str, Any], theirs: dict[str, Any], root: Path
) -> Iterator[tuple[str, str]]:
    """Yield failures of the session's own T1w."""
    name = bids["reference"]
    values, affine = load_nifti(out / bids["series"][name]["path"])
    foreign, _ = load_nifti(out / theirs["series"][theirs["reference"]]["path"])
    for what, altered in alterations(values, affine, foreign):
        if what == "mirrored":
            continue
        folder = root / f"own-{what}".replace(" ", "-")
        folder.mkdir()
        save_nifti(altered, affine, folder / "altered.nii.gz")
        series = {**bids["series"], name: {**bids["series"][name], "path": "altered.nii.gz"}}
        case, _ = structural(out, label, {**bids, "series": series, "mask": None}, folder)
        yield f"T1w of the session: {what}", case.outcome()


def follow_cases(
    out: Path,
    follow: str,
    summary: dict[str, Any],
    theirs: dict[str, Any],
    root: Path,
) -> Iterator[tuple[str, str]]:
    """Yield registrations over time: right, of another subject, of a mirrored head."""
    later = _bids(out, follow)
    name = later["reference"]
    values, affine = load_nifti(out / later["series"][name]["path"])
    foreign, where = load_nifti(out / theirs["series"][theirs["reference"]]["path"])
    images = {
        "as it is: follow-up": (values, affine),
        "follow-up: other subject": (foreign, where),
        "follow-up: mirrored": (mirrored(values, affine), affine),
    }
    for what, (image, grid) in images.items():
        folder = root / what.replace(" ", "-").replace(":", "")
        case = Case(out, follow, folder)
        save_nifti(image, grid, case.store.out("altered.nii.gz"))
        series = {name: {**later["series"][name], "path": "altered.nii.gz"}}
        mine, _ = run_structural(case.store, {**later, "series": series, "mask": None}, SETTINGS, 1)
        case.store.find = _chain(case.store.find, root / "good")
        run_longitudinal(case.store, mine, summary, False, SETTINGS, 1)
        yield what, case.outcome()


def _chain(find: Any, folder: Path) -> Any:
    return lambda r: folder / r if (folder / r).exists() else find(r)


def _bids(out: Path, label: str) -> dict[str, Any]:
    path = next((out / "ledger" / "states" / "bids").glob(f"{label}*.json"))
    summary: dict[str, Any] = json.loads(path.read_text())["summary"]
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sessions", nargs="+", help="sub-X_ses-Y; all where absent")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--other", help="sub-X_ses-Y whose images stand for another subject's")
    options = parser.parse_args()
    found = sorted((options.out / "ledger" / "states" / "bids").glob("sub-*_ses-*.json"))
    labels = [path.stem for path in found]
    for label in options.sessions or labels:
        subject = label.split("_")[0]
        other = options.other or next(n for n in labels if not n.startswith(subject))
        mine = [name for name in labels if name.startswith(subject)]
        follow = next((n for n in mine if n > label), None)
        for what, outcome in session(options.out, label, other, follow, options.parts):
            print(f"{label} {what:32s} {outcome}", flush=True)


if __name__ == "__main__":
    main()
