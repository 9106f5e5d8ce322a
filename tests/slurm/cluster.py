"""A SLURM cluster on this machine alone: munge, slurmctld and slurmd of Debian's packages, all in one folder.

Its ports, key and state are its own, so several run beside each other, and beside an installed one. It keeps no
accounts: `sacct` is docs/sacct, as for users whose cluster keeps none either.
"""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.running import ROOT

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
SBIN = "/usr/sbin:/sbin"  # where Debian has the first three, and not every PATH
CONF = """
ClusterName=llcx
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
AuthType=auth/munge
CredType=cred/munge
# A job that is queued again waits for its old credential to expire: 120 s by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
# No cgroups, which a container may not have.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Else the first job has all memory.
DefMemPerCPU=512
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5,sched_min_interval=0
ReturnToService=2
JobRequeue=1
KillWait=2
MinJobAge=300
GresTypes=gpu
# More processors than there are: the jobs of tests mostly wait.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
# A job in `urgent` takes the place of those in `debug`, which are told, and have 4 s.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=2
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something; AssertionError says `what` after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)


class Cluster:
    """One node with `cpus` processors and two GPUs that are none; a context that starts and stops it."""

    def __init__(self, folder: Path, cpus: int = 8) -> None:
        self.folder, self.cpus = folder, cpus
        self._daemons: list[subprocess.Popen[bytes]] = []
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
        path = f"{ROOT / 'docs'}:{ours['PATH']}:{SBIN}"
        self.environment = ours | {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf"), "OMP_NUM_THREADS": "1"}

    @staticmethod
    def missing() -> list[str]:
        """Programs that this machine lacks."""
        path = f"{os.environ['PATH']}:{SBIN}"
        return [name for name in PROGRAMS if shutil.which(name, path=path) is None]

    def __enter__(self) -> "Cluster":
        self._configure()
        key, socket_ = self.folder / "munge.key", self.folder / "munge.socket"
        files = (f"--{name}-file={self.folder / f'munged.{name}'}" for name in ("pid", "log", "seed"))
        try:
            self._start("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_}", *files)
            until(socket_.exists, 20, "munged")
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D")
            until(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T", check=False), 30, "a node")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.clear()
        finally:
            self._stop()

    def clear(self) -> None:
        """Kill all jobs."""
        mine = f"--user={getpass.getuser()}"
        self.ask("scancel", "--quiet", "--full", "--signal=KILL", mine, check=False)
        self.ask("scancel", "--quiet", mine, check=False)
        until(lambda: not self.ask("squeue", "-h", check=False).strip(), 15, "jobs to end")

    def ask(self, *words: str, check: bool = True) -> str:
        """What a client says; CalledProcessError where it failed, unless not `check`.

        It would try for minutes where slurmctld is gone: this raises AssertionError then, or after 10 s.
        """
        gone = [daemon.args for daemon in self._daemons if daemon.poll() is not None]
        assert not gone, f"ended, see {self.folder}: {gone}"
        try:
            return subprocess.run(
                words, env=self.environment, cwd=ROOT, timeout=10, check=check, text=True, stdout=subprocess.PIPE
            ).stdout
        except subprocess.TimeoutExpired:
            assert not check, f"no answer to {words}"
            return ""

    def job(self, number: str) -> dict[str, str]:
        """What the scheduler knows of a job: JobState, Partition, Restarts..."""
        words = self.ask("scontrol", "-o", "show", "job", number).split()
        return {key: value for key, _, value in (word.partition("=") for word in words)}

    def _configure(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        seen = dict(word.partition("=")[::2] for word in self._hardware().split())
        about = {"host": seen["NodeName"], "memory": seen["RealMemory"], "user": getpass.getuser(), "cpus": self.cpus}
        text = CONF.format(folder=self.folder, ports=free_ports(), **about)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")

    def _hardware(self) -> str:
        return subprocess.run(
            ["slurmd", "-C"], env=self.environment, timeout=10, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    def _start(self, program: str, *words: str) -> None:
        """A daemon as a child of ours, which a signal for our process group does not reach: `clear` needs it."""
        with (self.folder / f"{program}.out").open("wb") as out:
            command = [program, *words]
            daemon = subprocess.Popen(command, env=self.environment, stdout=out, stderr=out, start_new_session=True)
            self._daemons.append(daemon)

    def _stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens at."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
