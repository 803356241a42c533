"""What fires, and who was told of it: each alert once, until it clears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.alerts.rule import Finding
from pipelines.run.files import read_json, write_json


@dataclass(frozen=True)
class Alert:
    """An alert that fires.

    Parameters
    ----------
    rule, subject : str
        Which rule fires for what: while it does, it is one alert.
    text : str
        What was found last.
    since : str
        When it began, in UTC.
    run_id : str
        The run it was found in last.
    told : tuple of str
        Channels by which it has been told.
    """

    rule: str
    subject: str
    text: str
    since: str
    run_id: str
    told: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.rule, self.subject


@dataclass(frozen=True)
class Change:
    """What fires now, and what does no more.

    Parameters
    ----------
    active : tuple of Alert
        All that fire, with who was told so far.
    cleared : tuple of Alert
        Those that fired last time and do not now.
    """

    active: tuple[Alert, ...]
    cleared: tuple[Alert, ...]

    def untold(self, channel: str) -> list[Alert]:
        """Return the alerts that a channel has not told."""
        return [alert for alert in self.active if channel not in alert.told]

    def with_told(self, channel: str) -> Change:
        """Return the same after a channel has told all of them."""
        told = tuple(replace(a, told=tuple({*a.told, channel})) for a in self.active)
        return replace(self, active=told)


def change(
    before: Sequence[Alert], found: Mapping[str, Sequence[Finding]], *, now: str, run_id: str
) -> Change:
    """Return what fires now beside what did.

    Parameters
    ----------
    before : sequence of Alert
        Those that fired last time.
    found : mapping of str to sequence of Finding
        What each rule finds.
    now : str
        The time, in UTC.
    run_id : str
        The newest run.
    """
    fired = {alert.key: alert for alert in before}
    active = []
    for rule, findings in found.items():
        for finding in findings:
            new = Alert(rule, finding.subject, finding.text, now, run_id)
            known = fired.get(new.key, new)
            active.append(replace(known, text=finding.text, run_id=run_id))
    still = {alert.key for alert in active}
    return Change(tuple(active), tuple(alert for alert in before if alert.key not in still))


def load(path: Path) -> list[Alert]:
    """Return the alerts that fired last time; none where nothing is written there."""
    state = read_json(path) or {}
    return [Alert(**{**alert, "told": tuple(alert["told"])}) for alert in state.get("alerts", [])]


def save(path: Path, alerts: Sequence[Alert]) -> None:
    """Write the alerts that fire, whole or not at all."""
    write_json(path, {"alerts": as_json(alerts)})


def as_json(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Return alerts as they are written."""
    return [asdict(alert) | {"told": sorted(alert.told)} for alert in alerts]
