"""Reserve a block of capacity for a run with a deadline, or go on spot: which is cheaper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from cloudarb_lib.advice.dated.job import ROUNDING
from cloudarb_lib.advice.dated.run import BEST, SPOT_ALONE, Availability, DatedRun, advise_run
from cloudarb_lib.base.errors import ParameterError

RESERVE = "reserve"
ON_DEMAND_ONLY = "on-demand only"


@dataclass(frozen=True)
class Block:
    """Capacity that is sold ahead, by whole units of time, and is there once it is bought.

    Parameters
    ----------
    usd_per_hour
        For the machines of the run together, paid for every hour of the block.
    unit_h
        Hours of which it is made of whole numbers; capacity blocks of AWS are sold by the day.

    Raises
    ------
    ParameterError
        For a price or a unit that is not above 0.
    """

    usd_per_hour: float
    unit_h: float = 24.0

    def __post_init__(self) -> None:
        if not (self.usd_per_hour > 0 and self.unit_h > 0):
            what = f"a block at {self.usd_per_hour:g} USD/h by {self.unit_h:g} h is none."
            raise ParameterError(what, "Give a price and hours above 0.")

    def hours(self, run: DatedRun) -> float:
        """Return the hours that are paid for a run: its work and one start, in whole units."""
        needed_h = run.work_h + run.restart_h
        return math.ceil(needed_h / self.unit_h - ROUNDING) * self.unit_h


def reserve_or_spot(
    run: DatedRun,
    block: Block,
    availability: Mapping[str, Availability],
    *,
    max_p_late: float,
    n_paths: int,
    seed: int,
) -> pd.DataFrame:
    """Return which way to run is cheapest, under each of some views of how spot comes and goes.

    Ways: the block; on-demand only; the best policy on spot with on-demand behind it (best policy);
    spot alone. The block and on-demand are never late.

    Parameters
    ----------
    max_p_late
        Ways that are late more often are not taken.
    n_paths
        Draws of availability.

    Returns
    -------
    pd.DataFrame
        A row per view: ``choice``; ``reserve_usd``; ``on_demand_usd`` (NaN without on-demand);
        ``spot_usd``, ``spot_p90_usd`` and ``spot_p_late`` of the best policy, ``alone_usd`` and
        ``alone_p_late`` of spot alone (expected, what being late costs included);
        ``break_even_usd_per_hour``: a block dearer than this an hour costs more than the cheapest
        of the other ways that are late no more often than allowed (NaN where none is).

    Raises
    ------
    ParameterError
        For a chance outside [0, 1].
    """
    if not 0 <= max_p_late <= 1:
        raise ParameterError(f"a chance of {max_p_late:g} is outside 0 to 1.")
    rows = {}
    for name, view in availability.items():
        costs = advise_run(run, view, n_paths=n_paths, seed=seed, spot_now=None).costs
        rows[name] = _row(costs, block.usd_per_hour, block.hours(run), max_p_late)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("availability")


def _row(
    costs: pd.DataFrame, block_usd_per_hour: float, block_h: float, max_p_late: float
) -> dict[str, object]:
    """Return a row of ``reserve_or_spot``."""
    ways = [name for name in (ON_DEMAND_ONLY, BEST, SPOT_ALONE) if name in costs.index]
    alone = costs.loc[SPOT_ALONE if SPOT_ALONE in costs.index else BEST]
    expected_usd = costs["expected_usd"].reindex(ways)
    in_time = expected_usd[costs["p_late"].reindex(ways) <= max_p_late]
    cheapest_usd = float(in_time.min()) if len(in_time) else float("nan")
    reserve_usd = block_usd_per_hour * block_h
    is_other = len(in_time) > 0 and cheapest_usd < reserve_usd
    return {
        "choice": str(in_time.idxmin()) if is_other else RESERVE,
        "reserve_usd": reserve_usd,
        "on_demand_usd": costs["expected_usd"].get(ON_DEMAND_ONLY, float("nan")),
        "spot_usd": costs.loc[BEST, "expected_usd"],
        "spot_p90_usd": costs.loc[BEST, "p90_usd"],
        "spot_p_late": costs.loc[BEST, "p_late"],
        "alone_usd": alone["expected_usd"],
        "alone_p_late": alone["p_late"],
        "break_even_usd_per_hour": cheapest_usd / block_h,
    }
