"""Runs by themselves: timers of the system, one turn of a job, and old runs that go."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.files import locked
from pipelines import cli
from pipelines.cli import alerts as alerts_verb
from pipelines.run import pipeline
from pipelines.run.retention import old_runs
from pipelines.schedule import job, timers
from pipelines.testing import past_run, project, quick_runs

pytestmark = pytest.mark.slow

CRONTAB = """#!/bin/sh
if [ "$1" != -l ]; then cat > "{file}"; elif [ -e "{file}" ]; then cat "{file}"
else echo "{without}" >&2; exit 1; fi
"""
ANALYZE = "/usr/bin/systemd-analyze"
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "{file}"
case "$*" in *{broken}*) echo "no bus" >&2; exit 1;; esac
"""


def command(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def cron(text) -> str:
    """As a crontab has it: a bare % ends the line."""
    return str(text).replace("%", r"\%")


@pytest.fixture
def root(tmp_path):
    return project(tmp_path / "Büro 100% groß $HOME")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Nothing but the commands that a test writes there, and a shell's own; cron may run."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(timers, "PROCESSES", tmp_path / "none")
    monkeypatch.setattr(timers.shutil, "which", lambda name: (folder / name).exists() or None)
    return folder


def test_a_crontab_line_comes_is_replaced_and_goes(root, tools, capsys):
    table = tools / "table"
    table.write_text("0 1 * * * other\n")
    command(tools, "crontab", CRONTAB.format(file=table, without=""))
    with quick_runs(root):
        for at in ("06:00", "07:30"):
            words = ["schedule", "install", str(root / "toy.yaml"), "--at", at, "--set", "seed=4"]
            assert cli.main(words) == 0
        first, ours = table.read_text().splitlines()
        assert first == "0 1 * * * other"
        assert ours.startswith("30 7 * * mon cd ")
        log = job.log_path("toy")
        assert ours.endswith(f"turn toy >>{shlex.quote(cron(log))} 2>&1 # cloudarb schedule toy")
        assert job.load("toy").set == ("seed=4",)
        assert cli.main(["schedule", "status"]) == 0
        said = capsys.readouterr().out
        assert "the log: reports/.state/schedule/toy.log\n" in said
        assert "toy: mon 07:30, by crontab\n  no turn yet\n" in said
        table.write_text("")
        assert cli.main(["schedule", "status"]) == 0
        assert "crontab does not know of it" in capsys.readouterr().out
        table.write_text(f"{first}\n{ours}\n")
        assert cli.main(["schedule", "remove", "toy"]) == 0
        assert table.read_text() == "0 1 * * * other\n"
        assert cli.main(["schedule", "remove", "toy"]) == 2
        assert "nothing named 'toy' is scheduled" in capsys.readouterr().err


@pytest.mark.parametrize(
    "without", ["no crontab for root", "crontab: can't open 'root': No such file or directory"]
)
def test_without_a_crontab_the_line_is_its_first(root, tools, without):
    table = tools / "table"
    command(tools, "crontab", CRONTAB.format(file=table, without=without))
    with quick_runs(root):
        assert cli.main(["schedule", "install", str(root / "toy.yaml")]) == 0
    assert len(table.read_text().splitlines()) == 1


def test_a_crontab_that_cannot_be_read_is_not_written(root, tools, capsys):
    table = tools / "table"
    command(tools, "crontab", CRONTAB.format(file=table, without="fopen: Permission denied"))
    with quick_runs(root):
        assert cli.main(["schedule", "install", str(root / "toy.yaml")]) == 1
        assert "crontab -l failed: fopen: Permission denied" in capsys.readouterr().err
        assert not table.exists()
        (tools / "crontab").unlink()
        with patch.dict(os.environ, {"PATH": str(tools)}):
            assert cli.main(["schedule", "status"]) == 0
    assert "toy: mon 06:00, by crontab; crontab does not answer" in capsys.readouterr().out


def test_a_crontab_that_no_daemon_reads_is_told(root, tools, tmp_path, monkeypatch, capsys):
    command(tools, "crontab", CRONTAB.format(file=tools / "table", without="no crontab for root"))
    processes = tmp_path / "processes"
    (processes / "7").mkdir(parents=True)
    monkeypatch.setattr(timers, "PROCESSES", processes)
    for name, is_told in (("bash", True), ("crond", False)):
        (processes / "7/comm").write_text(f"{name}\n")
        with quick_runs(root):
            assert cli.main(["schedule", "install", str(root / "toy.yaml")]) == 0
            assert cli.main(["schedule", "status"]) == 0
        assert capsys.readouterr().out.count("no cron daemon runs") == 2 * is_told


def test_another_timer_takes_the_place_of_the_one_before(root, tools):
    table = tools / "table"
    command(tools, "crontab", CRONTAB.format(file=table, without="no crontab for root"))
    command(tools, "systemctl", SYSTEMCTL.format(file=tools / "calls", broken="nothing"))
    words = ["schedule", "install", str(root / "toy.yaml"), "--timer"]
    with quick_runs(root):
        assert cli.main([*words, "crontab"]) == 0
        assert cli.main([*words, "systemd"]) == 0
        assert table.read_text() == ""
        assert job.load("toy").timer == "systemd"
        assert cli.main([*words, "crontab"]) == 0
    assert "disable --now cloudarb-toy.timer" in (tools / "calls").read_text()
    assert len(table.read_text().splitlines()) == 1


def test_a_crontab_line_says_the_same_to_a_shell(root, tools):
    """Cron passes what follows the time to a shell, a backslash before each percent sign aside."""
    planned = job.Job("toy", "c.yaml", (), "", 3, "daily", "06:05", "crontab")
    with quick_runs(root):
        line = timers.crontab_line(planned)
    _, _, _, _, _, text = line.split(" ", 5)
    tell = """sh -c 'pwd; echo "$CLOUDARB_HOME"'"""
    text = text.replace(r"\%", "%").replace(shlex.join(planned.words), tell)
    with quick_runs(root):
        log = job.log_path("toy")
    log.parent.mkdir(parents=True)
    said = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True)
    assert log.read_text().splitlines() == [str(root), str(root)], said.stderr


