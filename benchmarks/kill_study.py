"""Kills at random moments of a run of the real stages, and what was lost by them: nothing.

Usage: PYTHONPATH=tests python benchmarks/kill_study.py FINISHED FOLDER KILLS MINUTES [CORES]

``FINISHED`` is a study that ran undisturbed under the same code. Its inputs and its plan are copied
to ``FOLDER``, where the study is run; a driver, a job, or all at once are killed after random
times, and the driver is started again. What was done goes to ``FOLDER/kills.json``; called again,
it goes on there. Once all kills are dealt, or the study was finished before, results are compared.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from afterglow.cli.driver import plan_study
from afterglow.config import load_study
from killing import Killer
from rerun import begin_anew, compare, prepare

PAUSE = (1.0, 18.0)


def main(finished: Path, folder: Path, kills: int, minutes: float, cores: int) -> None:
    """Deal kills until there are enough or time is over, then compare where a run is whole."""
    log = folder / "kills.json"
    if not log.exists():
        folder.mkdir(parents=True)
        prepare(finished, folder)
        log.write_text(json.dumps({"kills": {}, "recomputed": [], "calls": 0, "whole": []}))
    told = json.loads(log.read_text())
    told["calls"] += 1
    killer = Killer(folder / "study.yaml", os.environ, told["calls"], PAUSE, cores)
    killer.kills = Counter(told["kills"])
    until = time.monotonic() + 60 * minutes
    while killer.kills.total() < kills and time.monotonic() < until:
        print(f"{killer.kills.total():4}  {killer.strike()}", flush=True)
        told |= {"kills": dict(killer.kills), "recomputed": killer.recomputed}
        log.write_text(json.dumps(told, indent=1))
        if killer.driver is not None and killer.driver.poll() in {0, 3}:
            whole = not plan_study(load_study(folder / "study.yaml"))[1]
            if whole:
                told["whole"].append(compare(finished, folder))
                begin_anew(folder)
                killer.forget()
    if killer.kills.total() >= kills:
        told["exit"] = killer.finish()
        told["recomputed"] = killer.recomputed
        told["whole"].append(compare(finished, folder))
    elif killer.driver is not None and killer.driver.poll() is None:
        killer.driver.terminate()
        killer.driver.wait()
    log.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        Path(given[0]).resolve(),
        Path(given[1]).resolve(),
        int(given[2]),
        float(given[3]),
        int(given[4]) if len(given) > 4 else 2,
    )
