"""A plan as ``cloudarb allocate`` prints it, with what launches it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.plan_folder import write_csv
from pipelines.exports.dstack import write_fleets
from pipelines.exports.launches import launch_table
from pipelines.exports.skypilot import write_tasks

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.allocate import Demand, Plan, Problem
    from cloudarb_lib.market import Market


def print_what_must_move(demand: Demand, market: Market) -> None:
    """Print what runs now and cannot go on."""
    from cloudarb_lib.advice.move import no_longer_offered

    for sentence in no_longer_offered(demand, market):
        print(f"must move: {sentence}")


def print_conflicts(problem: Problem) -> None:
    """Print what would mend that there is no plan."""
    from cloudarb_lib.allocate import conflicts

    print("No plan keeps every limit. What would mend it:")
    print(*(f"  - {conflict}" for conflict in conflicts(problem)), sep="\n")


def print_plan(plan: Plan, demand: Demand, market: Market, out: Path) -> None:
    """Print the plan, write what launches its first period, and say where all that lies."""
    table = plan.table
    columns = ["workload", "offer_id", "instances", "hours", "expected_cost_usd", "observed"]
    if table["period"].nunique() > 1:
        columns.insert(1, "period")
    observed = table["observed_at"].dt.strftime("%Y-%m-%d %H:%M").fillna("held")
    shown = table.assign(observed=observed)[columns]
    rows = shown.to_string(index=False, float_format="{:,.1f}".format)
    print(rows if len(shown) else "Nothing is rented: all work costs more than it is worth.")
    _print_launches(plan, table, out)
    print(*plan.problem.notes, *_freshness_of_held(demand, market), sep="\n")
    if demand.scenarios:
        print("a set of tasks for each scenario: launch those of the one that comes")


def _print_launches(plan: Plan, table: pd.DataFrame, out: Path) -> None:
    """Write tasks and fleets of the first period, and say how many and what they cannot say."""
    now = table[table["period"] == 0]
    jobs = _jobs_kept_together(plan.problem)
    n_tasks, without_task = write_tasks(now, out / "sky", jobs)
    n_fleets, without_fleet = write_fleets(now, out / "dstack", jobs)
    write_csv(launch_table(now, jobs), out / "launches.csv")
    print(
        f"written to {out}: tables/, plan.csv and {n_tasks} tasks in sky/, "
        f"{n_fleets} fleets in dstack/, in words plan.txt, in rows launches.csv"
    )
    for launcher, unknown in (("SkyPilot", without_task), ("dstack", without_fleet)):
        if unknown:
            print(f"nothing for {', '.join(unknown)}: {launcher} does not know them")
    for workload in jobs:
        kinds = int(now["workload"].eq(workload).sum())
        if kinds > jobs[workload]:
            print(
                f"{workload}: a job that stays together is launched on one kind of machine, the "
                f"plan mixes {kinds}"
            )


def _jobs_kept_together(problem: Problem) -> dict[str, int]:
    """Return the workloads whose jobs each stay in one region, and how many jobs they are.

    A job that may stand in all regions of a provider is launched region by region.
    """
    demands = problem.demands
    kept = demands[demands["together"].isin(["zone", "region"])]
    return {str(name): int(jobs) for name, jobs in zip(kept["workload"], kept["jobs"], strict=True)}


def _freshness_of_held(demand: Demand, market: Market) -> list[str]:
    """Return what the record says of machines held of which no price is on offer."""
    held = {commitment.machine for commitment in demand.commitments}
    states = market.states
    machine = states["provider"] + "/" + states["region"] + "/" + states["instance_type"]
    not_offered = states[machine.isin(held) & states["state"].ne("offered")]
    return [
        f"{name} ({option}): {reason}"
        for name, option, reason in zip(
            machine[not_offered.index],
            not_offered["purchase_option"],
            not_offered["reason"],
            strict=True,
        )
    ]


def write_text(plan: Plan, ends_h: list[float], left_undone: list[str], out: Path) -> None:
    """Write the plan in words, and print what it leaves undone."""
    from pipelines.exports.text import plan_in_words

    text = plan_in_words(plan.table, gap=plan.gap, ends_h=ends_h, left_undone=left_undone)
    (out / "plan.txt").write_text(text, encoding="utf-8")
    for sentence in left_undone:
        print(sentence)


def print_difference(plan: Plan, before: pd.DataFrame, came: str) -> pd.DataFrame:
    """Print what the plan changes against the last one; return it as a table.

    ``came`` is the scenario of the last plan that runs now.
    """
    from cloudarb_lib.allocate.difference import difference
    from pipelines.exports.text import difference_in_words

    found = difference(plan, before, came)
    print(difference_in_words(found))
    if len(found.table):
        print(found.table.to_string(index=False, float_format="{:,.0f}".format, na_rep="gone"))
    return found.table


def print_left_out(states: pd.DataFrame, plan: pd.DataFrame, offers: pd.DataFrame) -> None:
    """Print whether the plan's offers are known to be sold, and which offers are left out."""
    from cloudarb_lib.market import explore

    cheaper = explore.cheaper_left_out(states, plan, offers)
    print(explore.sold_in_words(plan, offers))
    print(explore.left_out_in_words(states, cheaper), "Table offer_states has them all.")


def print_explanation(tables: dict[str, pd.DataFrame], safety: str) -> None:
    """Print the summary fact by fact, the price of safety, and the other tables whole."""
    facts = tables["plan_summary"].itertuples(index=False, name=None)
    for fact, value, unit, text in facts:
        number = f"{value:,.2f} {unit}".rstrip()
        if text and (unit == "" or value != value):
            number = ""
        print(f"{fact}: {', '.join(piece for piece in (number, text) if piece)}")
    if safety:
        print(safety)
    for name, table in tables.items():
        if name != "plan_summary":
            print(f"{name.replace('_', ' ')}:")
            rows = table.to_string(index=False, float_format="{:,.2f}".format)
            print(rows if len(table) else "none: nothing is rented")
