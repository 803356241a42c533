"""A plan in facts: its cost and bound, what it uses, what is left undone, what binds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate import trials
from cloudarb_lib.allocate.explain import MARGIN, binding
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.fallback import NotReplaced, gpus_without_fallback, not_replaced
from cloudarb_lib.allocate.problem.limits.served import Served
from cloudarb_lib.allocate.problem.limits.spread import EffectiveProviders
from cloudarb_lib.allocate.problem.model import Consumption

_IN_WORDS = {
    trials.SOLVED: "",
    MARGIN: ", in parts of machines",
    trials.NO_PLAN: ": no plan has it within the limits",
}


def _oldest_observation(plan: Plan) -> str:
    """Return in words when the price was observed that of all those rented is known the longest."""
    observed = plan.table["observed_at"].dropna()
    return f"observed {observed.min():%Y-%m-%d %H:%M} UTC" if len(observed) else "none: all held"


def summary(plan: Plan, binds: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return a plan in facts.

    Parameters
    ----------
    plan
        A plan that is there.
    binds
        What ``binding`` says of it, if that has been asked already.

    Returns
    -------
    pd.DataFrame
        A row for each ``fact``: ``value`` (NaN where it is no number), ``unit`` and ``text``.
    """
    verdict = plan.verdict
    problem = plan.problem
    limits = problem.limits
    rows: list[tuple[str, float, str, str]] = [
        ("status", np.nan, "", plan.status.replace("_", " ")),
        ("expected cost", verdict.objective_usd, "USD", ""),
        *_of_it_elsewhere(plan),
        ("proven bound", plan.bound_usd, "USD", ""),
        ("gap", plan.gap, "", f"{plan.gap:.2%}"),
        ("spend at list prices", verdict.list_spend_usd, "USD", ""),
        (EffectiveProviders(1.0).name(problem), verdict.effective, "", ""),
    ]
    for workload, usd in plan.undone_usd.items():
        rows.append((f"left undone of {workload}", usd, "USD", "of the cost: its worth"))
    if "observed_at" in problem.slots:
        rows.append(("oldest price rented", np.nan, "", _oldest_observation(plan)))
    for row, total in zip(problem.rows, verdict.sums, strict=True):
        if row.unit:
            rows.append((row.name, float(total), row.unit, ""))
    charged = float(verdict.charges_usd.sum())
    if charged:
        rows.append(("charges", charged, "USD", "of it beside rent, disks and site fees"))
    if limits.budget_usd is not None:
        rows.append(("budget", limits.budget_usd, "USD", "of expected cost"))
    if problem.paths is not None:
        rows += _tail(plan)
    binds = binding(plan) if binds is None else binds
    rows += [_binding_fact(row) for row in binds.to_dict("records")]
    return pd.DataFrame(rows, columns=["fact", "value", "unit", "text"])


def _of_it_elsewhere(plan: Plan) -> list[tuple[str, float, str, str]]:
    """Return the facts that part the expected cost, where machines may be taken away."""
    facts = []
    paid = plan.table[["expected_cost_usd", "fallback_usd"]].sum()
    if paid["fallback_usd"]:
        facts += [
            ("rent and fees", paid["expected_cost_usd"], "USD", "of the expected cost"),
            ("hours bought elsewhere", paid["fallback_usd"], "USD", "of the expected cost"),
        ]
    if "is_taken" in plan.problem.assignments:
        consumption = Consumption(plan.problem, plan.units)
        unmet, taken = gpus_without_fallback(consumption)
        if taken:
            text = f"of {taken:g} that may be taken away, were all gone at once"
            facts.append(("finds no room elsewhere", unmet, "GPU", text))
            facts += _hours_not_replaced(not_replaced(consumption))
    return facts


def _hours_not_replaced(expected: NotReplaced) -> list[tuple[str, float, str, str]]:
    """Return the facts on hours that are taken away and that nothing replaces."""
    text = f"expected, of {expected.taken_gpu_hours:,.0f} taken away"
    facts = [("hours not replaced", expected.gpu_hours, "GPU-hour", text)]
    if expected.counted_usd > 0.005:
        text = "of hours bought elsewhere: they find no room there"
        facts.append(("counted for hours not replaced", expected.counted_usd, "USD", text))
    return facts


def _tail(plan: Plan) -> list[tuple[str, float, str, str]]:
    """Return the facts on the worst paths: what a limit on CVaR holds, and all that is paid."""
    verdict = plan.verdict
    problem = plan.problem
    level = f"{problem.limits.cvar_level:g}"
    sure_usd = problem.assignments["sure_usd"].to_numpy(float)
    by_path_usd = plan.units @ (problem.unit_cost - sure_usd)
    certain_usd = Consumption(problem, plan.units).cost_usd - by_path_usd
    of_what = "rent and hours bought elsewhere" if problem.replaced_h.any() else "rent"
    return [
        (f"CVaR {level}", verdict.cvar_usd, "USD", f"of {of_what}"),
        (f"VaR {level}", verdict.var_usd, "USD", f"of {of_what}"),
        (
            f"CVaR {level} with fees",
            verdict.cvar_usd + certain_usd,
            "USD",
            "of all that is paid: fees, disks and charges are certain",
        ),
    ]


def _binding_fact(row: dict) -> tuple[str, float, str, str]:
    """Return the fact that a row of ``binding`` is."""
    how = _IN_WORDS.get(row["worth_is"], f", {row['worth_is']}")
    name = row["limit"]
    if row["kind"] == Served.kind:
        return f"{name}, one more", -row["worth_usd"], "USD", f"marginal cost{how}"
    what = f"used {row['used']:,.6g} of {row['available']:,.6g}"
    text = f"{what}; one {row['unit']} more is worth this{how}"
    return f"binds: {name}", row["worth_usd"], "USD", text
