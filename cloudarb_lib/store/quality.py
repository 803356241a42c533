"""Errors of price lists, found from what was known when each price was seen.

Only administered prices are judged: the spikes of a market are real. A flag depends on nothing
observed after its flagged_at, so a later record never changes one.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.tables.schema import QUALITIES

OK = 0
REVERTED = 1
LOW_FOR_GPU = 2
"""Positions in ``schema.QUALITIES``."""

DETAILS = {
    "glitch_reverted": "a move by more than half that the list took back within 3 days",
    "glitch_low_for_gpu": "under half of what the provider asks per GPU for that model",
}
JUMP = 0.5
"""Share of the price before by which a price must move to be a suspect."""
RETURN_WITHIN = 0.1
"""Share of the price before the jump within which a price counts as back."""
RETURN_DAYS = 3
MICROSECONDS_PER_DAY = 86_400_000_000
LOW_SHARE = 0.5
"""Of the median of its peers: what a price, or the vCPUs of a machine, is low under."""
FEWEST_PEERS = 4


@dataclass(frozen=True)
class PriceRows:
    """Prices sorted by offer, then observed, then effective; arrays of one length.

    ``judges`` is False where a price took effect before one already seen of the same offer
    (corrections, backfills): it judges no other.
    """

    offer: np.ndarray
    observed: np.ndarray
    effective: np.ndarray
    price: np.ndarray
    judges: np.ndarray

    def take(self, rows: np.ndarray) -> PriceRows:
        """Return these rows alone."""
        return PriceRows(
            self.offer[rows],
            self.observed[rows],
            self.effective[rows],
            self.price[rows],
            self.judges[rows],
        )


def judge(rows: pd.DataFrame, gpus: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Find the errors of administered prices.

    Parameters
    ----------
    rows : DataFrame
        One row per price: ``offer`` (a number), ``effective`` and ``observed`` (microseconds) and
        ``price`` (NaN: withdrawn).
    gpus : DataFrame
        Offers with a GPU, indexed by offer: the parts of the offer, ``gpu_model``, ``gpu_count``
        and ``vcpus`` (NaN: unknown).

    Returns
    -------
    quality : array of int8
        For each row ``OK``, ``REVERTED`` or ``LOW_FOR_GPU``.
    flagged : array of int
        Microseconds at which the error could first be known, -1 where the price is ok.

    Notes
    -----
    ``LOW_FOR_GPU``, known when it is seen: the price per GPU is under half of the median that the
    provider asks at that time for the GPU model on the same option and term, of at least 4 offers.
    A small machine, with under half of their median vCPUs both per GPU and in all, is rightly
    cheaper. Spot prices fall region by region: where other machines with that GPU in the region
    stand low too, half of their level is the limit.

    ``REVERTED``, known when the return is seen: the price moves by more than half of a good one,
    and a price that takes effect within 3 days is back within 10 % of it; what lies between and is
    further off is flagged.
    """
    quality = np.zeros(len(rows), np.int8)
    flagged = np.full(len(rows), -1)
    order = np.lexsort([rows[name].to_numpy() for name in ("effective", "observed", "offer")])
    prices = _in_order(rows, order)

    for pool in _pools(prices.offer, gpus):
        low = pool[_low_for_gpu(prices.take(pool), gpus)]
        quality[order[low]] = LOW_FOR_GPU
        flagged[order[low]] = prices.observed[low]

    judging = np.flatnonzero(prices.judges & ~np.isnan(prices.price))
    for start, back in _excursions(prices.take(judging)):
        price_before = prices.price[judging[start - 1]]
        between = judging[start:back]
        is_off = np.abs(prices.price[between] / price_before - 1) > RETURN_WITHIN
        suspects = order[between[is_off]]
        if quality[order[judging[start - 1]]] == OK:
            errors = suspects[quality[suspects] == OK]
            quality[errors] = REVERTED
            flagged[errors] = prices.observed[judging[back]]
    return quality, flagged


def _in_order(rows: pd.DataFrame, order: np.ndarray) -> PriceRows:
    """Return the sorted rows, those marked that may judge others."""
    offer = rows["offer"].to_numpy()[order]
    effective = rows["effective"].to_numpy()[order]
    _, rank = np.unique(effective, return_inverse=True)
    position = offer * (rank.max(initial=0) + 1) + rank  # by offer, then by time of effect
    latest_before = np.maximum.accumulate(position)[:-1]
    return PriceRows(
        offer=offer,
        observed=rows["observed"].to_numpy()[order],
        effective=effective,
        price=rows["price"].to_numpy()[order],
        judges=np.append(True, position[1:] > latest_before)[: len(position)],
    )


def _pools(offer: np.ndarray, gpus: pd.DataFrame) -> list[np.ndarray]:
    """Return the rows of offers that are compared: one provider, GPU model, option and term."""
    pool_keys = ["provider", "gpu_model", "purchase_option", "term"]
    pool = pd.Series(offer).map(gpus.groupby(pool_keys).ngroup())
    return [np.asarray(rows) for rows in pool.groupby(pool).indices.values()]


