"""What recording costs of a finished study's wall time.

Usage: python benchmarks/recording_cost.py STUDY_FOLDER WALL_SECONDS [CORES]

Does the bookkeeping of every job once more, aside and with the functions that jobs call: hash the
outputs, digest the results read, write record and state, publish and link, and what the driver
does after the last job (checkpoint, catalog, snapshot). Jobs share the cores, the driver does not.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from afterglow.provenance import catalog, store
from afterglow.provenance.checkpoint import append_checkpoint
from afterglow.provenance.job import State
from afterglow.provenance.records import (
    dump_state,
    parse_state,
    read_record,
    read_states,
    result_digest,
    state_path,
    write_atomically,
)
from afterglow.provenance.settled import write_snapshot


def main(folder: Path, wall: float, cores: int) -> None:
    """Print seconds and shares."""
    source, aside = folder / "out", folder / ".recording"
    shutil.rmtree(aside, ignore_errors=True)
    jobs, states = 0.0, list(read_states(source))
    for state in states:
        scratch = aside / ".work" / state.key
        for relative in state.outputs:
            (scratch / relative).parent.mkdir(parents=True, exist_ok=True)
            os.link(source / relative, scratch / relative)
        scratch.mkdir(parents=True, exist_ok=True)
        jobs += job_seconds(source, aside, scratch, state)
    started = time.perf_counter()
    append_checkpoint(aside, [state.key for state in states])
    catalog.extend(aside, [state.key for state in states])
    write_snapshot(aside)
    driver = time.perf_counter() - started
    shutil.rmtree(aside)
    share = (jobs / cores + driver) / wall
    print(f"{len(states)} jobs: {jobs:.2f} s in jobs, {driver:.2f} s in the driver")
    print(f"{100 * share:.2f} % of {wall:.0f} s on {cores} cores")


def job_seconds(source: Path, aside: Path, scratch: Path, state: State) -> float:
    """Return what hashing, recording and publishing one job's outputs takes."""
    record = read_record(source, state.key)
    started = time.perf_counter()
    assert store.digest_tree(scratch) == state.outputs
    for other in record["inputs"]["records"]:
        path = source / state_path(other["stage"], other["subject"], other["session"])
        result_digest(parse_state(path.read_text(encoding="utf-8")))
    near = store.bring_near(aside, scratch, state.key)
    store.publish(aside, near, state, record)
    path = aside / state_path(state.stage, state.subject, state.session)
    write_atomically(path, dump_state(state))
    return time.perf_counter() - started


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2)