@pytest.fixture
def verified(tmp_path):
    """A call returns what systemd finds fault with in the units of a folder."""
    if not Path(ANALYZE).exists():
        pytest.skip("no systemd: apt-get install systemd")

    def verify(folder: Path) -> str:
        command = [ANALYZE, "--user", "verify", *map(str, sorted(folder.iterdir()))]
        own = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        return subprocess.run(command, env=own, capture_output=True, text=True).stderr

    return verify


@pytest.mark.parametrize("weekday", timers.WEEKDAYS)
def test_systemd_finds_no_fault_with_the_units(root, tmp_path, verified, weekday):
    planned = job.Job("toy", "c.yaml", (), "", 3, weekday, "06:05", "systemd")
    folder = tmp_path / "units"
    folder.mkdir()
    with quick_runs(root):
        for name, unit in timers.units(planned).items():
            (folder / name).write_text(unit)
    assert verified(folder) == ""
    timer = folder / "cloudarb-toy.timer"
    (when,) = [line for line in timer.read_text().splitlines() if "OnCalendar=" in line]
    turns = [ANALYZE, "calendar", "--iterations=2", when.partition("=")[2]]
    told = subprocess.run(turns, capture_output=True, text=True).stdout
    days = [line.split(": ")[1][:3].lower() for line in told.splitlines() if "06:05:00 UTC" in line]
    assert len(days) == 3, told
    assert weekday == "daily" or set(days) == {weekday}
    timer.write_text(timer.read_text().replace("UTC", "noon"))
    assert "Failed to parse calendar specification" in verified(folder)