def _excursions(prices: PriceRows) -> list[tuple[int, int]]:
    """Return (first row off, row that is back) in the order in which the returns were seen."""
    offer = prices.offer
    effective = prices.effective
    price = prices.price
    same_offer = offer[1:] == offer[:-1]
    jump = same_offer & (np.abs(price[1:] / price[:-1] - 1) > JUMP)
    longest = RETURN_DAYS * MICROSECONDS_PER_DAY
    found = []
    for start in (np.flatnonzero(jump) + 1).tolist():
        for back in range(start + 1, len(offer)):
            if offer[back] != offer[start] or effective[back] - effective[start] > longest:
                break
            if abs(price[back] / price[start - 1] - 1) <= RETURN_WITHIN:
                found.append((start, back))
    return sorted(found, key=lambda pair: pair[::-1])


def _low_for_gpu(prices: PriceRows, gpus: pd.DataFrame) -> np.ndarray:
    """Return which rows of one pool are too low for their GPU model."""
    offers, column = np.unique(prices.offer, return_inverse=True)
    times, line = np.unique(prices.observed, return_inverse=True)
    machines = gpus.loc[offers]
    per_gpu = prices.price / machines["gpu_count"].to_numpy(float)[column]
    asked = _asked_at(prices.judges, line, column, per_gpu, (len(times), len(offers)))

    limit = asked.median(axis=1).to_numpy() * LOW_SHARE
    enough = asked.count(axis=1).to_numpy() >= FEWEST_PEERS
    is_low = (per_gpu < limit[line]) & enough[line]
    low = np.flatnonzero(is_low & ~_is_small(machines, asked)[line, column])
    if machines["purchase_option"].iloc[0] != "spot":
        return low
    level = _level_beside(asked, machines, line[low], column[low])
    return low[~(per_gpu[low] >= level * LOW_SHARE)]  # also where none stands beside


def _asked_at(
    judges: np.ndarray,
    line: np.ndarray,
    column: np.ndarray,
    per_gpu: np.ndarray,
    shape: tuple[int, int],
) -> pd.DataFrame:
    """Return the price per GPU in force (times seen, offers), NaN where none was known yet."""
    row_in_force = np.full(shape, -1)
    np.maximum.at(row_in_force, (line[judges], column[judges]), np.flatnonzero(judges))
    row_in_force = np.maximum.accumulate(row_in_force, axis=0)
    return pd.DataFrame(np.append(per_gpu, np.nan)[row_in_force])  # -1 takes the NaN at the end


def _is_small(machines: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
    """Return where a machine is small beside those on offer (times seen, offers)."""
    small = np.full(asked.shape, True)
    for vcpus in (machines["vcpus"], machines["vcpus"] / machines["gpu_count"]):
        size = vcpus.to_numpy(float)
        usual = (asked * 0 + size).median(axis=1).to_numpy()  # NaN where it is not on offer
        small &= size < usual[:, None] * LOW_SHARE
    return small


def _level_beside(
    asked: pd.DataFrame, machines: pd.DataFrame, lines: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return what other machines of the region ask per GPU at that time, NaN where none does."""
    region = machines["region"].to_numpy()
    machine = machines["instance_type"].to_numpy()
    levels = []
    for line, column in zip(lines, columns, strict=True):
        beside = (region == region[column]) & (machine != machine[column])
        levels.append(asked.loc[line, beside].dropna().median())
    return np.array(levels)


def mark_errors(con: duckdb.DuckDBPyConnection) -> None:
    """Judge all administered prices of a store anew; what was known at a time stays as it was."""
    parts = ", ".join(OFFER_PARTS)
    rows = con.execute(f"""
        SELECT
            rowid AS row,
            concat_ws('/', {parts}) AS offer_id,
            epoch_us(effective_at) AS effective,
            epoch_us(observed_at) AS observed,
            coalesce(price_usd_per_hour, 'nan') AS price
        FROM price_events
        WHERE price_kind = 'administered'
    """).df()
    gpus = con.execute(f"""
        SELECT DISTINCT
            concat_ws('/', {parts}) AS offer_id, {parts}, gpu_model, gpu_count, vcpus
        FROM price_events JOIN instances USING (provider, instance_type)
        WHERE price_kind = 'administered' AND gpu_count > 0 AND gpu_model IS NOT NULL
    """).df()
    rows["offer"], offer_ids = pd.factorize(rows["offer_id"])
    gpus = gpus.set_index(offer_ids.get_indexer(pd.Index(gpus["offer_id"])))
    quality, flagged = judge(rows, gpus)
    marks = pd.DataFrame(
        {"row": rows["row"], "quality": np.array(QUALITIES, object)[quality], "flagged": flagged}
    )
    con.register("marks", marks[quality != OK])
    details = {name: f"'{name}': '{sentence}'" for name, sentence in DETAILS.items()}
    con.execute(f"""
        DELETE FROM flags;
        INSERT INTO flags
        SELECT
            {parts},
            effective_at,
            observed_at,
            quality,
            MAP {{{", ".join(details.values())}}}[quality],
            make_timestamptz(flagged)
        FROM price_events JOIN marks ON price_events.rowid = marks.row
    """)
    con.unregister("marks")
