"""``cloudarb allocate``: from a file of workloads to a plan that can be acted on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.types import Paths

INFEASIBLE = 7
"""Exit code where the limits admit no plan."""

_LIMITS = (
    ("budget_usd", float, "most to spend at today's list prices over the horizon (USD)"),
    ("cvar_usd", float, "most that the worst worlds may cost on average (USD)"),
    ("cvar_level", float, "level of CVaR and VaR (default 0.95)"),
    ("effective_providers", float, "spread spend over so many at least (inverse of summed squared shares)"),
    ("diversify", str, "what these are: provider or region"),
    ("max_provider_share", float, "most of the spend with one provider (0 to 1)"),
    ("max_region_share", float, "most of the spend in one region (0 to 1)"),
    ("min_on_demand_share", float, "least share of instance-hours on demand (0 to 1)"),
    ("carbon_kg", float, "most CO2e of the electricity over the horizon (kg, average grid intensity)"),
    ("carbon_usd_per_tonne", float, "price of a tonne of CO2e, part of the cost (USD)"),
    ("hazard", str, "preset of spot interruptions: calm, typical or stressed"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("workloads", type=Path, help="demand file, such as data/demand.yaml")
    add("--as-of", required=True, help="what was known at the end of this day, such as 2026-04-29")
    add("--out", type=Path, required=True, help="folder for the plan: tables/, plan.csv, sky/*.yaml")
    add("--paths", choices=("forecast", "history"), default="forecast", help="where price paths come from")
    add("--providers", nargs="+", metavar="NAME", help="whose offers may be used (default: all fresh)")
    add("--terms", nargs="+", default=(), choices=("1y", "3y"), help="commitments that may be bought")
    add("--var", type=float, help="hold VaR at --cvar-level up to this (USD), by repairing the plan")
    add("--freq", default="7D", help="step of the price grid (default 7D)")
    add("--horizon-steps", type=int, default=13, help="steps that the plan covers (default 13)")
    add(
        "--periods",
        type=int,
        default=1,
        help="equal periods, in each of which machines may change (default 1)",
    )
    add("--n-paths", type=int, default=500, help="worlds over which cost is averaged (default 500)")
    add("--stale-after-days", type=float, default=14.0, help="leave out sources not looked at for longer")
    add("--seed", type=int, default=7, help="of the price paths (default 7)")
    add("--store", default="", help="folder of the store (default: data/store)")
    add("--time-limit", type=float, default=60.0, help="most seconds to solve (default 60)")
    add("--gap", type=float, default=1e-4, help="stop at this relative gap (default 1e-4: 0.01 %%)")
    for name, kind, meaning in _LIMITS:
        add(f"--{name.replace('_', '-').removesuffix('-usd')}", dest=name, type=kind, help=meaning)


def carry_out(given: argparse.Namespace) -> int:
    """Carry out the verb; return 0, or ``INFEASIBLE`` having said which limits conflict.

    SolveError where time ran out before any plan was found, or the solver failed.
    """
    import pandas as pd

    from cloudarb_lib import allocate, assumptions, handover, history, store, units
    from cloudarb_lib.errors import ParameterError

    now, step = units.parse_as_of(given.as_of), units.parse_freq(given.freq)
    if min(given.horizon_steps, given.n_paths, given.periods) < 1:
        raise ParameterError(
            "--horizon-steps, --n-paths and --periods must be 1 or more.", "Leave them out for 13, 500 and 1."
        )
    demand = allocate.load_demand(given.workloads)
    set_ = {name: value for name, _, _ in _LIMITS if (value := getattr(given, name)) is not None}
    limits = allocate.Limits(**set_, terms=tuple(given.terms))
    options = allocate.SolveOptions(gap=given.gap, time_limit_s=given.time_limit, progress=_tell)
    known = assumptions.load_assumptions()
    with store.open_snapshot(given.store) as snapshot:
        events = snapshot.events(as_of=now, providers=given.providers, gpu_only=True)
        looks, grid = snapshot.looks(as_of=now), snapshot.table("grid_carbon")
    offers, sources = history.current_offers(
        events, looks, as_of=now, stale_after_days=given.stale_after_days
    )
    events = history.fresh(events, sources)
    offers = allocate.with_places(offers, grid)
    accepted = offers["gpu_model"].isin({model for w in demand.workloads for model in w.throughput})
    chosen = offers[accepted & offers["term"].isin(("", *given.terms))]
    paths = None
    if len(chosen):
        panel = history.to_panel(events, looks, freq=step, as_of=now)
        paths = _paths(given, panel, chosen["offer_id"], known)
    problem = allocate.build_problem(
        demand, offers, paths=paths, limits=limits, assumptions=known,
        hours=[given.horizon_steps * step / pd.Timedelta(hours=1) / given.periods] * given.periods,
    )  # fmt: skip
    plan = allocate.hold_var(problem, given.var, options) if given.var else allocate.solve(problem, options)
    if plan.status == "infeasible":
        print("No plan keeps every limit. Each of these alone would mend it:")
        print(*(f"  - {said}" for said in allocate.conflicts(problem)), sep="\n")
        return INFEASIBLE
    table, summary = plan.table, allocate.summary(plan)  # raises where there is no plan
    shown = table[
        ["workload", *["period"] * (given.periods > 1), "offer_id", "instances", "hours", "expected_cost_usd"]
    ]
    print(shown.to_string(index=False, float_format="{:,.1f}".format))
    for fact, value, unit, text in summary.itertuples(index=False, name=None):
        number = "" if text and (unit == "" or pd.isna(value)) else f"{value:,.2f} {unit}".rstrip()
        print(f"{fact}: {', '.join(part for part in (number, text) if part)}")
    free = allocate.without_risk_limits(problem)
    if free.limits != limits or given.var:
        other = allocate.solve(free, options, start=table)
        safety = plan.objective_usd - other.objective_usd
        print(f"price of safety: {safety:,.2f} USD, beside the cheapest plan without risk limits")
    print(*problem.notes, sep="\n", end="\n" if problem.notes else "")
    for name, content in {"plan": table, "plan_summary": summary, "assumptions": known.used}.items():
        handover.save_table(content, name, given.out)
    table.to_csv(given.out / "plan.csv", index=False)
    now = table[(table["period"] == 0) & ~table["workload"].str.startswith(allocate.IDLE)]
    print(
        f"written to {given.out}: tables/, plan.csv and {write_tasks(now, given.out / 'sky')} tasks in sky/"
    )
    return 0


def _tell(seconds: float, cost_usd: float, bound_usd: float) -> None:
    above = cost_usd / bound_usd - 1 if bound_usd > 0 else float("inf")
    print(
        f"{seconds:6.1f} s: a plan of {cost_usd:,.0f} USD, at most {above:.2%} above the best",
        file=sys.stderr,
    )


def _paths(given: argparse.Namespace, panel, offer_ids: pd.Series, known) -> Paths:
    from cloudarb_lib import forecast
    from cloudarb_lib.risk import simulate_paths

    size = {"horizon_steps": given.horizon_steps, "n_paths": given.n_paths, "seed": given.seed}
    if given.paths == "history":
        return simulate_paths(panel.select(panel.offers.index.isin(offer_ids)), **size, model="historical")[0]
    return forecast.forecast_offers(panel, **size, paths_for=offer_ids, assumptions=known).paths


def write_tasks(table: pd.DataFrame, folder: Path) -> int:
    """Write a SkyPilot task for each row of a plan; return how many. Tasks of an older plan go.

    ``resources.any_of`` names the planned offer first, then the workload's other offers with as
    many GPUs a machine: what else may serve where the first is sold out.
    """
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.yaml"):
        old.unlink()
    for workload, rows in table[table["instances"] > 0].groupby("workload"):
        places = [_place(row) for row in rows.to_dict("records")]
        for number, (place, nodes) in enumerate(zip(places, rows["instances"], strict=True), 1):
            size = str(place["accelerators"]).split(":")[1]
            others = [p for p in places if p != place and str(p["accelerators"]).endswith(f":{size}")]
            name = f"{workload}-{number}"
            task = {"name": name, "num_nodes": int(nodes), "resources": {"any_of": [place, *others]}}
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    return len(list(folder.glob("*.yaml")))


def _place(row: dict) -> dict[str, object]:
    """Return an entry of SkyPilot's ``any_of`` for a row of a plan."""
    provider, region, zone, machine, option, _ = str(row["offer_id"]).split("/")
    model = "A100" if row["gpu_model"] == "A100-40GB" else row["gpu_model"]  # SkyPilot's name
    infra = "/".join(part for part in (provider, "" if region == "unstated" else region, zone) if part)
    gpus = row["gpus"] / row["instances"]
    return {
        "infra": infra, "instance_type": machine, "accelerators": f"{model}:{gpus:g}",
        "use_spot": option == "spot",
    }  # fmt: skip
