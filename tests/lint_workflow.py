"""Run `snakemake --lint` over the workflow, on an invented study; exits with its status."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fake_study import REPO, FakeStudy


def main() -> int:
    """Lint the Snakefile and return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        fake = FakeStudy(Path(folder))
        fake.study_file.write_text(
            "study: lint\nout: out\ncenters:\n  - name: north\n    dicom: [incoming]\n"
        )
        fake.write_plan([("s1", "20190101")])
        command = [sys.executable, "-m", "snakemake", "--lint"]
        command += ["--snakefile", str(REPO / "workflow/Snakefile")]
        command += ["--directory", str(fake.out), "--config", f"study={fake.study_file}"]
        return subprocess.run(command, env=dict(os.environ), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
