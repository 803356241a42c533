"""Two runs beside each other: what changed, and whether prices, data, demand or code did it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.base.wording import dollars, in_unit, setting_in_words
from cloudarb_lib.market.explore import offer_in_words
from cloudarb_lib.tables.run_tables import load_table
from pipelines.report.runs import Run, change_in_words, fault, headline

CAUSES = ("prices", "data", "demand", "parameters", "code")


@dataclass(frozen=True)
class Differences:
    """What differs between two runs.

    Parameters
    ----------
    causes
        By cause (of ``CAUSES``), what differs, in words; causes that do not differ are absent.
    figures
        A row per headline figure that changed: figure, before, after, change (texts).
    parts
        Parts that the change of the expected total cost is made of, USD, in order; empty where one
        of the runs has no plan.
    plan
        A row per workload and offer whose number of machines differs.
    lacking
        A sentence per run without a plan: two runs are not alike for want of one.
    """

    causes: dict[str, str]
    figures: pd.DataFrame
    parts: dict[str, float]
    plan: pd.DataFrame
    lacking: tuple[str, ...] = ()


def compare(before: Run, after: Run, reports: Path) -> Differences:
    """Return what differs between two runs."""
    plans = _tables("plan", before, after, reports)
    offers = _tables("offers", before, after, reports)
    figures = [headline(run, reports) for run in (before, after)]
    plan = pd.DataFrame()
    parts = {}
    if plans:
        plan = allocate.changes(*plans)
        if offers and len(figures[0]) and len(figures[1]):
            total = [float(table["value"]["expected_cost"]) for table in figures]
            parts = _parts(plans, offers, total[1] - total[0])
    causes = _causes(before, after)
    if parts.get(_PRICES) and "prices" not in causes:
        causes["prices"] = "list prices of what was rented"
    lacking = tuple(_without_plan(run) for run in (before, after) if not _has_plan(run, reports))
    return Differences(causes, _figures(*figures), parts, plan, lacking)


def _has_plan(run: Run, reports: Path) -> bool:
    return load_table("plan", reports / run["run_id"]) is not None


def _without_plan(run: Run) -> str:
    """Return that a run has no plan, and why where its manifest says so."""
    return f"{run['run_id']} has no plan: {fault(run) or run['status']}"


def _tables(name: str, before: Run, after: Run, reports: Path) -> list[pd.DataFrame]:
    """Return a table of both runs; nothing where one of them lacks it."""
    found = [load_table(name, reports / run["run_id"]) for run in (before, after)]
    both = [table for table in found if table is not None]
    return both if len(both) == len(found) else []


_PRICES = "the same machines at the new list prices"
_MACHINES = "other machines, or more or fewer of them"
_REST = "forecast, fees and hours bought elsewhere"


def _parts(
    plans: list[pd.DataFrame], offers: list[pd.DataFrame], change_usd: float
) -> dict[str, float]:
    """Return what a change of the expected total cost is made of, USD."""
    price = [table.set_index("offer_id")["price_usd_per_hour"] for table in offers]
    hours = [
        (plan["instances"] * plan["hours"]).groupby(plan["offer_id"].astype(str)).sum()
        for plan in plans
    ]
    then_usd = hours[0] * price[0].reindex(hours[0].index)
    # What is not offered any more keeps its last price: giving it up counts as other machines.
    new_price = price[1].reindex(hours[0].index).fillna(price[0])
    by_prices = float((hours[0] * new_price).sum() - then_usd.sum())
    now_usd = float((hours[1] * price[1].reindex(hours[1].index)).sum())
    by_machines = now_usd - float(then_usd.sum()) - by_prices
    return {_PRICES: by_prices, _MACHINES: by_machines, _REST: change_usd - by_prices - by_machines}


def _figures(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the headline figures that changed, as texts."""
    rows = []
    for name in after.index.intersection(before.index):
        old, new = before.loc[name], after.loc[name]
        change = change_in_words(new["value"] - old["value"], new["unit"])
        if change != "unchanged":
            texts = [in_unit(row["value"], row["unit"]) for row in (old, new)]
            rows.append((new["meaning"], *texts, change))
    return pd.DataFrame(rows, columns=["figure", "before", "after", "change"])


def _causes(before: Run, after: Run) -> dict[str, str]:
    """Return which inputs of two runs differ, by cause."""
    causes = {}
    if before["as_of"] != after["as_of"]:
        causes["prices"] = f"known at {before['as_of']}, then at {after['as_of']}"
    if before["snapshot"] != after["snapshot"]:
        causes["data"] = f"snapshot {before['snapshot'][:8]}, then {after['snapshot'][:8]}"
    if _of_notebooks(before, "demand") != _of_notebooks(after, "demand"):
        causes["demand"] = "the demand file says something else"
    changed = [
        f"{key} {setting_in_words(before['config'].get(key))}, "
        f"then {setting_in_words(after['config'].get(key))}"
        for key in sorted({*before["config"], *after["config"]})
        if key != "as_of" and before["config"].get(key) != after["config"].get(key)
    ]
    if changed:
        causes["parameters"] = "; ".join(changed)
    code = [what for what, key in _CODE if before.get(key) != after.get(key)]
    if _of_notebooks(before, "notebook") != _of_notebooks(after, "notebook"):
        code.append("notebooks")
    if code:
        causes["code"] = " and ".join(code)
    return causes


_CODE = (("library", "library"), ("assumptions", "figures"), ("packages", "packages"))


def _of_notebooks(run: Run, key: str) -> dict[str, object]:
    return {name: entry.get(key) for name, entry in run["notebooks"].items()}


def in_words(found: Differences) -> list[str]:
    """Return differences as lines of text: causes, parts of the change, the plan."""
    lines = [f"{cause}: {found.causes[cause]}" for cause in CAUSES if cause in found.causes]
    if not lines:
        lines = ["nothing that a run rests on differs"]
    if len(found.causes) == 1:
        lines.append(f"so what changed is by {next(iter(found.causes))} alone")
    lines += found.lacking
    lines += [f"{part}: {_signed(usd)}" for part, usd in found.parts.items()]
    lines += [
        f"{row.workload}: {row.before:,.4g} -> {row.now:,.4g} x {offer_in_words(str(row.offer_id))}"
        for row in found.plan.itertuples()
    ]
    if found.plan.empty and not found.lacking:
        lines.append("the plan is the same")
    return lines


def _signed(usd: float) -> str:
    amount = dollars(usd)
    return amount if usd < 0 or amount == dollars(0.0) else f"+{amount}"
