"""One look at the runs of a configuration: what fires is written down, and told once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.files import locked
from cloudarb_lib.live.messages import DeliveryError, mail, post
from pipelines.alerts import told
from pipelines.alerts.configuration import Alerts, mail_server, webhook_address
from pipelines.alerts.rule import Watched, watched_runs
from pipelines.alerts.told import Alert, Change
from pipelines.events.ledger import Ledger, ledger_file
from pipelines.run.files import write_json

Channel = Callable[[Mapping[str, object]], None]
"""Sends a message (``message``); DeliveryError where it could not."""


@dataclass(frozen=True)
class Look:
    """What one look found.

    Parameters
    ----------
    run_id : str
        The newest run.
    change : Change
        What fires and what cleared.
    undelivered : tuple of str
        A sentence for each channel that could not tell.
    """

    run_id: str
    change: Change
    undelivered: tuple[str, ...]


def look(
    alerts: Alerts, reports: Path, *, store: Path, now: pd.Timestamp, environment: Mapping[str, str]
) -> Look:
    """Find what fires, write it down (alerts.json of the newest run), and tell what is new.

    What a channel could not tell it tells next time.

    Parameters
    ----------
    alerts : Alerts
        The rules.
    reports : Path
        Folder of the runs.
    store : Path
        Folder of the store of prices.
    now : Timestamp
        In UTC.
    environment : mapping
        Environment variables, which hold addresses and passwords.

    Raises
    ------
    ParameterError
        Where no run of the configuration has ended, or an environment variable is not set.
    """
    watched = watched_runs(reports, alerts.watch, now=now, store=store)
    if watched is None:
        what = f"no run of configuration {alerts.watch!r} has ended in {reports.name}/."
        raise ParameterError(what, "Run it first, or name another after watch:.")
    channels = _channels(alerts, environment)
    file = ledger_file(reports)
    lock = file.with_name(f"alerts-{alerts.watch}.lock")
    what = f"alerts of {alerts.watch}"
    with locked(lock, ParameterError, what), Ledger(file) as ledger:
        before = told.load(ledger, alerts.watch)
        seen = _seen(alerts, watched, before)
        time = _time(watched)
        told.save(ledger, alerts.watch, seen, list(told.news(alerts.watch, before, seen, time)))
        undelivered = []
        for name, send in channels.items():
            news = seen.untold(name)
            if not news and not seen.cleared:
                continue
            try:
                send(message(alerts.watch, watched.last.run_id, news, seen.cleared))
            except DeliveryError as fault:
                undelivered.append(f"{name}: {fault}")
                continue
            seen = seen.with_told(name)
            told.save(ledger, alerts.watch, seen)
        _write(watched, seen)
    return Look(watched.last.run_id, seen, tuple(undelivered))


def message(
    watch: str, run_id: str, news: list[Alert], cleared: tuple[Alert, ...]
) -> dict[str, object]:
    """Return what is told: ``subject`` and ``text`` for people, the alerts for programs."""
    counts = [f"{len(news)} new" if news else "", f"{len(cleared)} cleared" if cleared else ""]
    lines = [f"{alert.rule}: {alert.text}" for alert in news]
    lines += [f"cleared: {alert.rule} {alert.subject}".rstrip() for alert in cleared]
    return {
        "subject": f"CloudArb {watch}: {', '.join(filter(None, counts))}",
        "text": "\n".join([*lines, f"run {run_id}"]),
        "configuration": watch,
        "run_id": run_id,
        "alerts": told.as_json(news),
        "cleared": told.as_json(cleared),
    }


def _seen(alerts: Alerts, watched: Watched, before: list[Alert]) -> Change:
    found = {rule.key: rule.findings(watched) for rule in alerts.rules}
    return told.change(before, found, now=_time(watched), run_id=watched.last.run_id)


def _time(watched: Watched) -> str:
    return watched.now.isoformat(timespec="seconds")


def _channels(alerts: Alerts, environment: Mapping[str, str]) -> dict[str, Channel]:
    """Return who is told; what the environment lacks is found before anything is sent."""
    channels: dict[str, Channel] = {}
    if alerts.webhook:
        address = webhook_address(alerts.webhook, environment)
        channels["webhook"] = lambda told: post(address, told)
    if addressed := alerts.mail:
        server = mail_server(addressed, environment)
        channels["mail"] = lambda told: mail(
            server,
            sender=addressed.sender,
            to=addressed.to,
            subject=str(told["subject"]),
            text=str(told["text"]),
        )
    return channels


def _write(watched: Watched, seen: Change) -> None:
    """Write alerts.json beside the pages of the newest run."""
    found = {"alerts": told.as_json(seen.active), "cleared": told.as_json(seen.cleared)}
    looked = {"looked_at": _time(watched)}
    write_json(watched.last.folder / "alerts.json", looked | found)
