"""``cloudarb doctor``: what a run needs, looked at one by one."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from cloudarb_lib.errors import CloudArbError
from cloudarb_lib.handover import PROJECT

Finding = tuple[str, str, str]
"""Level (ok, warn or fail), what was found, and the way out ('' where none is needed)."""
_INSTALL = "Run make report once: it sets the environment up; or pip install -r requirements.lock."
_DISK_GIB = 1.0


def examine(project: Path = PROJECT) -> Iterator[Finding]:
    """Yield what was found, check by check; a check that itself breaks is a fail."""
    for check in (_python, _packages, _store, _notebooks, _configurations, _room, _browser):
        try:
            yield from check(project)
        except CloudArbError as fault:
            yield "fail", fault.what, fault.way_out
        except Exception as fault:
            yield "fail", f"{check.__name__.strip('_')}: {type(fault).__name__}: {fault}", _INSTALL


def _python(project: Path) -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        yield "ok", f"Python {found}", ""
    else:
        yield "fail", f"Python {found}, not 3.11", "make PYTHON=/path/to/python3.11 report"


def _packages(project: Path) -> Iterator[Finding]:
    """Compare what is installed with the lock, for every package the project asks for itself."""
    lock = (project / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock, flags=re.M))
    missing, other = [], []
    for requirement in metadata.requires("cloudarb") or []:
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")
        if "extra ==" in requirement:
            continue
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if version != locked.get(name):
            other.append(f"{name} {version} (lock: {locked.get(name)})")
    if missing:
        yield "fail", f"packages not installed: {', '.join(missing)}", _INSTALL
    if other:
        yield "warn", f"not the locked version: {', '.join(other)}", _INSTALL
    if not missing and not other:
        yield "ok", "packages as in requirements.lock", ""


def _store(project: Path) -> Iterator[Finding]:
    from cloudarb_lib.store import open_snapshot

    with open_snapshot() as snapshot:
        looks = snapshot.table("looks").groupby("provider")["looked_at"].max()
        yield "ok", f"store readable, snapshot {snapshot.digest[:8]}", ""
    today = datetime.now(UTC)
    ages = {provider: (today - last).days for provider, last in looks.items()}
    old = [f"{provider} {age} d" for provider, age in ages.items() if age > 14]
    if old:
        yield (
            "warn",
            f"last look long ago at {len(old)} of {len(ages)} sources: {', '.join(old)}",
            "Runs state their as_of, so they are sound; for newer prices: cloudarb ingest FILE.",
        )
    else:
        yield "ok", f"all {len(ages)} sources looked at within 14 days", ""


def _notebooks(project: Path) -> Iterator[Finding]:
    from pipelines.config import STEPS
    from pipelines.parameters import declared

    for step in STEPS:
        names = declared(project / "notebooks" / f"{step}.ipynb")
        yield "ok", f"notebook {step}: {len(names)} parameters", ""


def _configurations(project: Path) -> Iterator[Finding]:
    from pipelines.config import load_config

    for path in sorted((project / "pipelines").glob("*.yaml")):
        load_config(path)
        yield "ok", f"configuration pipelines/{path.name}", ""


def _room(project: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(project).free / 2**30
    level = "ok" if free > _DISK_GIB else "fail"
    yield level, f"{free:.1f} GiB free", "" if level == "ok" else f"Make room: {_DISK_GIB} GiB."
    for folder in (project / "reports", project / "data"):
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                yield "ok", f"{folder.name}/ is writable", ""
        except OSError as fault:
            yield ("fail", f"{folder.name}/ is not writable: {fault.strerror}", "Give yourself the right to.")


def _browser(project: Path) -> Iterator[Finding]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found:
        yield "ok", "Chromium is there (only for pictures of reports)", ""
    else:
        yield "warn", "no Chromium: no pictures of reports; nothing else needs it", ""
