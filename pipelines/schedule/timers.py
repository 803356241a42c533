"""Timers of the system that start a job: systemd's for a user, or lines of a crontab."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import CloudArbError, ParameterError
from pipelines.run.files import write_text
from pipelines.schedule.job import Job

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "daily")
_WAIT_S = 20.0


class TimerError(CloudArbError):
    """The system's timer does not do as it is told."""


def check_time(weekday: str, at: str) -> None:
    """Refuse what is no time of a week."""
    if weekday not in WEEKDAYS:
        raise ParameterError(f"--weekday is {weekday!r}.", f"Use {', '.join(WEEKDAYS)}.")
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
        raise ParameterError(f"--at is {at!r}.", "Write it as 06:00.")


def found_timer() -> str:
    """Return which timer this machine has.

    Raises
    ------
    TimerError
        Where it has none.
    """
    if shutil.which("systemctl") and _answers(["systemctl", "--user", "show-environment"]):
        return "systemd"
    if shutil.which("crontab"):
        return "crontab"
    raise TimerError(
        "neither systemd for users nor crontab is there to start a schedule.",
        "Install cron, or let another scheduler start cloudarb run CONFIG --set as_of=latest.",
    )


def install(job: Job) -> str:
    """Let the system start a job, in place of an earlier one of its name; say what was set up."""
    if job.timer == "systemd":
        for name, text in units(job).items():
            write_text(_unit_folder() / name, text)
        _told(["systemctl", "--user", "daemon-reload"])
        _told(["systemctl", "--user", "enable", "--now", f"cloudarb-{job.name}.timer"])
        return f"systemd timer cloudarb-{job.name}.timer"
    _write_crontab([*_other_lines(job.name), crontab_line(job)])
    return f"crontab line: {crontab_line(job)}"


def remove(job: Job) -> None:
    """Let the system start a job no more."""
    if job.timer == "crontab":
        _write_crontab(_other_lines(job.name))
        return
    _told(["systemctl", "--user", "disable", "--now", f"cloudarb-{job.name}.timer"])
    for name in units(job):
        (_unit_folder() / name).unlink(missing_ok=True)
    _told(["systemctl", "--user", "daemon-reload"])


def is_installed(job: Job) -> bool:
    """Say whether the system still knows of a job."""
    if job.timer == "crontab":
        return len(_other_lines(job.name)) < len(_crontab_lines())
    return _answers(["systemctl", "--user", "is-enabled", f"cloudarb-{job.name}.timer"])


def crontab_line(job: Job) -> str:
    """Return the line of a crontab, in the machine's own time, with the mark that tells it."""
    hour, minute = job.at.split(":")
    day = "*" if job.weekday == "daily" else job.weekday
    home = f"{locations.HOME_VARIABLE}={shlex.quote(str(locations.home()))}"
    command = f"cd {shlex.quote(str(locations.home()))} && {home} {shlex.join(job.words)}"
    escaped = command.replace("%", r"\%")  # cron reads a bare % as the end of the line
    return f"{int(minute)} {int(hour)} * * {day} {escaped} >/dev/null 2>&1 {_mark(job.name)}"


def units(job: Job) -> dict[str, str]:
    """Return the files of a systemd timer by name: when (in UTC), and what."""
    day = "" if job.weekday == "daily" else f"{job.weekday.title()} "
    service = (
        f"[Unit]\nDescription=CloudArb {job.name}\n\n[Service]\nType=oneshot\n"
        f"WorkingDirectory={str(locations.home()).replace('%', '%%')}\n"
        f"Environment={_quoted(f'{locations.HOME_VARIABLE}={locations.home()}')}\n"
        f"ExecStart={' '.join(map(_quoted, job.words))}\n"
    )
    timer = (
        f"[Unit]\nDescription=When CloudArb {job.name} runs\n\n[Timer]\n"
        f"OnCalendar={day}*-*-* {job.at}:00 UTC\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    return {f"cloudarb-{job.name}.service": service, f"cloudarb-{job.name}.timer": timer}


def _quoted(word: str) -> str:
    """Return a word as systemd reads it whole."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _unit_folder() -> Path:
    chosen = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(chosen) / "systemd" / "user"


def _mark(name: str) -> str:
    return f"# cloudarb schedule {name}"


def _other_lines(name: str) -> list[str]:
    """Return the lines of the crontab that are not ours."""
    return [line for line in _crontab_lines() if not line.endswith(_mark(name))]


def _crontab_lines() -> list[str]:
    """Return the lines of the user's crontab; none where there is no crontab yet."""
    shown = subprocess.run(["crontab", "-l"], capture_output=True, text=True, timeout=_WAIT_S)
    return shown.stdout.splitlines() if shown.returncode == 0 else []


def _write_crontab(lines: list[str]) -> None:
    _told(["crontab", "-"], "".join(f"{line}\n" for line in lines))


def _told(command: list[str], text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_WAIT_S)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise TimerError(f"{' '.join(command[:3])} failed: {said}.", "Mend it, and try again.")


def _answers(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=_WAIT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
