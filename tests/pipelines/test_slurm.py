"""Runs and forecasts through Slurm itself: daemons of its own on this machine, no accounting.

The settings and the status command are those of docs/clusters.md.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudarb_lib.testing import panel_of_regions
from pipelines.exit_codes import NOTEBOOK_ERROR, STOPPED
from pipelines.shards.forecast import Asked, forecast_in_shards
from pipelines.testing import (
    LAST_OF_THREE,
    THREE_STAGES,
    finish,
    manifest,
    start,
    tables_of,
    three_stages,
    toy_stage,
)

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol")
SBIN = "/usr/sbin"
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:{SBIN}")]
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.long,
    pytest.mark.skipif(
        bool(MISSING), reason=f"no {', '.join(MISSING)}: apt-get install slurm-wlm munge"
    ),
]
PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
SETTINGS = """
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
MailProg=/bin/true
MpiDefault=none
KillWait=5
MinJobAge={forgets_after_s}
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=32000
PartitionName=all Nodes={host} Default=YES State=UP
"""


def free_ports() -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def block_of(page: str, language: str) -> str:
    """Return the first piece of code of a page in a language."""
    return page.partition(f"```{language}\n")[2].partition("```")[0]


class Slurm:
    """A controller and a node of four cores on this machine, and the profile that uses them."""

    def __init__(self, folder: Path, forgets_after_s: int) -> None:
        self.folder = folder
        for name in ("state", "spool", "profile"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        host = socket.gethostname().partition(".")[0]
        settings = SETTINGS.format(
            folder=folder, host=host, ports=free_ports(), forgets_after_s=forgets_after_s
        )
        (folder / "slurm.conf").write_text(settings)
        page = PAGE.read_text(encoding="utf-8").replace("/shared/slurm", str(folder / "profile"))
        (folder / "profile/config.yaml").write_text(block_of(page, "yaml"))
        status = folder / "profile/status"
        status.write_text(block_of(page, "sh"))
        status.chmod(0o755)

    def commands(self) -> list[list[str]]:
        """Return what starts its daemons, in the foreground."""
        options = {
            "socket": "munge.socket",
            "key-file": "munge.key",
            "log-file": "munge.log",
            "pid-file": "munge.pid",
            "seed-file": "munge.seed",
        }
        munge = [f"--{name}={self.folder / file}" for name, file in options.items()]
        return [
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D"],
            ["slurmd", "-D"],
        ]

    def asked(self, *words: str) -> str:
        """Return what one of its commands prints."""
        return subprocess.run(words, capture_output=True, text=True, timeout=30).stdout

    def status(self, number: str) -> str:
        """Return what the page's command says of a job."""
        return self.asked(str(self.folder / "profile/status"), number).strip()

    def states(self) -> list[str]:
        """Return how each job ended, or where it is."""
        jobs = self.asked("scontrol", "--oneliner", "show", "job").splitlines()
        return [line.partition("JobState=")[2].partition(" ")[0] for line in jobs]


@pytest.fixture
def slurm(request, tmp_path, monkeypatch) -> Iterator[Slurm]:
    if os.geteuid():
        pytest.skip("slurmd starts jobs as root alone")
    made = Slurm(tmp_path, getattr(request, "param", 300))
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{SBIN}")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path / "profile"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemons = [subprocess.Popen(command, **quiet) for command in made.commands()]
    try:
        until = time.monotonic() + 60
        while "idle" not in made.asked("sinfo", "--noheader", "--format=%T"):
            assert time.monotonic() < until, (tmp_path / "slurmctld.log").read_text()
            time.sleep(0.5)
        yield made
    finally:
        made.asked("scancel", "--signal=KILL", "--full", "--partition=all")
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)


def test_a_run_goes_through_slurm(slurm, tmp_path, monkeypatch):
    root = three_stages(tmp_path / "Büro 100%")
    code, said = finish(root, "--cores", "2", before=THREE_STAGES)
    assert code == 0, said
    assert slurm.states() == ["COMPLETED"] * 3
    monkeypatch.delenv("SNAKEMAKE_PROFILE")
    here = three_stages(tmp_path / "here")
    assert finish(here, before=THREE_STAGES)[0] == 0
    assert tables_of(root) == tables_of(here)


def test_a_forecast_in_shards_goes_through_slurm(slurm, tmp_path, monkeypatch):
    asked = Asked(horizon_steps=4, n_paths=40, seed=3, blocks=2, shares=2)
    found = []
    for folder in ("by slurm", "here"):
        tables = forecast_in_shards(panel_of_regions(), tmp_path / folder, asked, cores=2)
        found.append({table.name: table.read_bytes() for table in tables})
        monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    assert slurm.states() == ["COMPLETED"] * 5
    assert found[0] == found[1]


def test_a_notebook_that_fails_is_told(slurm, tmp_path):
    root = three_stages(tmp_path / "project")
    toy_stage(root, LAST_OF_THREE, "raise ValueError('no such region')")
    code, said = finish(root, "--cores", "2", before=THREE_STAGES)
    assert code == NOTEBOOK_ERROR, said
    assert sorted(slurm.states()) == ["COMPLETED", "COMPLETED", "FAILED"]


def test_a_run_that_is_stopped_cancels_its_job(slurm, tmp_path):
    root = three_stages(tmp_path / "project")
    toy_stage(root, LAST_OF_THREE, "import time\ntime.sleep(300)")
    running = start(root, before=THREE_STAGES)
    until = time.monotonic() + 120
    while sorted(slurm.states()) != ["COMPLETED", "COMPLETED", "RUNNING"]:
        assert time.monotonic() < until
        time.sleep(1)
    time.sleep(5)  # the notebook runs, not only its job
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=90)
    assert running.returncode == STOPPED, said
    while "RUNNING" in slurm.states() or "COMPLETING" in slurm.states():
        assert time.monotonic() < until
        time.sleep(1)
    assert sorted(slurm.states()) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    assert manifest(root)["notebooks"][LAST_OF_THREE]["status"] == "stopped"


@pytest.mark.parametrize("slurm", [2], indirect=True)
def test_a_job_that_slurm_has_forgotten_is_waited_for_no_more(slurm):
    number = slurm.asked("sbatch", "--parsable", "--output=/dev/null", "--wrap", "true").strip()
    assert slurm.status(number) in ("running", "success")
    until = time.monotonic() + 180
    while slurm.status(number) != "failed":
        assert time.monotonic() < until
        time.sleep(2)
    assert (
        "Invalid job id"
        in subprocess.run(
            ["scontrol", "show", "job", number], capture_output=True, text=True
        ).stderr
    )
