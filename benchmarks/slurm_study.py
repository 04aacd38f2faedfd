"""A study through a real SLURM of one node, and whether its results are those of a local run.

Usage: PYTHONPATH=tests python benchmarks/slurm_study.py FINISHED FOLDER [CPUS]

``FINISHED`` is a study that ran locally under the same code. Its inputs are copied to ``FOLDER``
and run through the slurm profile. Printed are what was submitted, and what differs. Called again
after it was cut off, it goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from rerun import compare, prepare
from slurm_node import single_node


def main(finished: Path, folder: Path, cpus: int) -> None:
    """Run and compare."""
    if not (folder / "study.yaml").exists():
        folder.mkdir(parents=True)
        prepare(finished, folder)
    command = [sys.executable, "-m", "afterglow.cli.app", "run", str(folder), "--no-scan"]
    command += ["--plain", "--profile", "slurm", "--", "--slurm-no-account"]
    command += ["--slurm-init-seconds-before-status-checks=5"]
    command += ["--default-resources", "slurm_partition=main"]
    with single_node(cpus) as node:
        done = subprocess.run(command, env=node.environment, check=False)
        told = node.ask("squeue", "--states=all", "--noheader", "--format=%T %k").splitlines()
    kinds = Counter((line.split()[0], line.split()[1].split("_")[1]) for line in told)
    submitted = {f"{state} {kind}": count for (state, kind), count in sorted(kinds.items())}
    print(json.dumps({"exit": done.returncode, "submitted": submitted}, indent=1))
    print(json.dumps(compare(finished, folder), indent=1))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]).resolve(),
        Path(sys.argv[2]).resolve(),
        int(sys.argv[3]) if len(sys.argv) > 3 else 2,
    )
