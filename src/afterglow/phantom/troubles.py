"""What goes wrong with a session on its way: pushed twice, cut off, damaged, mislabelled.

What was injected and acquired in another order is planned by `protocol.center_of`; here is what
happens to headers and files.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from afterglow.phantom.dicom import Study
from afterglow.phantom.scan import Scan, render
from afterglow.phantom.series import Series

if TYPE_CHECKING:
    from pathlib import Path

    from afterglow.phantom.dicom import SeriesWriter
    from afterglow.phantom.plan import TroubleKind
    from afterglow.phantom.scan import Session

# How much of the DCE series is left: whole volumes, and slices of the one it ends in.
_VOLUMES_LEFT, _SLICES_LEFT = 0.6, 0.4
_STATED_TR = 1.25
_SECOND_STUDY = 1500.0
_UNKNOWN = Series(
    name="wip",
    number=60,
    description="WIP 0815",
    protocol="WIP 0815",
    method="spgr",
    shape=(64, 64, 12),
    spacing=(3.5, 3.5, 9.0),
    tr=0.5,
    te=0.012,
    flip=40.0,
    start=640.0,
    scale=4000.0,
    noise=20.0,
    factors=(2, 2, 4),
    stated=(
        ("ImageType", ("ORIGINAL", "PRIMARY", "OTHER")),
        ("ScanningSequence", "RM"),
        ("SequenceVariant", "NONE"),
        ("SequenceName", "wip0815"),
        ("MRAcquisitionType", "2D"),
    ),
)


def mislabel(scan: Scan, kinds: frozenset[TroubleKind]) -> Scan:
    """Return a series with what its header wrongly states."""
    series = scan.series
    if "wrong_tr" not in kinds or series.name != "dsc":
        return scan
    wrong = ("RepetitionTime", f"{1000.0 * _STATED_TR * series.tr:g}")
    return replace(scan, series=replace(series, stated=(*series.stated, wrong)))


def add_series(
    session: Session, study: Study, folder: Path, writer: SeriesWriter
) -> dict[str, Path]:
    """Write the series that a troubled session has beyond its protocol."""
    kinds = session.subject.troubled(session.visit)
    added: dict[str, Path] = {}
    if "unclassifiable" in kinds:
        added["wip"] = folder / "060_wip"
        _write(session, study, _UNKNOWN, added["wip"], writer)
    if "two_studies_one_date" in kinds:
        first = session.series("T1w_ce")
        again = replace(
            first, name="T1w_ce_again", number=first.number + 1, start=_SECOND_STUDY + 60.0
        )
        second = replace(study, part="again", begins=_SECOND_STUDY)
        added["T1w_ce_again"] = folder / "again" / f"{again.number:03d}_{again.name}"
        _write(session, second, again, added["T1w_ce_again"], writer)
    return added


def _write(
    session: Session, study: Study, series: Series, folder: Path, writer: SeriesWriter
) -> None:
    folder.mkdir(parents=True)
    grid = session.grid_of(series)
    writer(study, Scan(series, grid, render(session, series, grid)), folder)


def damage(kinds: frozenset[TroubleKind], folder: Path, series: dict[str, Path]) -> None:
    """Do to the files of a written session what happened to them."""
    if "cut_off" in kinds:
        cut_off(series["dce"])
    if "duplicate_push" in kinds:
        shutil.copytree(series["dsc"], folder / "push2" / series["dsc"].name)
    if "corrupt_file" in kinds:
        truncate(sorted(series["FLAIR"].iterdir())[3])


def cut_off(folder: Path) -> None:
    """Remove what a dynamic series would have acquired after its scan stopped."""
    import pydicom

    files: dict[tuple[int, float], Path] = {}
    for path in folder.iterdir():
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        frame = int(ds.get("TemporalPositionIdentifier") or ds.AcquisitionNumber)
        files[frame, float(ds.SliceLocation)] = path
    frames = sorted({frame for frame, _ in files})
    last = frames[int(_VOLUMES_LEFT * len(frames))]
    in_last = sorted(where for frame, where in files if frame == last)
    kept = set(in_last[: int(_SLICES_LEFT * len(in_last))])
    for (frame, where), path in files.items():
        if frame > last or (frame == last and where not in kept):
            path.unlink()


def truncate(path: Path) -> None:
    """Leave out the last third of a file, as an interrupted copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3])
