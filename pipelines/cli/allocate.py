"""``cloudarb allocate``: from a file of workloads to a plan that can be acted on."""

from __future__ import annotations

import dataclasses
import math
import sys
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from pipelines.cli import plan_shown
from pipelines.cli.allocate_options import AllocateOptions
from pipelines.cli.manual import with_options
from pipelines.cli.markets import market_on
from pipelines.cli.plan_folder import last_plan, running, write_csv, write_plan
from pipelines.exit_codes import DONE, INFEASIBLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cloudarb_lib.allocate import Demand, Plan, Problem, SolveOptions
    from cloudarb_lib.market import Market
    from cloudarb_lib.tables.assumptions import Assumptions


@with_options(AllocateOptions)
def allocate(options: AllocateOptions) -> int:
    """A plan for a file of workloads, at the prices of a time.

    Places the workloads on the offers of that day at the least expected cost over price paths (of
    the forecast; --paths history draws from the past), within the limits given; prints plan, proof,
    what binds, runners-up and the price of safety (--frontier: also what other limits on risk would
    cost); writes tables/, plan.csv, plan.txt (what to rent, in words), and a SkyPilot task and a
    dstack fleet for each part of the plan. docs/demand.md lists what the file may say.
    """
    from cloudarb_lib import allocate as library
    from cloudarb_lib.tables.assumptions import load_assumptions

    before = None if options.last_plan is None else last_plan(options.last_plan)
    demand = _demand(options)
    came = ""
    if before is not None:
        demand, came = running(demand, before, options.scenario)
    assumptions = load_assumptions()
    solving = library.SolveOptions(
        gap=options.gap,
        work_limit=options.work_limit,
        time_limit_s=options.time_limit,
        progress=print_progress,
    )
    market = _market(options)
    hours = _hours_of_periods(options, demand)
    with library.with_lines_of(options.workloads):
        plan_shown.print_what_must_move(demand, market)
        problem = _problem(options, market, demand, assumptions, hours=hours)
    plan = _solve(problem, options, solving)
    if plan.status == "infeasible":
        plan_shown.print_conflicts(problem)
        return INFEASIBLE
    write_plan(plan.table, options.out)  # before what explains it, which takes longer
    plan_shown.print_plan(plan, demand, market, options.out)
    left_undone = library.left_undone(plan)
    plan_shown.write_text(plan, list(accumulate(hours)), left_undone, options.out)
    if before is not None:
        table = plan_shown.print_difference(plan, before, came)
        write_csv(table, options.out / "changes.csv")
    _explain(plan, market, demand, options, dataclasses.replace(solving, progress=None))
    _save({"assumptions": assumptions.used}, options)
    return DONE


def _demand(options: AllocateOptions) -> Demand:
    """Return the demand under the limits given."""
    from cloudarb_lib.allocate import Limits, load_demand

    demand = load_demand(options.workloads)
    names = {field.name for field in dataclasses.fields(demand.limits)}
    given = {
        name: value for name, value in vars(options).items() if name in names and value is not None
    }
    Limits(**given)  # refused by the name that the option has
    return dataclasses.replace(demand, limits=dataclasses.replace(demand.limits, **given))


def _hours_of_periods(options: AllocateOptions, demand: Demand) -> list[float]:
    """Return the hours of each period: equal ones where so many are asked for."""
    import pandas as pd

    from cloudarb_lib.allocate import hours_of_periods
    from cloudarb_lib.base import units

    step_h = units.parse_freq(options.freq) / pd.Timedelta(hours=1)
    hours = options.horizon_steps * step_h
    if options.periods is None:
        return hours_of_periods(demand, hours, step_h=step_h)
    return [hours / options.periods] * options.periods


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
    assumptions: Assumptions,
    *,
    hours: Sequence[float],
) -> Problem:
    """Return the problem at the offers of the day."""
    from cloudarb_lib import advice
    from cloudarb_lib.allocate import build_problem
    from cloudarb_lib.base import units

    built = partial(build_problem, offers=market.offers, assumptions=assumptions, hours=hours)
    # What nothing serves is told before prices are forecast; a limit on CVaR needs their paths.
    without_cvar = dataclasses.replace(demand.limits, cvar_usd=None)
    built(dataclasses.replace(demand, limits=without_cvar))
    models = advice.accepted_models(demand.workloads)
    paths = advice.sample_paths(
        market,
        market.offers_of(models, demand.limits.terms)["offer_id"],
        assumptions if options.paths == "forecast" else None,
        freq=units.parse_freq(options.freq),
        horizon_steps=options.horizon_steps,
        n_paths=options.n_paths,
        seed=options.seed,
    )
    return built(demand, paths=paths)


def _solve(problem: Problem, options: AllocateOptions, solving: SolveOptions) -> Plan:
    """Return the plan; of what priorities leave to serve, where not all can be."""
    from cloudarb_lib import allocate as library

    if options.var is None:
        return library.solve_by_priority(problem, solving)
    plan = library.hold_var(problem, options.var, solving)
    if plan.status != "infeasible":
        return plan
    served = library.by_priority(problem)
    return plan if served is problem else library.hold_var(served, options.var, solving)


def _explain(
    plan: Plan, market: Market, demand: Demand, options: AllocateOptions, quiet: SolveOptions
) -> None:
    """Print and keep what explains a plan."""
    from cloudarb_lib import advice
    from cloudarb_lib import allocate as library

    states = market.states_of(advice.accepted_models(demand.workloads))
    plan_shown.print_left_out(states, plan.table, market.offers)
    _save({"offer_states": states}, options)
    tables = {"plan_summary": library.summary(plan, library.binding(plan, quiet))}
    safety = ""
    if plan.status != "interrupted":
        tables |= library.commitment_tables(plan, quiet)
        tables["plan_runners_up"] = library.runners_up(plan, quiet)
        safety = _price_of_safety(plan, options.var, quiet)
        if options.frontier:
            for limit in ("cvar_usd", "effective_providers"):
                tables[f"frontier_{limit}"] = library.frontier(plan.problem, limit, options=quiet)
    plan_shown.print_explanation(tables, safety)
    _save(tables, options)


def _save(tables: dict[str, pd.DataFrame], options: AllocateOptions) -> None:
    from cloudarb_lib.tables.run_tables import save_table

    for name, table in tables.items():
        save_table(table, name, options.out)


def _price_of_safety(plan: Plan, var: float | None, options: SolveOptions) -> str:
    """Say what the plan costs above the cheapest without risk limits; nothing where it has none."""
    from cloudarb_lib import allocate as library

    unlimited = library.without_risk_limits(plan.problem)
    if unlimited.limits == plan.problem.limits and var is None:
        return ""
    saved = library.extra_cost(plan, unlimited, options, saves=True)
    how = "" if saved.proof == "solved" else f"{saved.proof} "
    if saved.usd != saved.usd:
        return f"price of safety: {saved.proof}"
    beside = "beside the cheapest plan without risk limits"
    return f"price of safety: {how}{0.0 - saved.usd:,.2f} USD, {beside}"


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
