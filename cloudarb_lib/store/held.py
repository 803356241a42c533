"""What is held: prices found wrong and rows held back, and what a person decides of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.base.units import EVER, ensure_utc
from cloudarb_lib.store.checks.own_history import FELL, JUMP, REVERTED
from cloudarb_lib.store.entry import open_snapshot, store_folder
from cloudarb_lib.store.snapshot import Snapshot
from cloudarb_lib.store.writer import add_verdicts, writer_lock

VERDICT_WORDS = ("release", "drop")
PRICE = "price"
"""Kind of an entry: a price that was found wrong."""
ROW = "row"
"""Kind of an entry: a row that was held back."""
_KEY = [*OFFER_PARTS, "effective_at", "observed_at"]


def held(snapshot: Snapshot, *, as_of: object) -> pd.DataFrame:
    """Return what is held by a time.

    Parameters
    ----------
    snapshot : Snapshot
        Of the store.
    as_of : str or Timestamp
        Nothing that came later is seen, verdicts neither.

    Returns
    -------
    DataFrame
        ``id``, ``kind`` (``PRICE`` or ``ROW``), the parts of the offer with ``effective_at`` and
        ``observed_at`` (null where a row does not tell them), ``price_usd_per_hour`` (null: none
        was read), ``source``, ``reason``, ``detail``, ``since``, ``corrected_usd_per_hour``,
        ``file`` and ``line`` and ``row_text`` (of rows), ``verdict``, ``why``, ``unread``: whether
        it is of second hand and another source tells of the machine there, so that nobody reads
        it, and ``keeps_out``: whether the offer is out of plans because of it. Those that keep an
        offer out first, the newest first.
    """
    table = snapshot.held(as_of=as_of)
    return table.sort_values(
        ["keeps_out", "since", "id"], ascending=[False, False, True], ignore_index=True
    )


def held_entry(table: pd.DataFrame, entry_id: str) -> pd.Series:
    """Return the entry of ``held`` that an id, or the beginning of one, names.

    Raises
    ------
    ParameterError
        Where it names none, or several.
    """
    named = table[table["id"].str.startswith(entry_id)] if entry_id else table.iloc[:0]
    if len(named) != 1:
        how_many = f"{len(named)} entries" if len(named) else "no entry"
        raise ParameterError(
            f"{how_many} of the quarantine has the id {entry_id!r}.",
            "cloudarb quarantine list --all shows them.",
        )
    entry: pd.Series = named.iloc[0]
    return entry


def decide(
    store_dir: str | Path, entry_id: str, *, verdict: str, why: str, decided_at: pd.Timestamp
) -> list[str]:
    """Write down what a person decided, and publish a new snapshot.

    Parameters
    ----------
    store_dir : str or Path
        Folder of the store; '' means data/store.
    entry_id : str
        As ``held`` has it, or its beginning.
    verdict : str
        ``release``: the price is right; ``drop``: it was never said.
    why : str
        In the person's words.
    decided_at : Timestamp
        From when on it counts.

    Returns
    -------
    list of str
        Ids of the entries it holds for. The release of a price that fell by half holds for those
        that followed it at its level too.

    Raises
    ------
    ParameterError
        Where the id names no entry, the reason is empty, or the entry cannot have the verdict.
    """
    if verdict not in VERDICT_WORDS:
        raise ParameterError(f"verdict {verdict!r} is unknown.", f"Use {VERDICT_WORDS}.")
    if not why.strip():
        raise ParameterError("a verdict needs a reason.", "Say why (--why TEXT).")
    decided_at = ensure_utc(decided_at, "decided_at")
    folder = store_folder(store_dir)
    with open_snapshot(store_dir) as snapshot:
        table = held(snapshot, as_of=EVER)
    entry = held_entry(table, entry_id)
    _check(entry, verdict)
    entries = _at_its_level(table, entry) if verdict == "release" else entry.to_frame().T
    verdicts = entries[_KEY].assign(
        verdict=verdict,
        why=[
            why if name == entry["id"] else f"with {entry['id']}: {why}" for name in entries["id"]
        ],
        decided_at=decided_at,
    )
    with writer_lock(folder):
        add_verdicts(verdicts, folder)
    return entries["id"].tolist()


def _check(entry: pd.Series, verdict: str) -> None:
    """Raise ParameterError where an entry cannot have a verdict."""
    place = f"line {entry['line']} of {entry['file']}"
    if entry["kind"] == ROW and verdict == "release":
        raise ParameterError(
            f"{place} is no price that could be released: {entry['detail']}",
            "Take in a good row of that offer and time, or drop this one.",
        )
    if entry["kind"] == ROW and pd.isna(entry["observed_at"]):
        raise ParameterError(
            f"{place} says no offer and time that can be read: it keeps nothing out of plans.",
            "Nothing needs to be done; a good row may be taken in.",
        )
    if entry["reason"] == REVERTED:
        raise ParameterError(
            "the list took that price back: the price before stands already.",
            "Take in a later price of the offer if it was right.",
        )


def _at_its_level(table: pd.DataFrame, entry: pd.Series) -> pd.DataFrame:
    """Return an entry with the fallen prices of its offer that came later at its level."""
    is_it = table["id"] == entry["id"]
    if entry["reason"] != FELL:
        return table[is_it]
    same_offer = (table[list(OFFER_PARTS)] == entry[list(OFFER_PARTS)]).all(axis=1)
    later = same_offer & (table["reason"] == FELL) & (table["observed_at"] > entry["observed_at"])
    level = table["price_usd_per_hour"] >= JUMP * entry["price_usd_per_hour"]
    return table[is_it | (later & level)]
