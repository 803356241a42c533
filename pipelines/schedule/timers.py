"""Timers of the system that start a job: systemd's for a user, or lines of a crontab."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import CloudArbError, ParameterError
from pipelines.run.files import write_text
from pipelines.schedule.job import Job, log_path

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "daily")
_WAIT_S = 20.0
_NO_CRONTAB = "no crontab for|can't open .*: No such file"
"""What crontab -l says where there is none: Debian and Fedora, and busybox."""
PROCESSES = Path("/proc")
"""Where the system lists processes, a folder each."""
_CRON_DAEMONS = ("cron", "crond", "fcron", "busybox")


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
        lingering = "loginctl enable-linger lets it run while you are logged out"
        return f"systemd timer cloudarb-{job.name}.timer; {lingering}"
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


def fault_of(job: Job) -> str:
    """Say why the system will not start a job; '' where it will."""
    try:
        if not _is_installed(job):
            return f"{job.timer} does not know of it"
    except TimerError as fault:
        return fault.what
    if job.timer == "crontab" and not _cron_runs():
        return "no cron daemon runs on this machine, so nothing starts it"
    return ""


def _is_installed(job: Job) -> bool:
    """Say whether the system still knows of a job."""
    if job.timer == "crontab":
        return len(_other_lines(job.name)) < len(_crontab_lines())
    return _answers(["systemctl", "--user", "is-enabled", f"cloudarb-{job.name}.timer"])


def _cron_runs() -> bool:
    """Say whether a cron daemon runs; where processes cannot be listed, that it does."""
    names = []
    for file in PROCESSES.glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            names.append(file.read_text().strip())
    return not names or any(name in _CRON_DAEMONS for name in names)


def crontab_line(job: Job) -> str:
    """Return the line of a crontab, in the machine's own time, with the mark that tells it.

    What cannot be said in the log of a turn, such as why none began, goes to the log's end too:
    cron would mail it, and few machines have a mail server.
    """
    hour, minute = job.at.split(":")
    day = "*" if job.weekday == "daily" else job.weekday
    home = f"{locations.HOME_VARIABLE}={shlex.quote(str(locations.home()))}"
    start = f"{home} {shlex.join(job.words)} >>{shlex.quote(str(log_path(job.name)))} 2>&1"
    command = f"cd {shlex.quote(str(locations.home()))} && {start}"
    escaped = command.replace("%", r"\%")  # cron reads a bare % as the end of the line
    return f"{int(minute)} {int(hour)} * * {day} {escaped} {_mark(job.name)}"


def units(job: Job) -> dict[str, str]:
    """Return the files of a systemd timer by name: when (in UTC), and what."""
    day = "" if job.weekday == "daily" else f"{job.weekday.title()} "
    start = " ".join(_quoted(word).replace("$", "$$") for word in job.words)
    service = (
        f"[Unit]\nDescription=CloudArb {job.name}\n\n[Service]\nType=oneshot\n"
        f"WorkingDirectory={str(locations.home()).replace('%', '%%')}\n"
        f"Environment={_quoted(f'{locations.HOME_VARIABLE}={locations.home()}')}\n"
        f"ExecStart={start}\n"
    )
    timer = (
        f"[Unit]\nDescription=When CloudArb {job.name} runs\n\n[Timer]\n"
        f"OnCalendar={day}*-*-* {job.at}:00 UTC\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    return {f"cloudarb-{job.name}.service": service, f"cloudarb-{job.name}.timer": timer}


def _quoted(word: str) -> str:
    """Return a word as systemd reads it whole; what begins with $ it replaces in commands alone."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
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
    """Return the lines of the user's crontab; none where there is no crontab yet.

    Raises
    ------
    TimerError
        Where they cannot be read: to write ours alone would lose the others.
    """
    try:
        return _told(["crontab", "-l"]).splitlines()
    except TimerError as fault:
        if re.search(_NO_CRONTAB, fault.what):
            return []
        raise


def _write_crontab(lines: list[str]) -> None:
    _told(["crontab", "-"], "".join(f"{line}\n" for line in lines))


def _told(command: list[str], text: str = "") -> str:
    """Carry out a command of the system and return what it printed; TimerError where it fails."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_WAIT_S)
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise TimerError(
            f"{command[0]} does not answer: {cause}.", "Mend it, try again."
        ) from cause
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise TimerError(f"{' '.join(command[:3])} failed: {said}.", "Mend it, and try again.")
    return done.stdout


def _answers(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=_WAIT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
