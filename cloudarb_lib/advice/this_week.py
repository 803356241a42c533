"""What to do this week: move or stay, commit or wait, and in which order."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.advice.move import MoveAdvice
from cloudarb_lib.base.wording import as_known, dollars, last_day
from cloudarb_lib.market.explore import offer_in_words, pools_in_words, term_in_words


def this_week(moving: MoveAdvice | None, commitments: pd.DataFrame, *, weeks: float) -> str:
    """Return in a sentence what to do this week.

    Parameters
    ----------
    moving
        Of what runs now; None where nothing is said to run.
    commitments
        As ``commitments_for`` returns them.
    weeks
        Of the plan.
    """
    todo = "start the plan, since the demand file names nothing that runs now"
    if moving and moving.must:
        todo = "move, as what runs now cannot go on"
    elif moving and moving.is_move:
        todo = f"move, which saves {dollars(moving.saving_usd)} in {weeks:g} weeks"
    elif moving:
        todo = "stay, since no move pays back"
    return f"**This week** {todo}; {_commit_in_words(commitments, weeks=weeks)}"


def first_steps(plan: pd.DataFrame, runners_up: pd.DataFrame, *, again: pd.Timestamp) -> str:
    """Return as a list what to do first, in order.

    Parameters
    ----------
    plan
        Table ``plan``.
    runners_up
        As ``allocate.runners_up`` returns them.
    again
        End of the day of the next look.
    """
    first = allocate.first_rows(plan)
    first = first[first["instances"] > 0]
    by_cost = first.sort_values("expected_cost_usd", ascending=False)
    fixed = by_cost[by_cost["purchase_option"] == "on_demand"]
    spot = by_cost[by_cost["purchase_option"] == "spot"]
    steps = []
    if len(fixed):
        steps.append(
            f"**Make sure of the machines on demand**: {_machines(fixed)}. A zone list is neither "
            "stock nor quota, so ask for the quota first."
        )
    if len(spot):
        steps.append(f"**Then take spot**: {_machines(spot)}, as far as there is room.")
    known = runners_up.dropna(subset="extra_usd")
    steps += [_otherwise(row) for _, row in known.iterrows()]
    steps.append(f"**Look again** on {last_day(again)}: run the same configuration anew.")
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _otherwise(runner_up: pd.Series) -> str:
    return pools_in_words(
        f"If {runner_up['workload']} finds no room in {runner_up['pool']}, take "
        f"{runner_up['runner_up']}: {as_known(runner_up['extra_usd'], runner_up['extra_is'])} more."
    )


def _machines(rows: pd.DataFrame) -> str:
    parts = [
        f"{row['instances']:,.4g} x {offer_in_words(row['offer_id'])} for {row['workload']} "
        f"({dollars(row['expected_cost_usd'])})"
        for _, row in rows.iterrows()
    ]
    return "; ".join(parts)


def _commit_in_words(commitments: pd.DataFrame, *, weeks: float) -> str:
    sold = commitments[commitments["term"] != ""]
    if commitments.empty:
        return "nothing is rented on demand, so there is nothing to commit to."
    if sold.empty:
        return "no commitment is on record for what the plan rents on demand."
    if sold["pays"].any():
        best = sold[sold["pays"]].nlargest(1, "saving_usd_per_week").iloc[0]
        return (
            f"commit to {_machine(best)} for {term_in_words(best['term'])}, which pays within the "
            f"{weeks:g} weeks."
        )
    soonest = sold.nsmallest(1, "break_even_weeks").iloc[0]
    return (
        f"wait with commitments: the first to pay, {_machine(soonest)} for "
        f"{term_in_words(soonest['term'])}, takes a need of "
        f"{soonest['break_even_weeks']:.0f} weeks, and {weeks:g} are asked for."
    )


def _machine(row: pd.Series) -> str:
    return offer_in_words(row["offer_id"]).replace(" on demand", "")
