"""Immutable DuckDB snapshots of the price store, a pointer to the newest, reads as of a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import pandas as pd

from cloudarb_lib.base.errors import ParameterError, StoreError, did_you_mean
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.sources import registry
from cloudarb_lib.store.price_rows import has_our_tables, segment_paths, show_prices
from cloudarb_lib.store.queries import EVENTS, HELD, LAST_PRICES
from cloudarb_lib.tables.schema import PURCHASE_OPTIONS
from cloudarb_lib.tables.stored_schema import STORED

WAY_OUT = "Remove that folder and ingest again; data/store is built anew from data/ by itself."


def connect(path: str | Path = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection whose session is UTC; StoreError if the file cannot be opened."""
    try:
        con = duckdb.connect(str(path), read_only=read_only, config={"threads": 2})
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET enable_progress_bar = false")  # in a notebook: a black bar that stays
    except duckdb.Error as cause:
        what = str(cause).splitlines()[0]
        raise StoreError(f"snapshot {path} cannot be opened: {what}", WAY_OUT) from cause
    return con


def current(folder: Path) -> Path | None:
    """Return the newest snapshot of a store, None where there is none; StoreError if damaged."""
    try:
        name = (folder / "current").read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise StoreError(f"store {folder} cannot be read: {cause.strerror}.", WAY_OUT) from cause
    path = folder / "snapshots" / f"{name}.duckdb"
    if not re.fullmatch("[0-9a-f]{16}", name) or not path.is_file():
        others = sorted(path.stem for path in (folder / "snapshots").glob("*.duckdb"))
        way_out = f"Write one of {', '.join(others)} into that file." if others else WAY_OUT
        what = f"{folder / 'current'} names {name[:40]!r}, which is no snapshot."
        raise StoreError(what, way_out)
    return path


def store_of(snapshot: Path) -> Path:
    """Return the folder of the store that a snapshot is of."""
    return snapshot.parent.parent


