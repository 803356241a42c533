"""``cloudarb allocate``: from a file of workloads to a plan that can be acted on."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.manual import with_options
from pipelines.cli.markets import market_on
from pipelines.exit_codes import DONE, INFEASIBLE
from pipelines.exports.skypilot import write_tasks

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.allocate import Demand, Limits, Plan, Problem, SolveOptions
    from cloudarb_lib.market import Market
    from cloudarb_lib.tables.assumptions import Assumptions

_OF_AN_EARLIER_PLAN = (
    "tables/plan.parquet",
    "tables/plan_summary.parquet",
    "tables/plan_runners_up.parquet",
    "tables/frontier_*.parquet",
    "tables/assumptions.parquet",
    "tables/offer_states.parquet",
    "plan.csv",
    "sky/*.yaml",
)
"""Files that go before a new plan is written, which they would mix with."""


@dataclass(frozen=True)
class AllocateOptions:
    """Arguments and options of the verb; those named as fields of ``Limits`` are limits."""

    workloads: Annotated[
        Path, typer.Argument(metavar="WORKLOADS.yaml", help="demand file, such as data/demand.yaml")
    ]
    as_of: Annotated[
        str, typer.Option(metavar="DAY", help="what was known at the end of it, such as 2026-04-29")
    ]
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="gets tables/, plan.csv and sky/*.yaml")
    ]
    paths: Annotated[
        Literal["forecast", "history"], typer.Option(help="where price paths come from")
    ] = "forecast"
    providers: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME ...", help="whose offers may be used  [default: all fresh]"),
    ] = None
    terms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="1y|3y|1y-plan|3y-plan ...",
            help="commitments that may be bought, -plan: savings plans  [default: none]",
        ),
    ] = None
    frontier: Annotated[
        bool,
        typer.Option("--frontier", help="also what other limits on CVaR and on spread would cost"),
    ] = False
    freq: Annotated[str, typer.Option(metavar="STEP", help="step of the price grid")] = "7D"
    horizon_steps: Annotated[int, typer.Option(metavar="N", help="steps that the plan covers")] = 13
    periods: Annotated[
        int, typer.Option(metavar="N", help="equal periods, in each of which machines may change")
    ] = 1
    n_paths: Annotated[
        int, typer.Option(metavar="N", help="price paths over which cost is averaged")
    ] = 500
    stale_after_days: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SOURCE=]DAYS ...",
            help="leave out prices observed longer ago, of a source or of all  [default: 14]",
        ),
    ] = None
    listed_too: Annotated[
        bool,
        typer.Option(
            "--listed-too", help="rent what is listed, but not known to be sold there, too"
        ),
    ] = False
    seed: Annotated[int, typer.Option(metavar="N", help="of the price paths")] = 7
    store: Annotated[
        str, typer.Option(metavar="FOLDER", help="folder of the store  [default: data/store]")
    ] = ""
    time_limit: Annotated[float, typer.Option(metavar="SECONDS", help="most seconds to solve")] = (
        60.0
    )
    gap: Annotated[
        float,
        typer.Option(metavar="SHARE", help="stop at this relative gap of cost and proven bound"),
    ] = 1e-4
    var: Annotated[
        float | None,
        typer.Option(
            metavar="USD", help="hold VaR at --cvar-level to so many USD, by repairing the plan"
        ),
    ] = None
    budget_usd: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="USD",
            help="most that the plan may be expected to cost over the horizon (USD)",
        ),
    ] = None
    cvar_usd: Annotated[
        float | None,
        typer.Option(
            "--cvar",
            metavar="USD",
            help="most that the worst price paths may cost on average (USD)",
        ),
    ] = None
    cvar_level: Annotated[
        float | None, typer.Option(metavar="LEVEL", help="level of CVaR and VaR  [default: 0.95]")
    ] = None
    effective_providers: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="spread spend over so many at least (inverse of summed squared shares)",
        ),
    ] = None
    diversify: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="what these are: provider or region  [default: provider]"
        ),
    ] = None
    max_provider_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="most of the spend with one provider (0 to 1)"),
    ] = None
    max_region_share: Annotated[
        float | None, typer.Option(metavar="SHARE", help="most of the spend in one region (0 to 1)")
    ] = None
    min_on_demand_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="least share of instance-hours on demand (0 to 1)"),
    ] = None
    carbon_kg: Annotated[
        float | None,
        typer.Option(
            metavar="KG",
            help="most CO2e of the electricity over the horizon (kg, average grid intensity)",
        ),
    ] = None
    carbon_usd_per_tonne: Annotated[
        float | None,
        typer.Option(metavar="USD", help="price of a tonne of CO2e, part of the cost (USD)"),
    ] = None
    hazard: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="spot interruptions: calm, advisor-implied (as calm), typical, trace-calibrated "
            "or stressed  "
            "[default: typical]",
        ),
    ] = None

    def __post_init__(self) -> None:
        if min(self.horizon_steps, self.n_paths, self.periods) < 1 or self.seed < 0:
            raise ParameterError(
                "--horizon-steps, --n-paths and --periods must be 1 or more, --seed not below 0.",
                "Leave them out for 13, 500, 1 and 7.",
            )
        if self.out.exists() and not self.out.is_dir():
            raise ParameterError(f"--out {self.out} is a file.", "Name a folder.")


@with_options(AllocateOptions)
def allocate(options: AllocateOptions) -> int:
    """A plan for a file of workloads, at the prices of a time.

    Places the workloads on the offers of that day at the least expected cost over price paths (of
    the forecast; --paths history draws from the past), within the limits given; prints plan, proof,
    what binds, runners-up and the price of safety (--frontier: also what other limits on risk would
    cost); writes tables/, plan.csv and a SkyPilot task for each part of the plan.
    """
    from cloudarb_lib import advice
    from cloudarb_lib import allocate as library
    from cloudarb_lib.tables import run_tables
    from cloudarb_lib.tables.assumptions import load_assumptions

    demand = library.load_demand(options.workloads)
    assumptions = load_assumptions()
    limits = _limits(options)
    solving = library.SolveOptions(
        gap=options.gap, time_limit_s=options.time_limit, progress=print_progress
    )
    market = _market(options)
    problem = _problem(options, market, demand, limits, assumptions)
    if options.var is None:
        plan = library.solve(problem, solving)
    else:
        plan = library.hold_var(problem, options.var, solving)
    if plan.status == "infeasible":
        _print_conflicts(problem)
        return INFEASIBLE
    _write_plan(plan.table, options.out)  # before what explains it, which takes longer
    _print_plan(plan.table, problem, demand, options.out)
    states = market.states_of(advice.accepted_models(demand.workloads))
    _print_left_out(states, plan.table, market.offers)
    quiet = dataclasses.replace(solving, progress=None)
    tables = {"plan_summary": library.summary(plan)}
    run_tables.save_table(states, "offer_states", options.out)
    safety_usd = None
    if plan.status != "interrupted":
        tables["plan_runners_up"] = library.runners_up(plan)
        safety_usd = _price_of_safety(plan, problem, options.var, quiet)
        if options.frontier:
            for limit in ("cvar_usd", "effective_providers"):
                tables[f"frontier_{limit}"] = library.frontier(problem, limit, options=quiet)
    _print_explanation(tables, safety_usd)
    tables["assumptions"] = assumptions.used
    for name, table in tables.items():
        run_tables.save_table(table, name, options.out)
    return DONE


def _limits(options: AllocateOptions) -> Limits:
    """Return the limits given; those left out keep their defaults."""
    from cloudarb_lib.allocate import Limits

    names = {field.name for field in dataclasses.fields(Limits)}
    given = {
        name: value for name, value in vars(options).items() if name in names and value is not None
    }
    return Limits(**given)


def _market(options: AllocateOptions) -> Market:
    """Return the market of the day; ParameterError where nothing is on offer then."""
    from cloudarb_lib.base import units

    units.parse_freq(options.freq)  # refused before the store is read
    return market_on(
        options.as_of,
        options.store,
        providers=options.providers,
        stale_after_days=options.stale_after_days,
        listed_too=options.listed_too,
    )


def _problem(
    options: AllocateOptions,
    market: Market,
    demand: Demand,
    limits: Limits,
    assumptions: Assumptions,
) -> Problem:
    """Return the problem at the offers of the day."""
    import pandas as pd

    from cloudarb_lib import advice
    from cloudarb_lib.allocate import build_problem
    from cloudarb_lib.base import units

    step = units.parse_freq(options.freq)
    models = advice.accepted_models(demand.workloads)
    paths = advice.sample_paths(
        market,
        market.offers_of(models, options.terms or ())["offer_id"],
        assumptions if options.paths == "forecast" else None,
        freq=step,
        horizon_steps=options.horizon_steps,
        n_paths=options.n_paths,
        seed=options.seed,
    )
    hours = options.horizon_steps * step / pd.Timedelta(hours=1) / options.periods
    return build_problem(
        demand,
        market.offers,
        paths=paths,
        limits=limits,
        assumptions=assumptions,
        hours=[hours] * options.periods,
    )


def _print_conflicts(problem: Problem) -> None:
    from cloudarb_lib.allocate import conflicts

    print("No plan keeps every limit. What would mend it:")
    print(*(f"  - {conflict}" for conflict in conflicts(problem)), sep="\n")


def _write_plan(table: pd.DataFrame, out: Path) -> None:
    """Write the plan as a table and as CSV, in place of an earlier one and what explained it."""
    from cloudarb_lib.base.files import replaced
    from cloudarb_lib.tables import run_tables

    for pattern in _OF_AN_EARLIER_PLAN:
        for old in out.glob(pattern):
            old.unlink()
    run_tables.save_table(table, "plan", out)
    with replaced(out / "plan.csv") as unfinished:
        table.to_csv(unfinished, index=False)


def _print_plan(table: pd.DataFrame, problem: Problem, demand: Demand, out: Path) -> None:
    """Print the plan, write the tasks of its first period, and say where all that lies."""
    from cloudarb_lib.allocate import is_idle

    now = table[(table["period"] == 0) & ~is_idle(table)]
    n_tasks, without_task = write_tasks(now, out / "sky")
    columns = ["workload", "offer_id", "instances", "hours", "expected_cost_usd", "observed"]
    if table["period"].nunique() > 1:
        columns.insert(1, "period")
    observed = table["observed_at"].dt.strftime("%Y-%m-%d %H:%M").fillna("held")
    shown = table.assign(observed=observed)[columns]
    print(shown.to_string(index=False, float_format="{:,.1f}".format))
    written = f"written to {out}: tables/, plan.csv and {n_tasks} tasks in sky/"
    print(written, *problem.notes, sep="\n")
    if demand.scenarios:
        print("a set of tasks for each scenario: launch those of the one that comes")
    if without_task:
        print(f"no task for {', '.join(without_task)}: SkyPilot does not know them")


def _print_left_out(states: pd.DataFrame, plan: pd.DataFrame, offers: pd.DataFrame) -> None:
    """Print whether the plan's offers are known to be sold, and which offers are left out."""
    from cloudarb_lib.market import explore

    cheaper = explore.cheaper_left_out(states, plan, offers)
    print(explore.sold_in_words(plan, offers))
    print(explore.left_out_in_words(states, cheaper), "Table offer_states has them all.")


