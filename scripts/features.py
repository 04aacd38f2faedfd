"""Regions, reference tissue and measurements of one session."""

from afterglow.errors import NotEvaluable
from afterglow.lesions.missing import absent_cells
from afterglow.lesions.neighbours import doses, neighbours
from afterglow.lesions.session import SessionLesions, measure_perfusion, measure_shapes
from afterglow.lesions.session_mask import mask_of
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run
from afterglow.tables.parts import write_curves, write_features, write_lesions


def main(job: Job) -> None:
    bids, anat = job.state("bids"), job.state("anat")
    if not bids.done:
        raise NotEvaluable("no_images", "stage bids has no result")
    mask = mask_of(job)
    near = neighbours(job, anat) if anat.done else []
    drawn = {
        "parts": (bids.summary.get("masks") or {}).get("parts"),
        "nodules": bids.summary.get("nodules"),
    }
    session = SessionLesions.load(
        job.path,
        mask.labels,
        mask.grid,
        anat.summary if anat.done else {},
        job.study.features,
        drawn,
        [(dose, one.move) for one in reversed(near) for dose in doses(job, one)],
    )
    cells, shapes, edema = measure_shapes(session)
    curves = []
    for name in ("dsc", "dce"):
        stage = job.state(name)
        if not stage.done:
            known = stage.status == "not_evaluable"
            cells += absent_cells(name, shapes, stage.reason if known else f"{name}_failed")
            continue
        found = measure_perfusion(session, job.path, name, stage.summary)
        if found is None:
            if session.anat.get(name):
                job.problem(name, "the series is not registered to the anatomy", "see stage anat")
            cells += absent_cells(name, shapes, "not_registered")
            continue
        cells += found.cells
        cells += absent_cells(name, shapes, "no_map", found.cells)
        curves += found.curves
    base = f"derivatives/sub-{job.subject}/ses-{job.session}/lesions"
    stem = f"{base}/sub-{job.subject}_ses-{job.session}"
    job.summary |= {n: f"{stem}_{n}.parquet" for n in ("features", "curves", "lesions")}
    job.summary |= {"n_lesions": len(shapes), "mask_rule": mask.labels.rule}
    job.summary |= {"mask": mask.path, "mask_source": mask.source}
    write_features(cells, job.key, job.out(job.summary["features"]))
    write_curves(curves, job.key, job.out(job.summary["curves"]))
    write_lesions(shapes, edema, job.key, job.out(job.summary["lesions"]))


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
