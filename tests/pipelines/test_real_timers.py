"""A schedule that cron, and systemd, start: real daemons, in a namespace of mounts of their own.

Nothing of the machine's own crontab, jobs or units is seen or changed there.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.store import open_snapshot
from pipelines.run.stages import STAGES
from pipelines.testing import CONFIG, toy_stage

SYSTEMD = Path("/lib/systemd/systemd")
CRON = """
mount -t tmpfs none /var/spool/cron
mkdir /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs
chmod 1730 /var/spool/cron/crontabs
mount -t tmpfs none /etc/cron.d
mount --bind /dev/null /etc/crontab
mount -t tmpfs none /run
echo '0 0 1 1 * echo 100 \\% mine' | crontab -
cron -f &
timer=crontab
at=$(date -d '+75 seconds' +%H:%M)
"""
USER_MANAGER = f"""
mount -t tmpfs none /run
mkdir -p /run/systemd/system /run/user/0 "$PWD/someone"
chmod 700 /run/user/0
export XDG_RUNTIME_DIR=/run/user/0 HOME="$PWD/someone"
env -i HOME="$HOME" XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR PATH=/usr/bin:/bin {SYSTEMD} --user &
timer=systemd
at=$(date -u -d '+75 seconds' +%H:%M)
until systemctl --user show-environment >/dev/null; do sleep 1; done
"""
PATIENCE_S = 240
A_TURN = f"""
cloudarb() {{ {shlex.quote(sys.executable)} -m pipelines.cli "$@"; }}
cloudarb schedule install toy.yaml --weekday daily --at $at --timer $timer --set seed=5
cloudarb schedule status
last=reports/.state/schedule/toy.last.json
for second in $(seq {PATIENCE_S}); do
  sleep 1
  grep -qs '"ended_at": "' $last && break
done
cloudarb schedule status
cloudarb schedule remove toy
"""


def checkout(root: Path) -> Path:
    """Make a checkout of the program as it stands, whose notebooks are quick."""
    open_snapshot().close()  # builds the store, if need be
    for part in ("cloudarb_lib", "pipelines"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(locations.bundled() / part, root / part, ignore=unwanted)
    shutil.copy(locations.bundled() / "pyproject.toml", root)
    (root / "data").symlink_to(locations.data())
    for stage in STAGES:
        toy_stage(root, stage)
    (root / "toy.yaml").write_text(CONFIG)
    return root


@pytest.fixture
def root(tmp_path):
    return checkout(tmp_path / "Büro 100% groß $HOME")


def alone(script: str, root: Path) -> str:
    """Carry out a script as root with mounts and processes of its own; return what it printed."""
    unshare = ["unshare", "--mount", "--cgroup", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("mounts of one's own are not allowed here: root alone may have them")
    inherited = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [*unshare, "sh", "-euc", script],
        cwd=root,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_turn(root: Path, printed: str) -> None:
    """Hold a turn that a timer has started against what it must leave."""
    log = (root / "reports/.state/schedule/toy.log").read_text()
    assert "exit codes: run 0, prune 0" in printed, log
    assert "toy is scheduled no more" in printed
    assert "05_summary          succeeded" in log
    (run,) = (root / "reports").glob("toy-*/index.html")
    assert '"seed": 5' in (run.parent / "manifest.json").read_text()


@pytest.mark.kernel
@pytest.mark.long
@pytest.mark.skipif(not Path("/usr/sbin/cron").exists(), reason="no cron: apt-get install cron")
def test_cron_starts_a_turn(root):
    printed = alone(f"{CRON}{A_TURN}crontab -l", root)
    assert "by crontab\n" in printed, "the daemon is seen"
    check_turn(root, printed)
    assert printed.splitlines()[-1] == r"0 0 1 1 * echo 100 \% mine", "others' lines stay"


@pytest.mark.kernel
@pytest.mark.long
@pytest.mark.skipif(not SYSTEMD.exists(), reason="no systemd: apt-get install systemd")
def test_a_user_manager_of_systemd_starts_a_turn(root):
    printed = alone(f"{USER_MANAGER}{A_TURN}find $HOME/.config -type f | wc -l", root)
    check_turn(root, printed)
    assert printed.splitlines()[-1] == "0", "no unit stays"