def test_a_systemd_timer_comes_and_goes(root, tools, tmp_path, capsys):
    command(tools, "systemctl", SYSTEMCTL.format(file=tools / "calls", broken="nothing"))
    with quick_runs(root):
        assert cli.main(["schedule", "install", str(root / "toy.yaml"), "--weekday", "fri"]) == 0
        folder = tmp_path / "config/systemd/user"
        timer = (folder / "cloudarb-toy.timer").read_text()
        service = (folder / "cloudarb-toy.service").read_text()
        assert "OnCalendar=Fri *-*-* 06:00:00 UTC" in timer
        assert "Büro 100%% groß $HOME" in service, "systemd reads % as the start of a name"
        assert f'ExecStart="{sys.executable}" "-m" "pipelines.cli" "schedule" "turn"' in service
        assert cli.main(["schedule", "remove", "toy"]) == 0
        assert not list(folder.iterdir())
    calls = (tools / "calls").read_text()
    assert "--user enable --now cloudarb-toy.timer" in calls
    assert "--user disable --now cloudarb-toy.timer" in calls


def test_a_machine_without_a_timer_is_told_the_way_out(root, tools, capsys):
    words = ["schedule", "install", str(root / "toy.yaml")]
    with quick_runs(root):
        assert cli.main(words) == 1
        assert "neither systemd for users nor crontab" in capsys.readouterr().err
        command(tools, "systemctl", SYSTEMCTL.format(file=tools / "calls", broken="enable"))
        assert cli.main(words) == 1
        assert "failed: no bus" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--at", "6"], "--at is '6'"),
        (["--at", "24:00"], "--at is '24:00'"),
        (["--weekday", "monday"], "--weekday is 'monday'"),
        (["--set", "sede=3"], "did you mean 'seed'"),
        (["--alerts", "none.yaml"], "no file none.yaml"),
        (["--timer", "at"], "'at' is not one of"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_first(root, tools, words, told, capsys):
    command(tools, "crontab", CRONTAB.format(file=tools / "table", without=""))
    with quick_runs(root):
        assert cli.main(["schedule", "install", str(root / "toy.yaml"), *words]) == 2
        assert told in capsys.readouterr().err
        assert not (tools / "table").exists()
        assert job.jobs() == []


@pytest.fixture
def planned(root):
    return job.Job(
        "toy", str(root / "toy.yaml"), ("seed=5",), "rules", 1, "mon", "06:00", "crontab"
    )


def test_a_turn_runs_looks_at_alerts_and_removes_old_runs(root, planned):
    reports = root / "reports"
    past_run(reports, "toy-old", "2020-01-01T00:00:00+00:00", {}, name="toy", title="Toy")
    looked = patch.object(alerts_verb, "alerts", lambda path: print(f"rules at {path}") or 9)
    with quick_runs(root), looked:
        job.save(planned)
        (root / "secrets.env").write_text("# for the chat\nHOOK=x=y\n")
        (root / "secrets.env").chmod(0o600)
        with patch.dict(os.environ):
            assert cli.main(["schedule", "turn", "toy"]) == 9
            assert os.environ["HOOK"] == "x=y"
        log = job.log_path("toy").read_text()
        last = job.last_turn("toy")
    assert last["codes"] == {"secrets": 0, "run": 0, "alerts": 9, "prune": 0}
    assert "the newest observation on record" in log
    assert "rules at rules" in log
    assert "removed toy-old" in log
    assert "x=y" not in log
    (manifest,) = reports.glob("*/manifest.json")
    assert json.loads(manifest.read_text())["config"]["seed"] == 5
    assert "toy-old" not in (reports / "index.html").read_text()


def test_a_step_that_breaks_does_not_stop_the_others(root, planned):
    broken = patch.object(pipeline, "run", side_effect=ParameterError("no prices.", "Get some."))
    with quick_runs(root), broken, patch.object(alerts_verb, "alerts", lambda path: 0):
        job.save(planned)
        assert cli.main(["schedule", "turn", "toy"]) == 2
        assert "ParameterError: no prices. Way out: Get some." in job.log_path("toy").read_text()
        assert job.last_turn("toy")["codes"] == {"run": 2, "alerts": 0, "prune": 0}


def test_secrets_that_others_may_read_stand_in_the_log_and_the_run_is_made(root, planned):
    with quick_runs(root), patch.object(alerts_verb, "alerts", lambda path: 0):
        job.save(planned)
        (root / "secrets.env").write_text("HOOK=x\n")
        (root / "secrets.env").chmod(0o644)
        assert cli.main(["schedule", "turn", "toy"]) == 2
        assert "others may read secrets.env" in job.log_path("toy").read_text()
        assert job.last_turn("toy")["codes"] == {"secrets": 2, "run": 0, "alerts": 0, "prune": 0}


def test_a_turn_that_goes_on_or_was_killed_is_told(root, planned, capsys):
    class Killed(BaseException):
        """Like SIGKILL: nothing after it is done."""

    def killed():
        assert cli.main(["schedule", "status"]) == 0
        raise Killed

    with quick_runs(root), patch.object(timers, "fault_of", lambda _: ""):
        job.save(planned)
        with pytest.raises(Killed):
            job.turn(planned, {"run": killed})
        assert "a turn began" in job.log_path("toy").read_text()
        assert cli.main(["schedule", "status"]) == 0
    assert ": it goes on, or was killed" in capsys.readouterr().out


def test_one_turn_at_a_time(root, planned, capsys):
    with quick_runs(root):
        job.save(planned)
        lock = job.folder() / "toy.lock"
        with locked(lock, ParameterError, "it"):
            assert cli.main(["schedule", "turn", "toy"]) == 2
        assert "schedule toy is in use already" in capsys.readouterr().err
        assert job.last_turn("toy") is None


def test_a_log_does_not_grow_for_ever(root, planned, monkeypatch):
    monkeypatch.setattr(job, "LOG_BYTES", 10)
    with quick_runs(root):
        for _ in range(3):
            job.turn(planned, {"step": lambda: 0})
        path = job.log_path("toy")
        assert path.read_text().count("exit code 0") == 1
        assert path.with_suffix(".log.1").exists()


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [("A=b\n", 0o644, "others may read"), ("A b\n", 0o600, "line 1"), ("=b\n", 0o600, "line 1")],
)
def test_secrets_that_are_not_kept_are_refused(tmp_path, text, mode, told):
    path = tmp_path / "secrets.env"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ParameterError, match=told):
        job.read_secrets(path)
    assert job.read_secrets(tmp_path / "none") == {}


