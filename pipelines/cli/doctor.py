"""``cloudarb doctor``: what a run needs, looked at one by one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import CloudArbError
from pipelines.cli.live import EndpointOption, endpoints_of, environment, utc_now
from pipelines.cli.options import StoreOption
from pipelines.exit_codes import DONE, UNFORESEEN

Finding = tuple[str, str, str]
"""Level (ok, warn or fail), what was found, and the way out ('' where none is needed)."""
INSTALL = "Run make report, which sets the environment up; or pip install -r requirements.lock."
"""The way out where Python or a package is not what it should be."""
_DISK_GIB = 1.0
_FRESH_DAYS = 14


def doctor(
    live: Annotated[
        bool, typer.Option("--live", help="ask each live service something small, nothing else")
    ] = False,
    endpoint: EndpointOption = None,
    store: StoreOption = "",
) -> int:
    """Is everything in place? What to do if not.

    Looks at Python, packages, store, configurations, notebooks, disk and folders, lets each solver
    solve and each member of the forecast load, and looks for a browser and at what is scheduled: a
    line each, ok, warn or fail, with the way out. With --live it asks the service of each feed of
    cloudarb collect whether it answers as documented; until it did, the summary of collect calls
    the feed unverified.
    """
    levels = set()
    for level, what, way_out in probe_services(endpoint, store) if live else examine():
        levels.add(level)
        print(f"{level:<5} {what}" + (f"\n      -> {way_out}" if way_out else ""), flush=True)
    print("not usable: see fail above" if "fail" in levels else "usable")
    return UNFORESEEN if "fail" in levels else DONE


def examine() -> Iterator[Finding]:
    """Yield what was found, check by check; a check that itself breaks is a fail."""
    checks = {
        "packages": _packages,
        "store": _store,
        "configurations": _configurations,
        "room": _room,
        "solvers": solvers,
        "members": members,
        "browser": browser,
        "schedule": schedule,
    }
    for name, check in checks.items():
        try:
            yield from check()
        except CloudArbError as fault:
            yield "fail", fault.what, fault.way_out
        except Exception as fault:
            yield "fail", f"{name}: {type(fault).__name__}: {fault}", INSTALL


def probe_services(endpoint: Sequence[str] | None, store: str) -> Iterator[Finding]:
    """Yield what each live service answered, and note in the journal which one answered well."""
    from cloudarb_lib.live.collect import opened
    from cloudarb_lib.live.probing import probe
    from cloudarb_lib.live.registry import registered

    endpoints = endpoints_of(endpoint)
    probes = probe(registered(), clock=utc_now, endpoints=endpoints, environment=environment())
    with opened(store, [], clock=utc_now) as collector:
        for one in probes:
            if one.missing:
                yield "warn", f"{one.feed}: not asked", f"It needs {one.missing}."
            elif one.error is not None:
                yield "fail", f"{one.feed}: {one.error.what}", one.error.way_out
            else:
                yield "ok", f"{one.feed}: {one.found}", ""
                if one.feed not in endpoints:  # a mirror or a test says nothing of the service
                    collector.journal.verify(one.feed, one.found, utc_now())


def _finding(good: bool, what: str, way_out: str, level_if_not: str = "fail") -> Finding:
    return ("ok", what, "") if good else (level_if_not, what, way_out)


def _packages() -> Iterator[Finding]:
    """Compare Python, and the packages that the project asks for itself, with the lock."""
    import re
    from importlib import metadata

    from pipelines.run.manifest import required_packages

    python = sys.version.split()[0]
    yield _finding(python.startswith("3.11."), f"Python {python} (3.11 is wanted)", INSTALL)
    lock = locations.requirements_lock().read_text(encoding="utf-8")
    locked = re.findall(r"^(\S+)==([^\s;]+)", lock, flags=re.M)  # several where platforms differ
    required = required_packages()
    installed = {
        name: found.version for name in required for found in metadata.distributions(name=name)
    }
    missing = [name for name in required if name not in installed]
    others = [f"{name} {v}" for name, v in installed.items() if (name, v) not in locked]
    yield _finding(not missing, f"packages not installed: {_listed(missing)}", INSTALL)
    yield _finding(not others, f"packages not as locked: {_listed(others)}", INSTALL, "warn")


def _store() -> Iterator[Finding]:
    """Open the store, and look for sources that nobody looked at of late."""
    from datetime import UTC, datetime

    from cloudarb_lib.store import open_snapshot

    with open_snapshot() as snapshot:
        last_looks = snapshot.table("looks").groupby("provider")["looked_at"].max()
        yield "ok", f"store readable, snapshot {snapshot.digest[:8]}", ""
    ages = {provider: (datetime.now(UTC) - look).days for provider, look in last_looks.items()}
    old = [f"{provider} {age} d" for provider, age in ages.items() if age > _FRESH_DAYS]
    what = f"sources not looked at for {_FRESH_DAYS} days: {_listed(old)}"
    way_out = "Runs state their as_of, so they are sound; for newer prices cloudarb ingest FILE."
    yield _finding(not old, what, way_out, "warn")


def _configurations() -> Iterator[Finding]:
    """Check each configuration, and with it the parameters cells of the notebooks it drives."""
    from pipelines.run.config import load_config

    for path in sorted(locations.configurations().glob("*.yaml")):
        notebooks = len(load_config(path).parameters)
        yield "ok", f"pipelines/{path.name} and the parameters of {notebooks} notebooks", ""


def _room() -> Iterator[Finding]:
    """Look for disk space, and try to write where runs write."""
    import shutil
    import tempfile

    home = locations.home()
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free / 2**30
    yield _finding(free > _DISK_GIB, f"{free:.1f} GiB free ({_DISK_GIB:g} is wanted)", "Make room.")
    for folder in (locations.reports(), locations.store().parent):
        way_out = "Let its owner write there, or name another folder by CLOUDARB_HOME."
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                yield "ok", f"{folder.name}/ is writable", ""
        except OSError as cause:
            yield "fail", f"{folder} cannot be written: {cause.strerror}", way_out


def solvers() -> Iterator[Finding]:
    """Solve a small program with each solver, in a process of its own as runs do."""
    for package, code in SOLVES.items():
        fault = _fault_of(code)
        yield _finding(not fault, f"{package} solves{fault and f': {fault}'}", INSTALL)


def members() -> Iterator[Finding]:
    """Load what members of the forecast need, each in a process of its own: together they crash."""
    for package in MEMBERS:
        fault = _fault_of(f"import {package}")
        yield _finding(not fault, f"{package} loads{fault and f': {fault}'}", INSTALL)


def browser() -> Iterator[Finding]:
    """Look for a browser, by which summaries are printed."""
    import shutil

    from pipelines.report.paper import BROWSERS

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    way_out = "Reports go without PDF; apt-get install chromium brings it."
    yield _finding(bool(found), "a browser prints PDF of summaries", way_out, "warn")


def schedule() -> Iterator[Finding]:
    """Ask for each job whether its timer still knows of it, and how its last turn went."""
    from pipelines.schedule import job, timers

    for planned in job.jobs():
        fault = timers.fault_of(planned)
        way_out = f"Mend it, cloudarb schedule install {planned.config} again, or schedule remove."
        started = f"{planned.timer} starts schedule {planned.name}"
        yield _finding(not fault, f"{started}: {fault}" if fault else started, way_out)
        last = job.last_turn(planned.name)
        codes = {step: code for step, code in (last or {"codes": {}})["codes"].items() if code}
        told = f"last turn of schedule {planned.name}: {codes or 'no fault'}"
        log = f"Read reports/.state/schedule/{planned.name}.log; cloudarb --help tells the codes."
        yield _finding(not codes, told, log, "warn")


SOLVES = {
    "highspy": "import highspy; h = highspy.Highs(); h.silent(); x = h.addVariable(1, 2); "
    "h.minimize(x); assert abs(h.getObjectiveValue() - 1) < 1e-6",
    "ortools": "from ortools.math_opt.python import mathopt as m; p = m.Model(); "
    "x = p.add_variable(lb=1, ub=2); p.minimize(x); "
    "assert abs(m.solve(p, m.SolverType.HIGHS).objective_value() - 1) < 1e-6",
}
"""By package, a program whose answer is 1."""
MEMBERS = ("tensorflow", "lightgbm", "prophet")
"""Packages of members of the forecast that may fail to load."""
PATIENCE_S = 60.0


def _fault_of(code: str) -> str:
    """Run code in a fresh interpreter; return the last line of what went wrong, '' if nothing."""
    import subprocess

    try:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return f"no answer in {PATIENCE_S:g} s"
    if done.returncode == 0:
        return ""
    last = done.stderr.strip().splitlines()[-1:] or [f"ended by signal {-done.returncode}"]
    return last[0]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
