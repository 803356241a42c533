"""What policies paid beside a reference and hindsight, by half-year."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.base.measures import conditional_value_at_risk
from cloudarb_lib.base.units import half_year

HINDSIGHT = "hindsight"
ALL = "all"
TOLERANCE = 0.005
"""Advice may cost so much more than the best simple policy of a half-year, as a share."""


def by_half_year(paid: pd.DataFrame, *, reference: str) -> pd.DataFrame:
    """Return how policies did, by half-year of the decision and over all.

    Every decision counts alike: costs are shares of what the reference paid for it.

    Parameters
    ----------
    paid
        A row per decision and policy: ``decision``, ``made_at``, ``policy``, ``cost_usd``, and
        perhaps ``moves``; ``HINDSIGHT`` among the policies.
    reference
        The policy that the others are held against.

    Returns
    -------
    pd.DataFrame
        Indexed by half-year (``2025H1``, and ``ALL``) and policy: ``decisions``, ``cost`` (mean
        share), ``gap_closed`` (of the distance from the reference to hindsight; NaN where there is
        none), ``cvar95`` (mean share in the worst twentieth of decisions), ``moves`` (mean).
    """
    wide = paid.pivot(index=["decision", "made_at"], columns="policy", values="cost_usd")
    share = wide.div(wide[reference], axis=0)
    made_at = share.index.to_frame()["made_at"]
    half = made_at.map(half_year)
    rows = []
    for name, group in [*share.groupby(half.to_numpy()), (ALL, share)]:
        gap = 1 - group[HINDSIGHT].mean()
        for policy in share.columns:
            cost = group[policy]
            rows.append(
                {
                    "half_year": name,
                    "policy": policy,
                    "decisions": len(group),
                    "cost": cost.mean(),
                    "gap_closed": (1 - cost.mean()) / gap if gap > 1e-9 else float("nan"),
                    "cvar95": conditional_value_at_risk(cost.to_numpy(), 0.95),
                }
            )
    table = pd.DataFrame(rows).set_index(["half_year", "policy"])
    if "moves" in paid:
        moved = paid.set_index(["decision", "made_at"])
        key = half.reindex(moved.index).to_numpy()
        by_half = moved["moves"].groupby([key, moved["policy"].to_numpy()]).mean()
        over_all = moved["moves"].groupby(moved["policy"].to_numpy()).mean()
        table["moves"] = pd.concat([by_half, pd.concat({ALL: over_all})]).reindex(table.index)
    return table


def worst_half_year(table: pd.DataFrame, advice: str, simple: list[str]) -> tuple[str, str, float]:
    """Return where advice did worst beside the best simple policy: half-year, policy, share above.

    Parameters
    ----------
    table
        As from ``by_half_year``.
    simple
        Policies that need no forecast.
    """
    cost = table["cost"].drop(ALL, level="half_year").unstack("policy")
    above = cost[advice] / cost[simple].min(axis=1) - 1
    worst = str(above.idxmax())
    return worst, str(cost.loc[worst, simple].idxmin()), float(above[worst])


def verdict(table: pd.DataFrame, advice: str, simple: list[str]) -> str:
    """Return in words whether the advice is worth following, held against simple policies."""
    half, best, above = worst_half_year(table, advice, simple)
    overall = table["cost"].xs(ALL, level="half_year")
    least = str(overall[simple].idxmin())
    closed = float(table["gap_closed"].xs(ALL, level="half_year")[advice])
    text = (
        f"The advice closes {closed:.0%} of the gap to hindsight. At its worst, in {half}, it "
        f"costs {above:+.1%} beside {best} "
    )
    within = "within" if above <= TOLERANCE else "beyond"
    text += f"({within} the {TOLERANCE:.1%} allowed). "
    if overall[advice] > overall[least] - 1e-4:
        return text + f"Over all nothing beats {least}: use today's prices."
    return text + f"Over all it costs {overall[advice] / overall[least] - 1:+.1%} beside {least}."
