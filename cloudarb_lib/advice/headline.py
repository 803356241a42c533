"""The figures that whoever decides asks for first, and the verdict in three sentences."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.base.wording import count, dollars, percent
from cloudarb_lib.market.disruptions import every_in_words
from cloudarb_lib.market.explore import offer_in_words
from cloudarb_lib.tables.assumptions import Assumptions, HazardPreset
from cloudarb_lib.tables.validation import validate

LEVEL = 0.95
STRESSED: HazardPreset = "stressed"
"""Preset of the assumptions that is told beside the run's own."""
_OVER = "probability_over_budget"
_MOST_NAMED = 3
"""Machines that the verdict names; the plan below it has all of them."""


def headline(
    plan: pd.DataFrame,
    risk: pd.DataFrame,
    hazards: pd.DataFrame,
    *,
    as_of: pd.Timestamp,
    assumptions: Assumptions,
) -> pd.DataFrame:
    """Return the figures of a run that stand first on its page.

    Parameters
    ----------
    plan
        Table ``plan``, with ``gpus``.
    risk
        Table ``risk`` of it.
    hazards
        Table ``hazards`` of it.
    as_of
        When prices were known.
    assumptions
        That say how often spot is taken away under stress.

    Returns
    -------
    pd.DataFrame
        Table ``headline``. Cost is one sum everywhere: rent, fees, and what hours bought elsewhere
        cost beyond the rent saved.
    """
    rows = risk[risk["scope"] == "total"]
    total = rows.set_index(["measure", "level"])["value_usd"]
    none = float("nan")
    expected_usd = total["expected_cost", none]
    by_hazard = hazards.set_index("hazard")["expected_cost_usd"]
    first = allocate.first_rows(plan)
    age = as_of - plan["observed_at"].min()
    how_often = every_in_words(STRESSED, assumptions)
    figures = [
        ("expected_cost", "expected total cost", expected_usd, "USD"),
        ("week", "of it a week", expected_usd * 168 / rows["horizon_h"].iloc[0], "USD"),
        ("gpus", "GPUs rented", first["gpus"].sum(), "GPU"),
        ("budget", "budget", total["budget", none], "USD"),
        ("over_budget", "chance of more than the budget", total[_OVER, none], "share"),
        ("one_in_twenty", "once in twenty at least", expected_usd + total["var", LEVEL], "USD"),
        (
            "worst_twentieth",
            "mean of the worst twentieth",
            expected_usd + total["cvar", LEVEL],
            "USD",
        ),
        ("stressed", f"if spot is taken away {how_often}", by_hazard.get(STRESSED, none), "USD"),
        ("oldest_price", "age of the oldest price rented", age / pd.Timedelta(days=1), "days"),
    ]
    return validate(pd.DataFrame(figures, columns=["name", "meaning", "value", "unit"]), "headline")


def rented_in_words(plan: pd.DataFrame, most: int = _MOST_NAMED) -> str:
    """Return what a plan rents, the dearest first: 4 x p4de.24xlarge in us-east-1 on demand.

    Parameters
    ----------
    plan
        Table ``plan``; its first rows count.
    most
        Offers that are named.
    """
    first = allocate.first_rows(plan)
    first = first[first["instances"] > 0]
    by_offer = first.groupby("offer_id", observed=True)[["instances", "expected_cost_usd"]].sum()
    held = by_offer.sort_values("expected_cost_usd", ascending=False)["instances"]
    parts = [f"{n:,.4g} x {offer_in_words(str(offer))}" for offer, n in held[:most].items()]
    others = held[most:].sum()
    if others:
        parts.append(f"{others:,.4g} more machines")
    in_words = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)
    scenario = "" if "scenario" not in first else first["scenario"].fillna("").max()
    return f"{in_words} (if it comes as {scenario})" if scenario else in_words


def in_short(figures: pd.DataFrame, plan: pd.DataFrame, *, weeks: float) -> str:
    """Return what to rent, what it costs and how wrong that can be, in two sentences.

    Parameters
    ----------
    figures
        Table ``headline``.
    plan
        Table ``plan``.
    weeks
        Of the plan.
    """
    value = figures.set_index("name")["value"]
    side = "within" if value["expected_cost"] <= value["budget"] else "over"
    return (
        f"**Rent {rented_in_words(plan)}**: {value['gpus']:,.0f} GPUs, expected to cost "
        f"**{dollars(value['expected_cost'])}** in all over {weeks:g} weeks, {side} the budget of "
        f"{dollars(value['budget'])}.\n\n"
        f"**How wrong that can be:** once in twenty it is {dollars(value['one_in_twenty'])} or "
        f"more, {percent(100 * value['over_budget'])} of the sample paths cost more than the "
        f"budget{_on_spot(figures, plan)} prices up to "
        f"{count(round(value['oldest_price']), 'day')} old."
    )


def _on_spot(figures: pd.DataFrame, plan: pd.DataFrame) -> str:
    """Return what a plan costs where its spot is often taken away, up to what else is in doubt."""
    is_spot = plan["offer_id"].astype(str).str.contains("/spot/") & (plan["instances"] > 0)
    if not is_spot.any():
        return (
            "; in doubt are above all whether there is room for so many machines, which no record "
            "tells, and"
        )
    stressed_usd = figures.set_index("name")["value"]["stressed"]
    how_often = figures.set_index("name")["meaning"]["stressed"]
    return (
        f", and {dollars(stressed_usd)} is expected {how_often}; in doubt are above "
        "all how often that happens and whether there is room for so many machines, which no "
        "record tells, and"
    )
