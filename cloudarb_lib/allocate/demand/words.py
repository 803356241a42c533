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
        multiplies the need; what is committed to already below.
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
    amounts = ", then ".join(f"{amount:g}" for amount in w.amounts or (w.amount,))
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
    return row
