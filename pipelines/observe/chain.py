"""From the rows of a plan back to the bytes of their prices, link by link.

What a run keeps of its lineage (``lineage``) is held against what lies on the disk today; a price
is proven by taking the file that it came from in once more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cloudarb_lib.base.errors import CloudArbError, ParameterError
from pipelines.observe.lineage import OF_RUNS, TAKEN_IN, Event, read_lineage, sha256_of, version_of

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.store import Snapshot

PLAN = "tables/plan.parquet"
_EVENT = ["offer_id", "effective_at", "observed_at"]
_PRICE_TOLERANCE = 1e-9
"""Relative: a price that went through a file of another format is the same number."""


@dataclass(frozen=True)
class Link:
    """A link of the chain.

    Parameters
    ----------
    what : str
        What came of what.
    fault : str
        Why it does not hold; '' where it does.
    """

    what: str
    fault: str = ""


def links(
    run_dir: Path, run: dict[str, Any], *, offer: str = "", folders: Sequence[Path]
) -> Iterator[Link]:
    """Yield the links from a plan to the bytes of its prices, the plan's own first.

    Parameters
    ----------
    run_dir : Path
        Folder of the run.
    run : dict
        Its manifest.
    offer : str
        Only rows of this offer; '' for all that the plan rents.
    folders : sequence of Path
        Where files that were taken in may lie, under their name or their digest.

    Raises
    ------
    ParameterError
        Where the run keeps no lineage, or its plan does not rent the offer.
    """
    events = read_lineage(run_dir)
    offers = _rented(run_dir, offer)
    yield from _tables(run_dir, events)
    prices = _prices(run_dir, str(run["as_of"]), offers)
    yield from _as_planned(run_dir, prices)
    for each in sorted(set(offers) - set(prices["offer_id"])):
        yield Link(f"price of {each}", "the snapshot has none by the day of the run.")
    yield from _from_files(run_dir, events, prices, folders)


def _tables(run_dir: Path, events: list[Event]) -> Iterator[Link]:
    """Yield the links from table plan back to the snapshot, each data set once."""
    made = {_key(made): event for event in events for made in event["outputs"]}
    told = {_key(made): version_of(made) for event in events for made in event["outputs"]}
    waiting = [(OF_RUNS, PLAN)]
    seen = set(waiting)
    while waiting:
        key = waiting.pop(0)
        name = key[1]
        if key not in made:
            yield Link(name, "no event of the run says what it came of.")
            continue
        event = made[key]
        what = f"{name} by {event['job']['name']}"
        is_whole = sha256_of(run_dir / name) == told[key]
        yield Link(what, "" if is_whole else "it is not what was written, or is gone.")
        for used in event["inputs"]:
            source = _key(used)
            if source[0] == TAKEN_IN or source in seen:
                continue
            seen.add(source)
            if source[1].startswith("inputs/"):
                yield _own_input(run_dir, used)
            else:
                waiting.append(source)
                if told.get(source) not in (None, version_of(used)):
                    yield Link(f"{name} of {source[1]}", "another one was read than is there.")


def _key(data_set: dict[str, Any]) -> tuple[str, str]:
    return data_set["namespace"], data_set["name"]


def _own_input(run_dir: Path, used: dict[str, Any]) -> Link:
    """Return the link to a file that a person gave, of which the run keeps a copy."""
    is_whole = sha256_of(run_dir / used["name"]) == version_of(used)
    return Link(used["name"], "" if is_whole else "it is not what was read, or is gone.")


def _rented(run_dir: Path, offer: str) -> list[str]:
    """Return the offers that the plan rents; of these ``offer`` alone where it is given."""
    from cloudarb_lib.tables.run_tables import load_table

    plan = load_table("plan", run_dir)
    rented = [] if plan is None else sorted(plan.loc[plan["instances"] > 0, "offer_id"].unique())
    if not rented:
        raise ParameterError(f"the plan of {run_dir.name} rents nothing.", "Make a plan first.")
    if offer and offer not in rented:
        what = f"the plan of {run_dir.name} does not rent {offer}."
        raise ParameterError(what, f"It rents {', '.join(rented)}.")
    return [offer] if offer else rented


def _prices(run_dir: Path, as_of: str, offers: list[str]) -> pd.DataFrame:
    """Return the event in force of each offer, in the snapshot that the run is pinned to.

    Columns of ``Snapshot.events``, and ``recorded_usd_per_hour``: the price as its file told it,
    before any correction.
    """
    from cloudarb_lib.base.units import parse_as_of
    from cloudarb_lib.store import open_snapshot

    with open_snapshot(run_dir / "snapshot") as snapshot:
        events = _events_of(snapshot, as_of, offers, include_flagged=False)
        as_told = _events_of(snapshot, as_of, offers, include_flagged=True)
    in_force = events[events["effective_at"] <= parse_as_of(as_of)]
    in_force = in_force.drop_duplicates("offer_id", keep="last")
    recorded = as_told.rename(columns={"price_usd_per_hour": "recorded_usd_per_hour"})
    return in_force.merge(recorded[[*_EVENT, "recorded_usd_per_hour"]], on=_EVENT, how="left")


def _events_of(
    snapshot: Snapshot, as_of: object, offers: list[str], *, include_flagged: bool
) -> pd.DataFrame:
    """Return the events of some offers, their ids as texts."""
    providers = sorted({offer.partition("/")[0] for offer in offers})
    events = snapshot.events(as_of=as_of, providers=providers, include_flagged=include_flagged)
    events = events[events["offer_id"].isin(offers)]
    return events.assign(offer_id=events["offer_id"].astype(str))


def _as_planned(run_dir: Path, prices: pd.DataFrame) -> Iterator[Link]:
    """Yield the links from prices of table offers to the events of the snapshot."""
    from cloudarb_lib.tables.run_tables import load_table

    offers = load_table("offers", run_dir)
    planned: dict[str, float] = {}
    if offers is not None:
        planned = dict(zip(offers["offer_id"], offers["price_usd_per_hour"], strict=True))
    for row in prices.to_dict("records"):
        usd = planned.get(str(row["offer_id"]))
        fault = ""
        if usd is None:
            fault = "table offers has none for it."
        elif not np.isclose(usd, row["price_usd_per_hour"], rtol=_PRICE_TOLERANCE, atol=0.0):
            fault = f"the plan took {usd:g} for it."
        yield Link(f"{_in_words(row)}, snapshot", fault)


def _in_words(row: Mapping[Hashable, Any]) -> str:
    since = f"from {row['effective_at']:%Y-%m-%d %H:%M}, seen {row['observed_at']:%Y-%m-%d %H:%M}"
    return f"{row['offer_id']} at {row['price_usd_per_hour']:g} USD/h {since}"


def _from_files(
    run_dir: Path, events: list[Event], prices: pd.DataFrame, folders: Sequence[Path]
) -> Iterator[Link]:
    """Yield the link of each price to the file that tells of it, tried by taking it in again."""
    from cloudarb_lib.store import open_snapshot

    with open_snapshot(run_dir / "snapshot") as snapshot:
        log = snapshot.table("ingest_log").sort_values("ingested_at", ascending=False)
    told = {
        (used["name"], version_of(used))
        for event in events
        for used in event["inputs"]
        if used["namespace"] == TAKEN_IN
    }
    unproven = prices
    changed: list[str] = []
    of_prices = log["target"].str.contains("price_events")
    for entry in log[of_prices].to_dict("records"):
        name = str(entry["file"])
        sha256 = str(entry["file_sha256"])
        if unproven.empty or (name, sha256) not in told:
            continue
        path = _kept(name, sha256, folders)
        if path is None:
            changed.append(name)
            continue
        proven = _told_by(path, entry["ingested_at"], unproven)
        for row in unproven[proven].to_dict("records"):
            yield Link(f"{_in_words(row)}, {path.name} (SHA-256 {sha256[:16]})")
        unproven = unproven[~proven]
    missing = "all are here"
    if changed:
        names = ", ".join(changed)
        missing = f"not as they were taken in, or gone: {names} (elsewhere: --files FOLDER)"
    for row in unproven.to_dict("records"):
        what = f"no file that was taken in and is here tells it; {missing}."
        yield Link(f"{_in_words(row)}, file", what)


def _kept(name: str, sha256: str, folders: Sequence[Path]) -> Path | None:
    """Return where the bytes of a file lie that was taken in; None: nowhere."""
    for folder in folders:
        for path in (folder / name, *folder.glob(f"{sha256[:2]}/{sha256}*")):
            if sha256_of(path) == sha256:
                return path
    return None


def _told_by(path: Path, taken_in_at: pd.Timestamp, prices: pd.DataFrame) -> np.ndarray:
    """Return which prices a file gives that is taken in anew; none where it cannot be."""
    from cloudarb_lib.store import Batch, ingest_files, open_snapshot

    seen_at = prices["observed_at"].iloc[0]  # of rows without a time of their own
    with tempfile.TemporaryDirectory(prefix="cloudarb-") as folder:
        try:
            ingest_files([Batch(path, seen_at)], store_dir=folder, now=taken_in_at)
            with open_snapshot(folder) as snapshot:
                offers = list(prices["offer_id"])
                again = _events_of(snapshot, taken_in_at, offers, include_flagged=True)
        except CloudArbError:
            return np.zeros(len(prices), bool)
    told = prices[_EVENT].merge(again, on=_EVENT, how="left")["price_usd_per_hour"].to_numpy()
    return np.isclose(told, prices["recorded_usd_per_hour"], rtol=_PRICE_TOLERANCE, atol=0.0)
