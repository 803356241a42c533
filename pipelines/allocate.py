"""``cloudarb allocate``: from a file of workloads to a plan that can be acted on."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.allocate import Demand, Limits, Problem
    from cloudarb_lib.tables.assumptions import Assumptions

INFEASIBLE = 7
"""Exit code where the limits admit no plan."""

_DEFAULTS = {
    "freq": "7D",
    "horizon-steps": 13,
    "periods": 1,
    "n-paths": 500,
    "stale-after-days": 14.0,
    "seed": 7,
    "store": "",
    "time-limit": 60.0,
    "gap": 1e-4,
}
_NUMBERS = (
    "var",
    "budget-usd",
    "cvar-usd",
    "cvar-level",
    "effective-providers",
    "max-provider-share",
    "max-region-share",
    "min-on-demand-share",
    "carbon-kg",
    "carbon-usd-per-tonne",
)
"""Options without a default; those but the first are fields of Limits."""
_TABLES = ("plan", "plan_summary", "plan_runners_up", "frontier_*", "assumptions")
"""Of an earlier plan, which go before a new one is written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.format_help = Path(__file__).with_name("allocate.txt").read_text
    add = parser.add_argument
    add("workloads", type=Path)
    add("--as-of", required=True)
    add("--out", type=Path, required=True)
    add("--paths", choices=("forecast", "history"), default="forecast")
    add("--providers", nargs="+")
    add("--terms", nargs="+", default=(), choices=("1y", "3y"))
    add("--frontier", action="store_true")
    for name, value in _DEFAULTS.items():
        add(f"--{name}", type=type(value), default=value)
    for name in _NUMBERS:
        add(f"--{name.removesuffix('-usd')}", dest=name.replace("-", "_"), type=float)
    for name in ("diversify", "hazard"):
        add(f"--{name}")


def carry_out(given: argparse.Namespace) -> int:
    """Carry out the verb; return 0, or ``INFEASIBLE`` having said which limits conflict.

    SolveError where time ran out before any plan was found, or the solver failed.
    """
    from cloudarb_lib import allocate
    from cloudarb_lib.base.errors import ParameterError
    from cloudarb_lib.base.files import replaced
    from cloudarb_lib.tables import assumptions, run_tables

    if min(given.horizon_steps, given.n_paths, given.periods) < 1 or given.seed < 0:
        raise ParameterError(
            "--horizon-steps, --n-paths and --periods must be 1 or more, --seed not below 0.",
            "Leave them out for 13, 500, 1 and 7.",
        )
    if given.out.exists() and not given.out.is_dir():
        raise ParameterError(f"--out {given.out} is a file.", "Name a folder.")
    demand, known = allocate.load_demand(given.workloads), assumptions.load_assumptions()
    fields = vars(allocate.Limits())
    limits = allocate.Limits(
        **{k: v for k, v in vars(given).items() if k in fields and v is not None}
    )
    options = allocate.SolveOptions(gap=given.gap, time_limit_s=given.time_limit, progress=_tell)
    problem = _problem(given, demand, limits, known)
    held = given.var is not None
    plan = (
        allocate.hold_var(problem, given.var, options) if held else allocate.solve(problem, options)
    )
    if plan.status == "infeasible":
        print("No plan keeps every limit. What would mend it:")
        print(*(f"  - {said}" for said in allocate.conflicts(problem)), sep="\n")
        return INFEASIBLE
    table = (
        plan.table
    )  # raises where there is no plan; kept before what explains it, which takes longer
    for pattern in (*(f"tables/{name}.parquet" for name in _TABLES), "plan.csv", "sky/*.yaml"):
        for old in given.out.glob(pattern):  # of an earlier plan, which they would mix with
            old.unlink()
    run_tables.save_table(table, "plan", given.out)
    with replaced(given.out / "plan.csv") as part:
        table.to_csv(part, index=False)
    now = table[(table["period"] == 0) & ~allocate.is_idle(table)]
    written, left_out = write_tasks(now, given.out / "sky")
    period = ["period"] * (table["period"].nunique() > 1)
    shown = table[["workload", *period, "offer_id", "instances", "hours", "expected_cost_usd"]]
    print(shown.to_string(index=False, float_format="{:,.1f}".format))
    print(
        f"written to {given.out}: tables/, plan.csv and {written} tasks in sky/",
        *problem.notes,
        sep="\n",
    )
    if demand.scenarios:
        print("a set of tasks for each scenario: launch those of the one that comes")
    if left_out:
        print(f"no task for {', '.join(left_out)}: SkyPilot does not know them")
    tables, quiet = {"plan_summary": allocate.summary(plan)}, replace(options, progress=None)
    safety_usd = None
    if plan.status != "interrupted":
        tables["plan_runners_up"] = allocate.runners_up(plan)
        free = allocate.without_risk_limits(problem)
        if free.limits != limits or held:
            safety_usd = plan.objective_usd - allocate.solve(free, quiet, start=table).objective_usd
        for over in ("cvar_usd", "effective_providers") if given.frontier else ():
            tables[f"frontier_{over}"] = allocate.frontier(problem, over, options=quiet)
    _show(tables, safety_usd)
    for name, content in {**tables, "assumptions": known.used}.items():
        run_tables.save_table(content, name, given.out)
    return 0


