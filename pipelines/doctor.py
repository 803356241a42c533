"""``cloudarb doctor``: what a run needs, looked at one by one."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import CloudArbError

Finding = tuple[str, str, str]
"""Level (ok, warn or fail), what was found, and the way out ('' where none is needed)."""
_INSTALL = "Run make report, which sets the environment up; or pip install -r requirements.lock."
_DISK_GIB = 1.0
_FRESH_DAYS = 14


def examine() -> Iterator[Finding]:
    """Yield what was found, check by check; a check that itself breaks is a fail."""
    for check in (_packages, _store, _configurations, _room):
        try:
            yield from check()
        except CloudArbError as fault:
            yield "fail", fault.what, fault.way_out
        except Exception as fault:
            yield "fail", f"{check.__name__.strip('_')}: {type(fault).__name__}: {fault}", _INSTALL


def asked_for() -> list[str]:
    """Return the names of the packages that the project itself asks for."""
    asked = [r for r in metadata.requires("cloudarb") or [] if "extra ==" not in r]
    return [re.split(r"[^A-Za-z0-9._-]", r)[0] for r in asked]


def _found(good: bool, what: str, way_out: str, bad: str = "fail") -> Finding:
    return ("ok", what, "") if good else (bad, what, way_out)


def _packages() -> Iterator[Finding]:
    """Compare Python, and the packages that the project asks for itself, with the lock."""
    python = sys.version.split()[0]
    yield _found(python.startswith("3.11."), f"Python {python} (3.11 is wanted)", _INSTALL)
    lock = locations.requirements_lock().read_text(encoding="utf-8")
    pinned = re.findall(
        r"^(\S+)==([^\s;]+)", lock, flags=re.M
    )  # one for each platform with its own
    have = {
        name: found.version for name in asked_for() for found in metadata.distributions(name=name)
    }
    missing = ", ".join(name for name in asked_for() if name not in have)
    other = ", ".join(
        f"{name} {version}" for name, version in have.items() if (name, version) not in pinned
    )
    yield _found(not missing, f"packages not installed: {missing or 'none'}", _INSTALL)
    yield _found(not other, f"packages not as locked: {other or 'none'}", _INSTALL, "warn")


def _store() -> Iterator[Finding]:
    from cloudarb_lib.store import open_snapshot

    with open_snapshot() as snapshot:
        last = snapshot.table("looks").groupby("provider")["looked_at"].max()
        yield "ok", f"store readable, snapshot {snapshot.digest[:8]}", ""
    ages = {provider: (datetime.now(UTC) - look).days for provider, look in last.items()}
    old = ", ".join(f"{provider} {age} d" for provider, age in ages.items() if age > _FRESH_DAYS)
    way_out = "Runs state their as_of, so they are sound; for newer prices cloudarb ingest FILE."
    yield _found(
        not old, f"sources not looked at for {_FRESH_DAYS} days: {old or 'none'}", way_out, "warn"
    )


def _configurations() -> Iterator[Finding]:
    """Check each configuration, and with it the parameters cells of the notebooks it drives."""
    from pipelines.config import load_config

    for path in sorted(locations.configurations().glob("*.yaml")):
        config = load_config(path)
        yield (
            "ok",
            f"pipelines/{path.name} and the parameters of {len(config.parameters)} notebooks",
            "",
        )


def _room() -> Iterator[Finding]:
    locations.home().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(locations.home()).free / 2**30
    yield _found(free > _DISK_GIB, f"{free:.1f} GiB free ({_DISK_GIB:g} is wanted)", "Make room.")
    for folder in (locations.reports(), locations.store().parent):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            yield "ok", f"{folder.name}/ is writable", ""