def _price_of_safety(
    plan: Plan, problem: Problem, var: float | None, options: SolveOptions
) -> float | None:
    """Return what the plan costs above the cheapest without risk limits; None where it has none."""
    from cloudarb_lib import allocate as library

    unlimited = library.without_risk_limits(problem)
    if unlimited.limits == problem.limits and var is None:
        return None
    cheapest = library.solve(unlimited, options, start=plan.table)
    return float(plan.objective_usd - cheapest.objective_usd)


def _print_explanation(tables: dict[str, pd.DataFrame], safety_usd: float | None) -> None:
    """Print the summary fact by fact, the price of safety, and the other tables whole."""
    facts = tables["plan_summary"].itertuples(index=False, name=None)
    for fact, value, unit, text in facts:
        number = f"{value:,.2f} {unit}".rstrip()
        if text and (unit == "" or value != value):
            number = ""
        print(f"{fact}: {', '.join(piece for piece in (number, text) if piece)}")
    if safety_usd is not None:
        beside = "beside the cheapest plan without risk limits"
        print(f"price of safety: {safety_usd:,.2f} USD, {beside}")
    for name, table in tables.items():
        if name != "plan_summary":
            print(f"{name.replace('_', ' ')}:")
            print(table.to_string(index=False, float_format="{:,.2f}".format))


def print_progress(plan: Plan) -> None:
    """Print how far the search for a plan is, on stderr.

    Parameters
    ----------
    plan : Plan
        The best so far.
    """
    if not plan.has_plan:
        return
    above = max(plan.objective_usd / plan.bound_usd - 1, 0.0) if plan.bound_usd > 0 else math.inf
    said = f"a plan of {plan.objective_usd:,.0f} USD, at most {above:.2%} above the best"
    print(f"{plan.seconds:6.1f} s: {said}", file=sys.stderr)
