"""A real Slurm of one node on this machine, from Debian's `slurm-wlm` and `munge`: for tests and by hand.

    python tests/slurm/cluster.py /tmp/slurm    # until Ctrl-C; the line it prints lets other shells use it

It needs no systemd, no database and no right beyond the user's; everything lies in one folder, and every daemon is
stopped by its process id. The node says that it has 32 processors and two GPUs, whatever the machine has.
"""

import getpass
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
PROCESSORS = 32
START_SECONDS, STOP_SECONDS = 120, 30
CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} RealMemory=65536 Gres=gpu:2
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """What has to be installed first."""
    return [program for program in PROGRAMS if shutil.which(program, path=search_path()) is None]


def search_path() -> str:
    """Where programs are, the administrator's folders included."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class Cluster:
    """The daemons of one node; a context manager that starts and stops them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands have to be run with."""
        path = f"{self.folder}/bin{os.pathsep}{search_path()}"
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def __enter__(self) -> Self:
        try:
            self._configure()
            self.start("munged")
            _wait((self.folder / "munge.socket").exists, "munged")
            self.start("slurmctld")
            self.start("slurmd")
            _wait(self._idle, f"the node ({self.folder}/slurmctld.log, {self.folder}/slurmd.log)")
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(self, name: str) -> None:
        """Start a daemon as a child of this process."""
        options = {
            "munged": [
                *("--foreground", "--force", f"--key-file={self.folder}/munge.key"),
                *(f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid"),
                *(f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munged.seed"),
            ],
            "slurmctld": ["-D"],
            "slurmd": ["-D", "-N", platform.node().split(".")[0]],
        }
        with (self.folder / f"{name}.out").open("ab") as output:
            program = shutil.which(name, path=search_path()) or name
            self.daemons[name] = subprocess.Popen(
                [program, *options[name]], env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    def stop(self, name: str) -> None:
        """Stop a daemon, by force if it does not listen."""
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def stop_all(self) -> None:
        """Cancel all jobs, then stop what runs."""
        if "slurmctld" in self.daemons:
            self.run("scancel", "--user", getpass.getuser())
            with_jobs = time.monotonic()
            while self.run("squeue", "--noheader") and time.monotonic() - with_jobs < STOP_SECONDS:
                time.sleep(0.5)
        for name in reversed(tuple(self.daemons)):
            self.stop(name)

    def run(self, *command: str) -> str:
        """What a command of Slurm prints; empty where it fails."""
        finished = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return finished.stdout.strip() if finished.returncode == 0 else ""

    def _idle(self) -> bool:
        return self.run("sinfo", "--noheader", "--format=%T") == "idle"

    def _configure(self) -> None:
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        ports = _free_ports(2)
        content = CONFIGURATION.format(
            host=platform.node().split(".")[0],
            user=getpass.getuser(),
            folder=self.folder,
            controller_port=ports[0],
            node_port=ports[1],
            processors=PROCESSORS,
        )
        (self.folder / "slurm.conf").write_text(content, encoding="utf-8")
        # Snakemake's job step drops SLURM_CONF from the environment of srun.
        srun = self.folder / "bin/srun"
        real = shutil.which("srun", path=search_path())
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {real} "$@"\n', encoding="utf-8")
        srun.chmod(0o755)
        # Devices that exist everywhere stand for the two GPUs; jobs only get their numbers.
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n", encoding="utf-8")


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _wait(ready, what: str) -> None:
    started = time.monotonic()
    while not ready():
        if time.monotonic() - started > START_SECONDS:
            raise TimeoutError(f"{what} did not come up within {START_SECONDS} s")
        time.sleep(0.2)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    with Cluster(place) as cluster:
        print(f"export SLURM_CONF={cluster.folder}/slurm.conf PATH={cluster.environment['PATH']}", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        signal.pause()