def test_old_runs_go_and_what_is_needed_stays(tmp_path, capsys):
    for day in range(1, 6):
        status = "succeeded" if day == 2 else "failed"
        ended = f"2026-01-0{day}T00:00:00+00:00"
        past_run(tmp_path, f"weekly-{day}", ended, {}, status=status)
    past_run(tmp_path, "daily-1", "2020-01-01T00:00:00+00:00", {})
    assert old_runs(tmp_path, 2) == ["weekly-1", "weekly-3"]
    words = ["prune", "--reports", str(tmp_path), "--keep"]
    with patch("pipelines.report.pages.write_index"):
        assert cli.main([*words, "2", "--dry-run"]) == 0
        said = capsys.readouterr().out
        assert "would remove weekly-3" in said
        assert "older than the newest 2: 2 runs" in said
        with locked(tmp_path / ".state/weekly-1/lock", ParameterError, "it"):
            assert cli.main([*words, "2"]) == 0
    said = capsys.readouterr().out
    assert "in use: weekly-1" in said
    assert "removed weekly-3" in said
    left = {path.parent.name for path in tmp_path.glob("*/manifest.json")}
    assert left == {"weekly-1", "weekly-2", "weekly-4", "weekly-5", "daily-1"}
    assert not list((tmp_path / ".state").glob(".going*"))
    assert cli.main([*words, "0"]) == 2


def test_of_each_run_of_a_set_the_newest_stay(tmp_path):
    for week in range(1, 4):
        for budget in (1, 2, 3):
            ended = f"2026-01-0{week}T0{budget}:00:00+00:00"
            title = f"Weekly (budget ${budget})"
            past_run(tmp_path, f"weekly-{week}{budget}", ended, {}, title=title)
    assert old_runs(tmp_path, 2) == ["weekly-11", "weekly-12", "weekly-13"]
    assert old_runs(tmp_path, 2, "daily") == []