class Snapshot(AbstractContextManager["Snapshot"]):
    """One immutable state of the price store, read only; StoreError where its file is damaged.

    Close it, or use it in a with statement.

    Attributes
    ----------
    digest : str
        Names its content.
    path : Path
        Its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = path.stem
        self._con = connect(path, read_only=True)
        if not has_our_tables(self._con):
            self._con.close()
            raise StoreError(f"snapshot {path} was written by another version.", WAY_OUT)
        try:
            show_prices(self._con, store_of(path))
        except duckdb.Error as cause:
            self._con.close()
            what = f"snapshot {path} lacks a part: {str(cause).splitlines()[0]}"
            raise StoreError(what, WAY_OUT) from cause

    @property
    def files(self) -> list[Path]:
        """Its file, and those of the segments that it shares with other snapshots."""
        return [self.path, *segment_paths(self._con, store_of(self.path))]

    def close(self, *_: object) -> None:
        """Let go of the file."""
        self._con.close()

    __exit__ = close

    def table(self, name: str) -> pd.DataFrame:
        """Return a whole stored table of ``STORED``, times in UTC."""
        if name not in STORED:
            raise ParameterError(f"no stored table {name!r}{did_you_mean(name, list(STORED))}.")
        return self._rows(f"SELECT {', '.join(STORED[name].names)} FROM {name}")

    def last_prices(
        self, *, as_of: object, providers: Sequence[str], regions: Sequence[str] = ()
    ) -> pd.DataFrame:
        """Return what was said last of each offer of some providers, flagged or not.

        Parameters
        ----------
        as_of : str or Timestamp
            Later prices are not seen.
        providers : sequence of str
            Only these.
        regions : sequence of str
            Only these, in lower case; empty: each.

        Returns
        -------
        DataFrame
            The parts of the offer, ``price_usd_per_hour`` (NaN: withdrawn) and ``source``.
        """
        words = {
            "as_of": parse_as_of(as_of),
            "providers": list(providers),
            "every_region": not regions,
            "regions": list(regions) or [""],
        }
        return self._rows(LAST_PRICES, words)

    def looks(self, *, as_of: object) -> pd.DataFrame:
        """Return table ``looks`` up to ``as_of``."""
        query = "SELECT * FROM looks WHERE looked_at <= ? ORDER BY provider, source, looked_at"
        return self._rows(query, [parse_as_of(as_of)])

    def newest_observation(self, providers: Sequence[str] | None = None) -> pd.Timestamp | None:
        """Return when anything was last observed of some providers, of all without; None: never.

        A look at a part of the market is an observation, and so is a price by itself.
        """
        last = self.newest_by_source()
        if providers is not None:
            last = last[last["provider"].isin(providers)]
        return None if last.empty else last["looked_at"].max()

    def newest_by_source(self) -> pd.DataFrame:
        """Return ``provider``, ``source`` and ``looked_at``: its newest look or price."""
        return self._rows("""
            SELECT provider, source, max(looked_at) AS looked_at
            FROM (SELECT provider, source, looked_at FROM looks UNION ALL
                  SELECT provider, source, observed_at FROM price_events)
            GROUP BY ALL ORDER BY ALL
        """)

    def evidence(self, *, as_of: object) -> pd.DataFrame:
        """Return table ``evidence`` up to ``as_of``."""
        query = "SELECT * FROM evidence WHERE seen_at <= ? ORDER BY ALL"
        return self._rows(query, [parse_as_of(as_of)])

    def events(
        self,
        *,
        as_of: object,
        providers: Sequence[str] | None = None,
        purchase_options: Sequence[str] | None = None,
        gpu_only: bool = False,
        include_flagged: bool = False,
    ) -> pd.DataFrame:
        """Return the price events known at a time.

        Parameters
        ----------
        as_of : str or Timestamp
            Neither later prices nor later corrections nor later flags are seen.
        providers, purchase_options : sequence of str, optional
            Only these.
        gpu_only : bool
            Only machines known to have a GPU.
        include_flagged : bool
            Keep the prices that were found wrong, which are otherwise null or left out from
            ``flagged_at`` on.

        Returns
        -------
        DataFrame
            Columns of table ``price_events``, ``quality`` (ok, else why the offer is in doubt from
            this row on: its price is null), ``detail`` (the reason in words), ``flagged_at``,
            ``offer_id`` (a category) and the specification of the machine (null where unknown),
            sorted by offer_id and effective_at. Of several observations of one (offer,
            effective_at) the latest one stands; rows that were held back are among them, unless a
            good one of the same two times is there that they do not contradict. A price that a
            list took back (glitch_reverted), or that a verdict dropped, is left out: the one before
            stands.
            ``gone_after_hours`` is that of the source, NaN where its silence says nothing. Rows of
            sources at second hand are left out where another source tells of the same machine.
        """
        unknown = set(purchase_options or ()) - set(PURCHASE_OPTIONS)
        if unknown:
            what = f"purchase option {min(unknown)!r} is unknown."
            raise ParameterError(what, f"Use {PURCHASE_OPTIONS}.")
        words = {
            "second_hand": registry.at_second_hand(),
            "as_of": parse_as_of(as_of),
            "providers": providers,
            "options": purchase_options,
            "gpu_only": gpu_only,
            "include_flagged": include_flagged,
        }
        events = self._rows(EVENTS, words)
        offer_ids = pd.Index(events["offer_id"].unique(), dtype=object)
        events["offer_id"] = pd.Categorical(events["offer_id"], categories=offer_ids)
        events["offer_count"] = events["offer_count"].astype("Int32")
        silences = {each.name: each.gone_after_hours for each in registry.registered()}
        events["gone_after_hours"] = events["source"].map(silences).astype(float)
        corrected = events.duplicated(["offer_id", "effective_at"], keep="last")
        return events[~corrected].reset_index(drop=True) if corrected.any() else events

    def held(self, *, as_of: object) -> pd.DataFrame:
        """Return the prices found wrong and the rows held back by a time; see ``store.held``."""
        words = {"as_of": parse_as_of(as_of), "second_hand": registry.at_second_hand()}
        return self._rows(HELD, words)

    def _rows(self, query: str, words: object = None) -> pd.DataFrame:
        try:
            return self._con.execute(query, words).df()
        except duckdb.Error as cause:
            what = f"snapshot {self.path} cannot be read: {str(cause).splitlines()[0]}"
            raise StoreError(what, WAY_OUT) from cause
