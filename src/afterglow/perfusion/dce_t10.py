"""T1 before contrast for the `dce` stage: measured, or assumed and said to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.errors import NotEvaluable
from afterglow.perfusion.dce_inputs import DCEInputs, sequence
from afterglow.perfusion.dynamic import Find
from afterglow.perfusion.relaxivity import tissue_t1
from afterglow.perfusion.t1 import T1Map, fit_vfa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.dce import DCEConfig


@dataclass(frozen=True)
class T10:
    """T1 at the start of the series (s), whether it was measured, and what it rests on.

    ``reason`` is empty where T1 is that of the tissue itself: after an earlier injection it is the
    right start for concentrations and says nothing of the tissue. ``b1`` is the ratio of actual to
    nominal flip angle where it was mapped.
    """

    values: NDArray[np.floating]
    fit: T1Map | None
    source: str
    facts: dict[str, Any] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    reason: str = ""
    b1: NDArray[np.floating] | None = None

    @property
    def measured(self) -> bool:
        """True where T1 comes from images of this session."""
        return self.fit is not None


def t10_of(
    find: Find,
    found: DCEInputs,
    bids: dict[str, Any],
    anat: dict[str, Any] | None,
    config: DCEConfig,
    threads: int = 1,
) -> T10:
    """Return T1 on the grid of the DCE series.

    Raises
    ------
    NotEvaluable
        ``injection_between_vfa_and_dce``; ``injection_before_dce`` where T1 was not measured after
        an earlier injection; ``no_t10`` where T1 can neither be measured nor assumed.
    """
    facts = bids.get("facts") or {}
    if facts.get("injection_between_vfa_and_dce"):
        raise NotEvaluable(
            "injection_between_vfa_and_dce", "the flip angles were imaged before another injection"
        )
    try:
        return _measured(find, found, bids, anat, config, threads)
    except NotEvaluable as reason:
        earlier = facts.get("injection_before_dce")
        if earlier or (earlier is None and len(facts.get("injections") or ()) > 1):
            raise NotEvaluable(
                "injection_before_dce",
                f"T1 was not measured after the earlier injection ({reason}), and with contrast in "
                "the tissue that of healthy tissue does not hold",
            ) from reason
        if not config.assumed_t10:
            raise
        found.warnings.append(f"T1 is assumed, not measured: {reason}")
        return _assumed(find, found)


def _measured(
    find: Find,
    found: DCEInputs,
    bids: dict[str, Any],
    anat: dict[str, Any] | None,
    config: DCEConfig,
    threads: int,
) -> T10:
    """Return T1 of the flip angles."""
    order = bids.get("facts") or {}
    entries = [e for e in (bids.get("series") or {}).get("vfa") or [] if e]
    registered = ((anat or {}).get("dce") or {}).get("vfa")
    if len(entries) < 2:
        raise NotEvaluable("no_vfa", f"{len(entries)} images of different flip angles")
    images, angles, times, inputs = [], [], [], []
    gains: set[tuple[int, ...]] = set()
    for number, entry in enumerate(entries):
        path = entry["path"] if not registered else registered[number]
        if path is None:
            continue
        image, affine = load_nifti(find(path))
        sidecar = read_json(find(entry["sidecar"]))
        if sidecar.get("IntensityScale") == "displayed":
            raise NotEvaluable(
                "vfa_scale_unknown",
                "each flip angle is displayed on a scale of its own, and the private elements of "
                "Philips that undo it are not in the files",
            )
        gains |= {tuple(pair) for pair in sidecar.get("ReceiveGains") or ()}
        tr, angle = sequence(sidecar, entry["path"])
        image = image.mean(axis=3) if image.ndim == 4 else image
        if image.shape != found.series.shape[:3] or not np.allclose(
            affine, found.affine, atol=1e-2
        ):
            raise NotEvaluable("vfa_on_other_grid", "flip angles and DCE lie on different grids")
        images.append(image)
        angles.append(angle)
        times.append(tr)
        inputs.append(path)
    if np.unique(angles).size < 2:
        raise NotEvaluable("no_vfa", f"flip angles are {angles}")
    if len(gains) > 1:
        raise NotEvaluable(
            "vfa_gains_differ",
            f"receive gains (R1, R2) {sorted(gains)} scale the images of the flip angles "
            "differently: acquire them with one prescan",
        )
    if "injection_between_vfa_and_dce" in order and order["injection_between_vfa_and_dce"] is None:
        found.warnings.append("nothing tells whether contrast came between flip angles and DCE")
    inside = found.mask | found.search_mask
    b1, b1_path = _flip_angle_ratio(find, found, anat)
    fit = fit_vfa(
        np.stack(images, axis=-1), angles, times, b1=b1, method=config.t1_method, mask=inside,
        threads=threads,
    )  # fmt: skip
    reason = "injection_before_vfa" if order.get("injection_before_vfa") else ""
    if reason:
        found.warnings.append(
            "T1 was measured after an earlier injection: it starts the concentrations and is not "
            "that of the tissue"
        )
    facts = {
        "flip_angles": angles,
        "tr": times,
        "method": config.t1_method,
        "b1": "measured" if b1 is not None else "nominal",
        "native": not reason,
    }
    inputs += [b1_path] if b1_path else []
    return T10(fit.t1, fit, "vfa", facts, inputs, reason, b1)


def _flip_angle_ratio(
    find: Find, found: DCEInputs, anat: dict[str, Any] | None
) -> tuple[NDArray[np.floating] | None, str | None]:
    """Return the map of actual over nominal flip angle on the grid of the series, if there is."""
    path = ((anat or {}).get("dce") or {}).get("b1")
    if path is None:
        return None, None
    image, affine = load_nifti(find(path))
    units = read_json(find(path.replace(".nii.gz", ".json"))).get("Units")
    if image.shape != found.mask.shape or not np.allclose(affine, found.affine, atol=1e-2):
        raise NotEvaluable("b1_on_other_grid", "flip-angle ratio and DCE lie on different grids")
    if units not in {"1", "percent"}:
        found.warnings.append(f"the flip-angle ratio is not used: its unit is {units!r}")
        return None, None
    return image / (100.0 if units == "percent" else 1.0), path


def _assumed(find: Find, found: DCEInputs) -> T10:
    """Return T1 of healthy tissue at the field strength, mixed by tissue probability."""
    strength = found.sidecar.get("MagneticFieldStrength")
    white = tissue_t1("WM", float(strength)) if strength else None
    if white is None:
        raise NotEvaluable("no_t10", f"no T1 is known for a field of {strength} T")
    values = np.full(found.mask.shape, white.value)
    weight = np.full(found.mask.shape, 1e-6)
    values *= weight
    sources = [white.source]
    for name, path in sorted(found.probseg.items()):
        constant = tissue_t1(name, float(strength)) if path else None  # type: ignore[arg-type]
        if constant is None:
            continue
        part, _ = load_nifti(find(path))
        values += part * constant.value
        weight += part
        sources.append(constant.source)
        found.sources.append(path)
    facts = {"sources": sorted(set(sources)), "note": "lesions are not healthy tissue"}
    return T10(values / weight, None, "assumed", facts)
