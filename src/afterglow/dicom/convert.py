"""One series from DICOM files to an array, with everything that was doubted on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.dicom.archives import read_member
from afterglow.dicom.checks import Intake, intake, mismatch, true_order
from afterglow.dicom.converter import Converted, dcm2niix
from afterglow.dicom.mosaic import read_mosaics
from afterglow.dicom.pixels import Source, intensity_scale, read_series
from afterglow.errors import AfterglowError

_FRAME_TOLERANCE = 0.001


@dataclass
class Series:
    """A converted series.

    ``array`` has shape (x, y, z) or (x, y, z, n), or (x, y, z, n, echoes) for several echoes;
    ``header`` is the converter's sidecar (empty where ``reader`` is ``afterglow``); ``notes`` are
    for the sidecar only; ``gradients`` (4, n) are b values and directions of a diffusion series;
    ``scale`` is that of the values (``pixels.intensity_scale``).
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    header: dict[str, Any]
    reader: str
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    intakes: list[Intake] = field(default_factory=list)
    gradients: NDArray[np.float64] | None = None
    scale: str | None = None


def convert(
    entry: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]], center: str
) -> Series:
    """Convert one series of a manifest.

    dcm2niix makes the image; slices of it are compared with the files. Where it fails or differs,
    our own reader takes its place and the reason is kept as a warning.

    Parameters
    ----------
    entry : mapping
        A series of the manifest.
    sources : mapping
        ``instances`` of the private session file.
    center : str
        Center, for messages.

    Returns
    -------
    Series

    Raises
    ------
    AfterglowError
        A file is missing, cut off or undecodable, or no reader can make an image.
    """
    names = [instance["file"] for instance in entry["instances"]]
    missing = [name for name in names if name not in sources]
    if missing:
        raise AfterglowError(
            "the private folder does not know a file",
            where=f"{center}:{missing[0]}",
            remedy="run `afterglow index STUDY`",
        )
    intakes = [intake(name, center, sources[name]) for name in names]
    places = [_source(sources[name], f"{center}:{name}") for name in names]
    volumes = [[(places[row], frame) for row, frame in volume] for volume in entry["volumes"]]
    if not volumes:
        raise AfterglowError("the series has no complete volume", where=f"{center}:{names[0]}")
    used = _used(entry, places)
    mosaic = bool(entry["acquisition"]["mosaic"])
    series = _by_converter(entry, used, volumes, mosaic)
    if isinstance(series, str):
        if len(entry["acquisition"]["echo_times"]) > 1:
            raise AfterglowError(
                f"the echoes cannot be told apart: {series}", where=places[0].label
            )
        array, affine = read_mosaics(volumes) if mosaic else read_series(volumes)
        series = Series(array, affine, {}, "afterglow", [f"own reader used: {series}"])
    series.notes = _times(entry, series.header)
    series.intakes = intakes
    if entry["class"] == "VFA":
        series.scale = intensity_scale(place for volume in volumes for place in volume)
    return series


def _source(entry: Mapping[str, Any], label: str) -> Source:
    return Source(Path(entry["path"]), entry["member"], label)


def _used(entry: Mapping[str, Any], places: Sequence[Source]) -> list[Source]:
    """Return the files that hold complete volumes; with several echoes, all of them."""
    if len(entry["acquisition"]["echo_times"]) > 1:
        return list(places)
    rows = sorted({row for volume in entry["volumes"] for row, _ in volume})
    return [places[row] for row in rows]


def _by_converter(
    entry: Mapping[str, Any],
    used: Sequence[Source],
    volumes: Sequence[Sequence[tuple[Source, int | None]]],
    mosaic: bool,
) -> Series | str:
    """Return dcm2niix's image where it agrees with the files, else what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="afterglow-") as folder:
        work = Path(folder)
        try:
            images = dcm2niix(_files(used, work), work)
        except AfterglowError as error:
            return str(error)
    echoes = max(len(entry["acquisition"]["echo_times"]), 1)
    images = _stacked(images, len(volumes), echoes)
    fitting = [image for image in images if _volumes(image) == len(volumes)]
    if len(fitting) != echoes:
        shapes = ", ".join("x".join(map(str, image.array.shape)) for image in images)
        return f"dcm2niix made {shapes}, expected {len(volumes)} volumes"
    fitting.sort(key=lambda image: float(image.sidecar.get("EchoTime", 0)))
    first, warnings = fitting[0], []
    try:
        wrong = mismatch(first.array, first.affine, volumes, mosaic=mosaic)
        if wrong and not mosaic and len(volumes) > 1:
            order = true_order(first.array, first.affine, volumes)
            if order is not None:
                fitting = [_reordered(image, order) for image in fitting]
                warnings = ["volumes of dcm2niix were put into the order of the headers"]
                wrong = ""
    except AfterglowError as error:
        warnings = [f"volumes of dcm2niix could not be compared with the files: {error.what}"]
        wrong = ""
    if wrong:
        return f"dcm2niix: {wrong}"
    array = fitting[0].array
    if echoes > 1:
        array = np.stack([image.array for image in fitting], axis=-1)
    series = Series(array, first.affine, first.sidecar, "dcm2niix", warnings)
    series.gradients = fitting[0].gradients
    return series


def _reordered(image: Converted, order: list[int]) -> Converted:
    gradients = None if image.gradients is None else image.gradients[:, order]
    return replace(image, array=image.array[..., order], gradients=gradients)


def _stacked(images: list[Converted], count: int, echoes: int) -> list[Converted]:
    """Return one image of all volumes where the converter wrote each by itself."""
    alike = {image.array.shape for image in images}
    if count < 2 or echoes > 1 or len(images) != count or len(alike) != 1:
        return images
    if images[0].array.ndim != 3 or any(
        not np.allclose(image.affine, images[0].affine, atol=1e-3) for image in images
    ):
        return images
    return [replace(images[0], array=np.stack([image.array for image in images], axis=-1))]


def _files(used: Sequence[Source], work: Path) -> list[Path]:
    """Return paths of the files, taking members of archives out under neutral names."""
    files = []
    for number, source in enumerate(used):
        if not source.member:
            files.append(source.path.resolve())
            continue
        path = work / f"member-{number:06d}.dcm"
        path.write_bytes(read_member(str(source.path), source.member))
        files.append(path)
    return files


def _volumes(image: Converted) -> int:
    return image.array.shape[3] if image.array.ndim > 3 else 1


def _times(entry: Mapping[str, Any], header: Mapping[str, Any]) -> list[str]:
    """Return by how much the converter's frame time differs from ours; ours stands."""
    times = entry["frame_times"]
    theirs = header.get("RepetitionTime")
    if not times or theirs is None:
        return []
    ours = (times[-1] - times[0]) / (len(times) - 1)
    if abs(float(theirs) - ours) <= _FRAME_TOLERANCE:
        return []
    return [f"dcm2niix says {float(theirs):g} s between volumes, the headers {ours:g} s on average"]
