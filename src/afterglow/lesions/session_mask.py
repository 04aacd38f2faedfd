"""The lesion labels of one session: given, from an outside program, or segmented."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import save_nifti
from afterglow.bids.sidecars import write_json
from afterglow.errors import NotEvaluable
from afterglow.lesions.enhancement import Enhancement, blob_candidates, enhancement
from afterglow.lesions.external import run_segmenter
from afterglow.lesions.grids import Grid
from afterglow.lesions.inputs import load_grid, load_labels
from afterglow.lesions.masks import Labels
from afterglow.lesions.neighbours import doses, neighbours
from afterglow.lesions.seeding import moved_seeds, treated_seeds, without_doubles
from afterglow.lesions.segmentation import METHOD, GrowSettings, Seed, Segmented, segment

if TYPE_CHECKING:
    from afterglow.config.lesions import SegmentationConfig
    from afterglow.provenance.job import Job, State


@dataclass(frozen=True, eq=False)
class SessionMask:
    """Lesion labels of one session and where they come from.

    ``source`` is ``given``, ``segmented`` or ``external``; ``path`` that of the label image;
    ``quality`` and ``doubts`` by label are those of the segmentation, empty for given masks.
    """

    labels: Labels
    grid: Grid
    source: str
    path: str
    method: str = ""
    quality: dict[int, float] = field(default_factory=dict)
    doubts: dict[int, str] = field(default_factory=dict)


def mask_of(job: Job) -> SessionMask:
    """Return the lesions of a session; where none were given, make and write them.

    Raises
    ------
    NotEvaluable
        No mask was given and none can be made.
    """
    bids = job.state("bids")
    if bids.summary.get("mask"):
        labels, grid = load_labels(job.path, bids.summary["mask"])
        return SessionMask(labels, grid, "given", bids.summary["mask"])
    config = job.study.lesions.segmentation
    if not config.enabled:
        raise NotEvaluable("no_lesion_mask", "no mask was given for this session")
    anat = job.state("anat")
    if not anat.done:
        raise NotEvaluable("no_lesion_mask", "no mask was given, and stage anat has no result")
    made = _external(job, anat, config) if config.command else _segmented(job, anat, config)
    _write(job, made)
    return made


def _stem(job: Job) -> str:
    base = f"derivatives/sub-{job.subject}/ses-{job.session}/lesions"
    return f"{base}/sub-{job.subject}_ses-{job.session}_desc-segmented_dseg"


def _external(job: Job, anat: State, config: SegmentationConfig) -> SessionMask:
    """Return the lesions of an outside program."""
    paths = {"t1w": "t1w", "pre": "pre", "flair": "flair", "brain": "brain"}
    there = {name: anat.summary[key] for name, key in paths.items() if anat.summary.get(key)}
    images, grid = {}, None
    for name, path in there.items():
        images[name], own = load_grid(job.path(path))
        grid = own if name == "t1w" else grid
    if grid is None:
        raise NotEvaluable("no_lesion_mask", "no mask was given, and there is no T1w image")
    labels = run_segmenter(config.command, images, grid, config.timeout)
    return SessionMask(labels, grid, "external", _stem(job) + ".nii.gz", "external")


def _segmented(job: Job, anat: State, config: SegmentationConfig) -> SessionMask:
    """Return lesions grown from seeds, and compact enhancing objects where nothing is known."""
    summary = anat.summary
    if not (summary.get("pre") and summary.get("probseg") and summary.get("t1w")):
        raise NotEvaluable("no_lesion_mask", "no mask was given, and no T1w before contrast")
    after, grid = load_grid(job.path(summary["t1w"]))
    before, _ = load_grid(job.path(summary["pre"]))
    white, _ = load_grid(job.path(summary["probseg"]["WM"]))
    brain = load_grid(job.path(summary["brain"]))[0] > 0.5
    seeds = _seeds(job, anat, grid)
    known = np.any([s.mask for s in seeds], axis=0) if seeds else None
    found = enhancement(after, before, white, brain, grid, known)
    if config.unseeded:
        seeds += _detected(found, brain, config, seeds)
    settings = GrowSettings(config.reach, config.threshold, config.minimum_volume * 1000)
    done = segment(found, brain, seeds, settings)
    return _as_mask(job, done, grid, config)


def _as_mask(job: Job, done: Segmented, grid: Grid, config: SegmentationConfig) -> SessionMask:
    quality = {lesion.label: round(lesion.quality, 4) for lesion in done.lesions}
    doubts = {}
    for lesion in done.lesions:
        reasons = [lesion.doubt] if lesion.doubt else []
        reasons += ["low_quality"] if lesion.quality < config.least_quality else []
        reasons += ["found_without_seed"] if lesion.source == _DETECTED else []
        doubts[lesion.label] = ",".join(reasons)
    flagged = sum(bool(text) for text in doubts.values())
    if flagged:
        job.warn(f"{flagged} of {len(doubts)} segmented lesions should be looked at")
    job.summary["seeds_without_lesion"] = [list(item) for item in done.missed]
    labels = Labels(done.labels, "segmented" if done.lesions else "empty")
    path = _stem(job) + ".nii.gz"
    return SessionMask(labels, grid, "segmented", path, METHOD, quality, doubts)


_DETECTED = "detected"


def _detected(
    found: Enhancement, brain: Any, config: SegmentationConfig, seeds: list[Seed]
) -> list[Seed]:
    """Return compact enhancing objects that no seed tells of."""
    smallest = config.minimum_volume * 1000
    objects = blob_candidates(found, brain, config.threshold, smallest)
    every = [Seed(objects == n, _DETECTED) for n in range(1, int(objects.max(initial=0)) + 1)]
    return [seed for seed in every if not any((seed.mask & other.mask).any() for other in seeds)]


def _seeds(job: Job, anat: State, grid: Grid) -> list[Seed]:
    """Return seeds from the sessions that arrived before this one, the latest first."""
    made = {s.session: s for s in job.upstream.get("features", []) if s.done}
    groups = []
    for near in neighbours(job, anat):
        path = near.images.get("mask")
        if near.session in made:
            path = path or made[near.session].summary.get("mask")
        if path and near.session != job.session:
            labels, source = load_labels(job.path, path)
            name = f"ses-{near.session}"
            groups.append(moved_seeds(labels.data, source, grid, near.move, name))
        groups += [treated_seeds(d, grid, near.move, "treated_volume") for d in doses(job, near)]
    return without_doubles(groups)


def _write(job: Job, made: SessionMask) -> None:
    """Write labels and their record."""
    save_nifti(made.labels.data, made.grid.affine, job.out(made.path), dtype=np.int16)
    record = {
        "method": made.method,
        "quality": {str(k): v for k, v in made.quality.items()},
        "doubts": {str(k): v for k, v in made.doubts.items()},
        "seeds_without_lesion": job.summary.get("seeds_without_lesion", []),
    }
    write_json(job.out(made.path.replace(".nii.gz", ".json")), record)
