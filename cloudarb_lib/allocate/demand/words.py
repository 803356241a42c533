"""A demand told in words."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.allocate.demand.facts import DemandScenario
from cloudarb_lib.allocate.demand.file import Demand
from cloudarb_lib.allocate.demand.workload import Workload


def demand_table(demand: Demand) -> pd.DataFrame:
    """Return the demand as a table for people.

    Parameters
    ----------
    demand
        What has to run.

    Returns
    -------
    pd.DataFrame
        ``workload``, ``needs``, ``on``, ``where``, ``interruptible``; for each scenario by what it
        multiplies the need; ``also``, what else a workload asks for, where one does; what is
        committed to already below.
    """
    rows = [_workload_in_words(w, demand.scenarios) for w in demand.workloads]
    rows += [
        {
            "workload": "committed already",
            "needs": f"{held.instances:g} machines at {held.usd_per_hour:g} USD/h each",
            "on": held.machine,
        }
        for held in demand.commitments
    ]
    return pd.DataFrame(rows).fillna("")


def _workload_in_words(w: Workload, scenarios: tuple[DemandScenario, ...]) -> dict[str, str]:
    """Return a workload's row of ``demand_table``."""
    unit = "GPU-hours a week" if w.batch else f"GPUs, {w.hours_a_week:g} h a week"
    amounts = ", then ".join(f"{amount:,.6g}" for amount in w.amounts or (w.amount,))
    count = f"{w.count:g} x " if w.count > 1 else ""
    models = [m if rate == 1 else f"{m} (x{rate:g})" for m, rate in w.throughput.items()]
    places = [*w.providers, *w.regions, *(f"not {place}" for place in w.not_in)]
    row = {
        "workload": w.name,
        "needs": f"{count}{amounts} {unit}",
        "on": ", ".join(models),
        "where": ", ".join(place for place in places if place != "*") or "anywhere",
        "interruptible": "yes" if w.interruptible else "no",
    }
    for future in scenarios:
        column = f"{future.name} ({future.probability:.0%})"
        row[column] = f"x {future.factors.get(w.name, 1.0):g}"
    also = [words for words, is_asked in _conditions(w).items() if is_asked]
    return row | ({"also": "; ".join(also)} if also else {})


def _conditions(w: Workload) -> dict[str, bool]:
    """Return what a workload may ask for beside its needs, in words, and whether it does."""
    return {
        f"at most {w.max_usd_per_gpu_hour} USD per GPU-hour": w.max_usd_per_gpu_hour is not None,
        f"{w.min_on_demand_share:.0%} off spot": w.min_on_demand_share > 0,
        f"survives the loss of a {w.survives_loss_of}": w.survives_loss_of != "",
        f"at most {w.max_interruptions_a_week} interruptions a week": (
            w.max_interruptions_a_week is not None
        ),
        f"{w.early_usd_per_gpu_hour_week:g} USD per GPU-hour for a week earlier": (
            w.early_usd_per_gpu_hour_week > 0
        ),
        f"users within {', '.join(users.words for users in w.latency)}": w.latency != (),
        f"of team {w.team}": w.team is not None,
    }
