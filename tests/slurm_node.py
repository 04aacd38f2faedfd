"""A real SLURM of one node on the loopback address, for the time of a test."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")

# Without control groups, process trees and memory are read from /proc; what exceeds its memory is
# killed by the gathering plugin. `MinJobAge` lets squeue tell how a job ended.
CONFIG = """\
ClusterName=afterglow
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={worker}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=1
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class SlurmNode:
    """A running node: `environment` is what its commands need."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(self.folder / "bin"), os.environ["PATH"], "/usr/sbin"))
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def ask(self, *words: str) -> str:
        """Return what a SLURM command prints."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout

    def jobs(self) -> dict[int, str]:
        """Return the state of every job ever submitted by its number."""
        rows = self.ask("squeue", "--states=all", "--noheader", "--format=%i %T").split("\n")
        return {int(row.split()[0]): row.split()[1] for row in rows if row}


def missing_daemons() -> list[str]:
    """Return which programs of SLURM this machine lacks."""
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin"))
    return [name for name in DAEMONS if shutil.which(name, path=path) is None]


@contextmanager
def single_node(cpus: int = 2) -> Iterator[SlurmNode]:
    """Start munged, slurmctld and slurmd in a folder of their own, and stop them at the end."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    node = SlurmNode(folder)
    try:
        _configure(folder, cpus)
        _shim_srun(folder)
        _start(node)
        yield node
    finally:
        _stop(node)
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path, cpus: int) -> None:
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(mode=0o700)
    folder.chmod(0o755)
    (folder / "munge").chmod(0o711)
    key = folder / "munge/key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    controller, worker = _free_ports()
    (folder / "slurm.conf").write_text(
        CONFIG.format(
            folder=folder,
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            controller=controller,
            worker=worker,
            cpus=cpus,
        )
    )


def _shim_srun(folder: Path) -> None:
    """Tell srun where its configuration is: within a job the executor takes SLURM_* away."""
    shim = folder / "bin/srun"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    shim.chmod(0o755)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        for found in (one, two):
            found.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _start(node: SlurmNode) -> None:
    munge = node.folder / "munge"
    options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
    words = [f"--{name}={munge / value}" for name, value in options.items()]
    node.ask("munged", *words, f"--seed-file={munge}/seed", "--num-threads=1", "--force")
    node.ask("slurmctld", "-f", str(node.folder / "slurm.conf"))
    node.ask("slurmd", "-f", str(node.folder / "slurm.conf"))
    for _ in range(60):
        if "idle" in node.ask("sinfo", "--noheader", "--format=%T"):
            return
        time.sleep(0.5)
    raise RuntimeError((node.folder / "slurmctld.log").read_text()[-2000:])


def _stop(node: SlurmNode) -> None:
    """End jobs first, then the daemons by the numbers they left; only ever one's own."""
    if (node.folder / "slurmctld.pid").exists():
        running = [str(j) for j, state in node.jobs().items() if state in {"RUNNING", "PENDING"}]
        if running:
            node.ask("scancel", *running)
            time.sleep(2)
    for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
        try:
            number = int((node.folder / name).read_text())
            os.kill(number, signal.SIGTERM)
        except (OSError, ValueError):
            continue
        for _ in range(50):
            if not Path(f"/proc/{number}").exists():
                break
            time.sleep(0.1)
