"""What fires, and who was told of it: each alert once, until it clears."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.alerts.rule import Finding
from pipelines.events.ledger import Event, Ledger, event


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


def load(ledger: Ledger, watch: str) -> list[Alert]:
    """Return the alerts of a configuration that fired last time."""
    return [Alert(**{**alert, "told": tuple(alert["told"])}) for alert in ledger.alerts(watch)]


def save(ledger: Ledger, watch: str, seen: Change, news: Sequence[Event] = ()) -> None:
    """Write the alerts that fire, and what is new as events: all of it, or nothing."""
    with ledger.at_once():
        ledger.set_alerts(watch, as_json(seen.active))
        ledger.add(news)


def news(watch: str, before: Sequence[Alert], seen: Change, now: str) -> Iterator[Event]:
    """Yield an event for each alert that fires and did not, and for each that cleared."""
    fired = {alert.key for alert in before}
    begun = [("fires", alert) for alert in seen.active if alert.key not in fired]
    for state, alert in [*begun, *(("cleared", alert) for alert in seen.cleared)]:
        said = {"watch": watch, "state": state, "of": alert.subject, "text": alert.text}
        yield event("alert", alert.rule, now, {**said, "run_id": alert.run_id})


def as_json(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Return alerts as they are written."""
    return [asdict(alert) | {"told": sorted(alert.told)} for alert in alerts]