def _problem(
    given: argparse.Namespace, demand: Demand, limits: Limits, known: Assumptions
) -> Problem:
    """Return the problem at the offers of the day; ParameterError where the record has none then."""
    import pandas as pd

    from cloudarb_lib import advice, allocate, store
    from cloudarb_lib.base import units

    now, step = units.parse_as_of(given.as_of), units.parse_freq(given.freq)
    ages = {"providers": given.providers, "stale_after_days": given.stale_after_days}
    with store.open_snapshot(given.store) as snapshot:
        [market] = advice.markets(snapshot, [now], **ages)
    paths = market.paths(
        market.wanted(demand.workloads, given.terms)["offer_id"],
        known if given.paths == "forecast" else None,
        freq=step,
        horizon_steps=given.horizon_steps,
        n_paths=given.n_paths,
        seed=given.seed,
    )
    return allocate.build_problem(
        demand,
        market.offers,
        paths=paths,
        limits=limits,
        assumptions=known,
        hours=[given.horizon_steps * step / pd.Timedelta(hours=1) / given.periods] * given.periods,
    )


def _show(tables: dict[str, pd.DataFrame], safety_usd: float | None) -> None:
    for fact, value, unit, text in tables["plan_summary"].itertuples(index=False, name=None):
        number = "" if text and (unit == "" or value != value) else f"{value:,.2f} {unit}".rstrip()
        print(f"{fact}: {', '.join(part for part in (number, text) if part)}")
    if safety_usd is not None:
        print(
            f"price of safety: {safety_usd:,.2f} USD, beside the cheapest plan without risk limits"
        )
    for name, table in list(tables.items())[1:]:
        print(f"{name.replace('_', ' ')}:")
        print(table.to_string(index=False, float_format="{:,.2f}".format))


def _tell(seconds: float, cost_usd: float, bound_usd: float) -> None:
    above = max(cost_usd / bound_usd - 1, 0.0) if bound_usd > 0 else float("inf")
    said = f"{seconds:6.1f} s: a plan of {cost_usd:,.0f} USD, at most {above:.2%} above the best"
    print(said, file=sys.stderr)


CLOUDS = {name: name for name in ("aws", "azure", "gcp", "nebius", "runpod")} | {
    "datacrunch": "verda",
    "lambdalabs": "lambda",
}
"""Names of our providers in SkyPilot (ALL_CLOUDS of sky/skylet/constants.py); others it does not know."""
_OWN_MACHINES = ("aws", "azure", "gcp")
"""Clouds whose machines we name as they do; elsewhere GPU model and number tell the machine."""


def write_tasks(table: pd.DataFrame, folder: Path) -> tuple[int, list[str]]:
    """Write a SkyPilot task for each row of a plan; return how many, and the providers that it does not know.

    ``resources.any_of`` names the planned offer first, then the workload's other offers with as
    many GPUs a machine: what else may serve where the first is sold out. Tasks of an older plan go.
    """
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    table = table[table["instances"] > 0]
    known = table["provider"].isin(CLOUDS)
    for workload, rows in table[known].groupby("workload"):
        places = [_place(row) for row in rows.to_dict("records")]
        for number, (place, nodes) in enumerate(zip(places, rows["instances"], strict=True), 1):
            size = str(place["accelerators"]).split(":")[1]
            others = [
                p for p in places if p != place and str(p["accelerators"]).endswith(f":{size}")
            ]
            name = f"{re.sub('[^A-Za-z0-9.-]+', '-', str(workload)).strip('-.')}-{number}"
            task = {
                "name": name,
                "num_nodes": int(nodes),
                "resources": {"any_of": [place, *others]},
            }
            (folder / f"{name}.yaml").write_text(
                yaml.safe_dump(task, sort_keys=False), encoding="utf-8"
            )
    return len(list(folder.glob("*.yaml"))), sorted(table.loc[~known, "provider"].unique())


def _place(row: dict) -> dict[str, object]:
    """Return an entry of SkyPilot's ``any_of`` for a row of a plan."""
    provider, region, zone, machine, option, _ = str(row["offer_id"]).split("/")
    model = "A100" if row["gpu_model"] == "A100-40GB" else row["gpu_model"]  # SkyPilot's name
    infra = "/".join(
        [CLOUDS[provider], *(part for part in (region, zone) if part and region != "unstated")]
    )
    return {
        "infra": infra,
        **({"instance_type": machine} if provider in _OWN_MACHINES else {}),
        "accelerators": f"{model}:{row['gpus'] / row['instances']:g}",
        "use_spot": option == "spot",
    }
