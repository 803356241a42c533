"""What a plan will have cost by the end of a period, against a budget, and what it hangs on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib import risk
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.risk.cost import over_share

PARTS = ("price", "mix", "volume")
"""What makes cost differ from the plan at today's prices: prices that move; hours that spot lost
and on-demand replaced; work beyond, or short of, the plan."""


@dataclass(frozen=True)
class Budget:
    """A budget for a period.

    Parameters
    ----------
    usd
        What may be spent in the period, above 0.
    spent_usd
        What has been, so far.
    volume_sd
        Standard deviation of the work, over that of the plan (0.1: 10 %). It is lognormal, its mean
        that of the plan.

    Raises
    ------
    ParameterError
        For amounts that are none.
    """

    usd: float
    spent_usd: float = 0.0
    volume_sd: float = 0.0

    def __post_init__(self) -> None:
        if not (self.usd > 0 and self.spent_usd >= 0 and self.volume_sd >= 0):
            raise ParameterError(
                f"a budget of {self.usd:g} USD with {self.spent_usd:g} spent and a spread of work "
                f"of {self.volume_sd:g} is none.",
                "Give a budget above 0, the others from 0 up.",
            )


@dataclass(frozen=True)
class BudgetOutlook:
    """The cost of a period against its budget.

    Attributes
    ----------
    parts
        A row for ``spent``, ``plan at today's prices``, each of ``PARTS`` and ``total``, which is
        their sum: ``mean_usd``, ``p10_usd``, ``p50_usd``, ``p90_usd``; ``share_of_spread``, its
        covariance with the total over the total's variance (they add up to 1; NaN where nothing
        varies); ``when_over_usd``, the mean over those samples that are over (NaN where none is).
    p_over, p_over_error
        Chance to spend more than the budget, and its sampling error (one standard error).
    overrun_usd
        Mean of what is spent beyond it, where it is (0 where it never is).
    unmet_gpu_hours
        Mean of what nothing on offer could replace.
    """

    parts: pd.DataFrame
    p_over: float
    p_over_error: float
    overrun_usd: float
    unmet_gpu_hours: float


def budget_outlook(inputs: risk.RiskInputs, plan: pd.DataFrame, budget: Budget) -> BudgetOutlook:
    """Return what a plan will have cost, as ``risk.plan_cost`` counts it, against a budget.

    Work beyond the plan is bought as there: on demand. Work that fails to come saves the hours paid
    as they are used, none of commitments. How much work comes is independent of prices.

    Raises
    ------
    DataError
        As ``risk.plan_cost``.
    """
    cost = risk.plan_cost(inputs, plan)
    by_offer_usd = cost.table["price_usd_per_hour"] * cost.table["instance_hours"]
    planned_usd = float(by_offer_usd.sum()) + cost.fees_usd
    samples = {
        "spent": np.full(len(cost.total), budget.spent_usd),
        "plan at today's prices": np.full(len(cost.total), planned_usd),
        "price": cost.price.sum(axis=1) - float(by_offer_usd.sum()),
        "mix": cost.capacity.sum(axis=1),
        "volume": _volume_usd(inputs, plan, cost, budget.volume_sd),
    }
    total = np.sum(list(samples.values()), axis=0)
    is_over = total > budget.usd
    p_over = float(is_over.mean())
    rows = {name: _row(part, total, is_over) for name, part in (samples | {"total": total}).items()}
    return BudgetOutlook(
        parts=pd.DataFrame.from_dict(rows, orient="index").rename_axis("part"),
        p_over=p_over,
        p_over_error=float(np.sqrt(p_over * (1.0 - p_over) / len(total))),
        overrun_usd=float((total - budget.usd)[is_over].mean()) if is_over.any() else 0.0,
        unmet_gpu_hours=float(cost.unmet_gpu_hours.mean()),
    )


def _volume_usd(
    inputs: risk.RiskInputs, plan: pd.DataFrame, cost: risk.PlanCost, volume_sd: float
) -> np.ndarray:
    """Return what work beyond the plan costs, or short of it saves, (paths,)."""
    if volume_sd == 0:
        return np.zeros(len(cost.total))
    again_usd = risk.plan_cost(inputs, plan, demand_factor=2.0).demand.sum(axis=1)
    by_use = ~cost.table["committed"].to_numpy(bool)
    saved_usd = (cost.price + cost.capacity)[:, by_use].sum(axis=1)
    sigma = np.sqrt(np.log1p(volume_sd**2))
    rng = np.random.default_rng([inputs.seed, 1])  # apart from the outages
    beyond = np.exp(sigma * rng.standard_normal(len(cost.total)) - sigma**2 / 2) - 1.0
    return np.where(beyond > 0, beyond * again_usd, beyond * saved_usd)


def _row(part: np.ndarray, total: np.ndarray, is_over: np.ndarray) -> dict[str, float]:
    """Return a row of ``BudgetOutlook.parts``."""
    p10, p50, p90 = np.quantile(part, [0.1, 0.5, 0.9])
    variance = total.var()
    covariance = ((part - part.mean()) * (total - total.mean())).mean()
    return {
        "mean_usd": float(part.mean()),
        "p10_usd": float(p10),
        "p50_usd": float(p50),
        "p90_usd": float(p90),
        "share_of_spread": float(covariance / variance) if variance > 0 else np.nan,
        "when_over_usd": float(part[is_over].mean()) if is_over.any() else np.nan,
    }


def until(plan: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return a plan of one period for the first ``share`` of its time, such as to a month's end.

    Raises
    ------
    ParameterError
        For a share outside (0, 1], or a plan of several periods.
    """
    if not 0 < share <= 1:
        raise ParameterError(
            f"{share:.0%} of the plan's time is none of it.", "Give a time within the plan."
        )
    if share < 1 and plan["period"].nunique() > 1:
        what = f"the plan has {plan['period'].nunique()} periods, and cannot be cut."
        raise ParameterError(what, "Leave out the end, or plan for one period.")
    return over_share(plan, share)
