"""What stands in the store and in runs, as events: each once, however often it is looked for.

A row of table ``ingest_log`` is written in the snapshot that publishes its prices, and a manifest
ends the run that it tells of. So neither can be there without the other, and an event that a crash
kept out of the event table is found the next time. Alerts are written there themselves.

A note of what is about to be published, written before, would add nothing: whether it was published
only the snapshot knows, and its own row says the same. (A transactional outbox: the row is the
outbox, and the event table is filled from it.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError, StoreError
from cloudarb_lib.store.entry import open_snapshot
from cloudarb_lib.tables.run_tables import load_table, paid_usd
from pipelines.events.ledger import Event, Ledger, event, ledger_file
from pipelines.run.files import read_json

if TYPE_CHECKING:
    from cloudarb_lib.store.snapshot import Snapshot


def gather_prices(ledger: Ledger, snapshot: Snapshot) -> int:
    """Add an event for each file that changed prices; return how many are new.

    Parameters
    ----------
    ledger : Ledger
        Gets the events.
    snapshot : Snapshot
        Of the store.
    """
    log = snapshot.table("ingest_log")
    changed = log[
        log["target"].str.contains("price_events") & (log["rows_new"] + log["rows_superseded"] > 0)
    ]
    with ledger.at_once():
        return ledger.add(_of_file(row) for row in changed.sort_values("ingested_at").itertuples())


def tell_prices(store: Path) -> None:
    """Add events of what was just published, where the event table of the project is in use.

    Where this does not come about, the next look at the events makes up for it. Only prices of the
    project's own store are told of by themselves.

    Parameters
    ----------
    store : Path
        Where something was taken in.
    """
    file = ledger_file(locations.reports())
    if store.absolute() != locations.store().absolute() or not file.exists():
        return
    try:
        with open_snapshot(store) as snapshot, Ledger(file) as ledger:
            gather_prices(ledger, snapshot)
    except StoreError as fault:  # the prices are in: that is not taken back
        print(f"events of these prices follow when they are next looked at: {fault.what}")


def gather_runs(ledger: Ledger, reports: Path) -> int:
    """Add events for the plans and alarms of runs that succeeded; return how many are new.

    Parameters
    ----------
    ledger : Ledger
        Gets the events.
    reports : Path
        Folder of the runs.
    """
    known = ledger.subjects("plan")
    found: list[Event] = []
    for path in sorted(reports.glob("*/manifest.json")):
        manifest = read_json(path) or {}
        if path.parent.name not in known and manifest.get("status") == "succeeded":
            try:
                found += _of_run(path.parent, manifest)
            except DataError as fault:  # the others are taken in all the same
                print(f"no event of {path.parent.name}: {fault}")
    found.sort(key=lambda told: told.at)
    with ledger.at_once():
        return ledger.add(found)


def _of_file(row: Any) -> Event:
    counts = {
        "rows_new": int(row.rows_new),
        "rows_superseded": int(row.rows_superseded),
        "file_sha256": row.file_sha256,
    }
    return event("prices", row.file, _time(row.ingested_at), counts)


def _of_run(folder: Path, manifest: dict[str, Any]) -> Iterator[Event]:
    at = str(manifest["finished_at"])
    plan = load_table("plan", folder)
    if plan is None:
        return
    said = {
        "as_of": manifest.get("as_of"),
        "snapshot": manifest.get("snapshot"),
        "expected_cost_usd": float(paid_usd(plan).sum()),
    }
    alarms = load_table("alarms", folder)
    if alarms is not None:
        for row in alarms.itertuples():
            what = {"run_id": folder.name, "detector": row.detector, "raised": _time(row.time_utc)}
            yield event("alarm", str(row.series_group), at, what)
    yield event("plan", folder.name, at, said)


def _time(time: Any) -> str:
    return time.tz_convert("UTC").isoformat(timespec="microseconds")
