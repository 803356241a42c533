"""Shocks and episodes of the record: what they do to a plan that is held, and to one planned anew."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from cloudarb_lib import allocate
from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import NotNegative, Number, Positive, Text, read, record
from cloudarb_lib.base.types import Paths
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.base.yaml_files import read_yaml
from cloudarb_lib.risk.cost import PlanCost, World, find_fallbacks, plan_cost
from cloudarb_lib.risk.measures import cvar, probability_over, var
from cloudarb_lib.tables.assumptions import Assumptions
from cloudarb_lib.tables.validation import validate

WHOM = ("purchase_option", "gpu_model", "provider", "region")
"""Who is hit, narrowed down in this order: the largest region is the largest of what is left."""
GAP = 1e-5
"""Relative gap to which plans are made anew: small, so that one of several nearly as good is not a matter of chance."""
FURTHEST = {"price": 10.0, "volatility": 10.0, "availability": 0.0, "demand": 10.0, "cost": 10.0}
"""How far reverse stress goes before it calls a factor harmless."""
NEAR, REVERSE_PATHS = 1e-3, 2000
SHOWS_LOG = 0.01
"""A shock shows in the first step in which it has moved a price by 1 %."""


Day = Annotated[str, BeforeValidator(str)]
"""YAML reads a day as a date."""


@record
class Scenario:
    """A shock. Factors multiply, 1 leaves as it is.

    ``price`` moves every price but those of commitments; ``volatility`` stretches the log prices of the paths
    around their mean, which it keeps; ``availability`` is the share of the hours that can be had; ``demand``
    scales the work; ``cost`` raises every bill, commitments included. ``provider``, ``region``, ``gpu_model``
    and ``purchase_option`` say whose price and availability are hit: '' is everyone's, 'largest' that on
    which the plan spends most. ``since`` and ``until`` (days) play the record again: from today on prices
    move as they did from the first day to the second, faster where the horizon is shorter, and then stay; each
    offer by its own record (the median of those that have one where it has none), or all by the mean of the
    offers whose id matches the pattern ``record``. ``all_of`` adds other scenarios, in a file by the names of
    entries above. ParameterError for what cannot be.
    """

    name: Text
    price: Positive = 1.0
    volatility: NotNegative = 1.0
    availability: Annotated[Number, Field(ge=0, le=1)] = 1.0
    demand: Annotated[Number, Field(ge=1)] = 1.0
    cost: Positive = 1.0
    provider: str = ""
    region: str = ""
    gpu_model: str = ""
    purchase_option: str = ""
    since: Day = ""
    until: Day = ""
    record: str = ""
    all_of: tuple[Any, ...] = ()

    @property
    def parts(self) -> list[Scenario]:
        """The scenario and all that it adds, and that these add."""
        return [self, *(more for part in self.all_of for more in part.parts)]

    def __post_init__(self) -> None:
        days = [parse_as_of(day) for day in (self.since, self.until) if day]
        if len(days) == 1 or (self.record and not days) or (days and not days[0] < days[1]):
            what = f"scenario {self.name!r}: since {self.since!r}, until {self.until!r} is no stretch of the record."
            raise ParameterError(what, "Give both days, the earlier first.")


@record
class _File:
    scenarios: tuple[Scenario, ...]


def load_scenarios(path: str | Path = "") -> list[Scenario]:
    """Return the scenarios of a YAML file, a list under ``scenarios``; '' means data/scenarios.yaml.

    The keys of an entry are the fields of ``Scenario``. Raises ParameterError with file and line for a key
    that is not known (naming the nearest), a value of the wrong kind, a missing or repeated name, and what cannot be.
    """
    path, ours = path or locations.data() / "scenarios.yaml", "data/scenarios*.yaml"
    found: dict[str, Scenario] = {}
    for i, scenario in enumerate(read(_File, path, ours).scenarios):
        unknown = [name for name in scenario.all_of if str(name) not in found]
        if unknown or scenario.name in found:
            what = f"all_of: {unknown[0]!r} is not an entry above" if unknown else "name repeats"
            at = read_yaml(path, ours).where("scenarios", i, "all_of" if unknown else "name")
            raise ParameterError(f"{at}: scenario {scenario.name!r}: {what}.")
        found[scenario.name] = replace(
            scenario, all_of=tuple(found[str(name)] for name in scenario.all_of)
        )
    return list(found.values())


class _Shock(NamedTuple):
    """A scenario met with a world: factors of ``price`` (offers, steps), ``volatility`` and ``available`` (offers,)."""

    price: np.ndarray
    volatility: np.ndarray
    available: np.ndarray
    demand: float

    @property
    def shown(self) -> int:
        """The step in which it shows: the first whose prices it moves, else 0."""
        return int((np.abs(np.log(self.price)) > SHOWS_LOG).any(axis=0).argmax())

    def seen(self) -> _Shock:
        """Return it as it looks when it shows: from there on prices go on as in the world without it."""
        first = self.price[:, [self.shown]]
        return self._replace(price=np.repeat(first, self.price.shape[1], axis=1))


def _replayed(scenario: Scenario, world: World, ids: pd.Index) -> np.ndarray | None:
    """Return by what the prices of ``ids`` move, (offers, steps), or None where the record does not hold it."""
    record, steps = world.record, len(world.paths.times)
    since, until = parse_as_of(scenario.since), parse_as_of(scenario.until)
    if (
        record is None
        or not len(record.times)
        or since < record.times[0]
        or until > record.times[-1]
    ):
        return None
    pace = max(world.horizon_h / steps * pd.Timedelta(hours=1), (until - since) / steps)
    at = [int(record.times.searchsorted(min(since + k * pace, until))) for k in range(steps + 1)]
    names = fnmatch.filter(record.offers.index, scenario.record) if scenario.record else ids
    known = record.frame().iloc[at].reindex(columns=names)
    ratio = (known / known.iloc[0]).iloc[1:].dropna(axis=1)
    if ratio.empty:
        return None
    if scenario.record:
        return np.tile(ratio.mean(axis=1), (len(ids), 1))
    return ratio.reindex(columns=ids).T.fillna(ratio.median(axis=1)).to_numpy()


def _shock(scenario: Scenario, world: World, plan: pd.DataFrame) -> _Shock | None:
    """Return what a scenario does to the offers, or None where it hits none or the record lacks an episode."""
    offers = world.offers.set_index("offer_id")
    price, demand = np.ones((len(offers), len(world.paths.times))), 1.0
    volatility, available = np.ones((2, len(offers)))
    spend = (plan["instances"] * plan["hours"]).groupby(plan["offer_id"]).sum()
    spend = spend.reindex(offers.index, fill_value=0.0) * offers["price_usd_per_hour"]
    for part in scenario.parts:
        hit = np.ones(len(offers), dtype=bool)
        for column in WHOM:
            whom = getattr(part, column)
            if whom == "largest":
                by = (
                    spend[hit]
                    .groupby(offers.loc[hit, column])
                    .sum()
                    .drop("unstated", errors="ignore")
                )
                whom = by.idxmax() if len(by) else "none"
            hit &= (offers[column] == whom).to_numpy() | (not whom)
        moves = hit & (offers["purchase_option"] != "reserved").to_numpy()
        path = _replayed(part, world, offers.index[moves]) if part.since and hit.any() else 1.0
        if not hit.any() or path is None:
            return None
        price *= part.cost
        price[moves] *= part.price * path
        volatility[moves] *= part.volatility
        available[hit] *= part.availability
        demand *= part.demand
    return _Shock(price, volatility, available, demand)


def _struck(world: World, shock: _Shock) -> World:
    """Return the world at the prices of a shock, with the share of its hours that each offer has."""
    price = world.offers["price_usd_per_hour"] * shock.price.mean(axis=1)
    offers = world.offers.assign(price_usd_per_hour=price, available_share=shock.available)
    at = pd.Index(offers["offer_id"]).get_indexer(world.paths.offer_ids)
    values, wild = (
        world.paths.values * shock.price[at, None, :],
        np.flatnonzero(shock.volatility[at] != 1.0),
    )
    mean = values[wild].mean(axis=1, keepdims=True)
    wide = (np.maximum(values[wild], 1e-12) / mean) ** shock.volatility[at[wild], None, None]
    values[wild] = wide * (mean / wide.mean(axis=1, keepdims=True))
    return replace(world, paths=replace(world.paths, values=values), offers=offers)


def _cost(
    world: World, shock: _Shock, plan: pd.DataFrame, demand: float, steps: slice = slice(None)
) -> PlanCost:
    """Return the cost samples of a plan under a shock, of ``steps`` alone."""
    struck = _struck(replace(world, paths=world.paths.select(plan["offer_id"].unique())), shock)
    paths, whole = struck.paths, len(struck.paths.times)
    paths = replace(paths, times=paths.times[steps], values=paths.values[:, :, steps])
    part = len(paths.times) / whole
    struck = replace(struck, paths=paths, horizon_h=world.horizon_h * part)
    return plan_cost(struck, plan.assign(hours=plan["hours"] * part), demand_factor=demand)


def plan_on(
    offers: pd.DataFrame,
    workloads: list[allocate.Workload],
    paths: Paths | None,
    *,
    assumptions: Assumptions,
    hours: float,
    gap: float,
) -> pd.DataFrame | None:
    """Return the cheapest plan on ``offers`` to a relative ``gap``, None where they cannot serve the workloads."""
    limits = allocate.Limits(terms=("1y",))
    try:
        problem = allocate.build_problem(
            workloads, offers, paths=paths, limits=limits, assumptions=assumptions, hours=hours
        )
    except ParameterError:  # no offer that fits
        return None
    plan = allocate.solve(problem, allocate.SolveOptions(gap=gap))
    return plan.table if plan.has_plan else None


def replan(
    world: World,
    scenarios: Iterable[Scenario],
    plan: pd.DataFrame,
    workloads: list[allocate.Workload],
) -> dict[str, pd.DataFrame]:
    """Return by scenario the plan that would be made once it has struck, table ``plan``, as far as there is one.

    The offers with paths compete at the prices of the step in which the shock shows, as if they went on from
    there as without it (nobody knows how a shock goes on), without limits of budget or risk: what has to run has to
    run. Those marked in column ``stale`` compete only where the others cannot serve. An hour of an offer partly
    to be had costs what is short at its fallback; one not to be had at all is no choice. Commitments of ``plan``
    stay paid beside the new plan.
    """
    kept, plans = plan[plan["offer_id"].str.contains("/reserved/")], {}
    mean = world.paths.values.mean(
        axis=1, keepdims=True
    )  # without limits of risk nothing else counts
    world = replace(world, paths=replace(world.paths, values=mean))
    for scenario in scenarios:
        if (shock := _shock(scenario, world, plan)) is None:
            continue
        struck = _struck(world, shock.seen())
        known = struck.offers[struck.offers["offer_id"].isin(world.paths.offer_ids)]
        known = known[known["purchase_option"] != "reserved"].set_index("offer_id", drop=False)
        instead = find_fallbacks(struck.offers, known.index)["fallback_usd_per_hour"]
        share = known["available_share"]
        extra = ((1.0 - share) * instead).where(share < 1, 0.0)
        known = known.assign(price_usd_per_hour=share * known["price_usd_per_hour"] + extra)
        known = known[(share > 0) & extra.notna()]
        work = [replace(w, amount=w.amount * shock.demand) for w in workloads]
        part, more = (s[known.index].to_numpy()[:, None, None] for s in (share, extra))
        paths = struck.paths.select(known.index)
        paths = replace(paths, values=part * paths.values + more)
        terms: Any = {"assumptions": world.assumptions, "hours": world.horizon_h, "gap": GAP}
        for choice in (known[~known.get("stale", pd.Series(False, known.index))], known):
            made = plan_on(choice.reset_index(drop=True), work, paths, **terms)
            if made is not None:
                plans[scenario.name] = pd.concat([made, kept], ignore_index=True)
                break
    return plans


def _recourse(
    world: World, shock: _Shock, plan: pd.DataFrame, anew: pd.DataFrame
) -> tuple[float, float] | None:
    """Return mean GPU-hours unmet and cost where plan ``anew`` takes over once the shock shows, None where
    ``plan`` looks no worse then."""
    shown = 0 if plan["period"].any() else shock.shown

    def means(of: pd.DataFrame, demand: float, steps: slice, shock: _Shock = shock) -> np.ndarray:
        cost = _cost(world, shock, of, demand, steps)
        return np.array([cost.unmet_gpu_hours.mean(), cost.total.mean()])

    held, taken = (table.groupby("offer_id")["instances"].sum() for table in (plan, anew))
    taken = taken.sub(held, fill_value=0.0).clip(lower=0.0)
    price = _struck(world, shock.seen()).offers.set_index("offer_id")["price_usd_per_hour"]
    move = np.array(
        [0.0, world.assumptions.get("move_overlap_h") * (taken * price[taken.index]).sum()]
    )
    rest = slice(shown, None)
    believed = (
        means(anew, 1.0, rest, shock.seen()) + move,
        means(plan, shock.demand, rest, shock.seen()),
    )
    if tuple(believed[0]) >= tuple(believed[1]):
        return None
    after = means(anew, 1.0, rest) + move
    after += means(plan, shock.demand, slice(shown)) if shown else 0.0
    return float(after[0]), float(after[1])


def stress(
    world: World,
    scenarios: Iterable[Scenario],
    plan: pd.DataFrame,
    *,
    replanned: dict[str, pd.DataFrame],
    budget_usd: float,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return table ``stress``: a row per scenario, first the base, VaR and CVaR at ``level``; scenarios that hit no
    offer and episodes that the record lacks are left out.

    Held: demand beyond the plan is bought on demand, hours short at the fallback. With recourse: from the step in
    which the shock shows (a plan of several periods: from the start) the plan of ``replanned`` (as of ``replan``),
    new offers taken up at ``move_overlap_h`` hours of double rent, where by the prices of that step it leaves less work
    undone than holding, or as much at less cost; else the plan is held. Both are costed at the prices that come,
    so a move may turn out to have been a mistake.
    """
    rows = []
    for scenario in (Scenario("base"), *scenarios):
        if (shock := _shock(scenario, world, plan)) is None:
            continue
        cost = _cost(world, shock, plan, shock.demand)
        total, expected, unmet = cost.total, cost.total.mean(), cost.unmet_gpu_hours.mean()
        anew = replanned.get(scenario.name)
        moved = None if anew is None else _recourse(world, shock, plan, anew)
        left, least = moved or (unmet, expected)
        rows.append(
            {
                "scenario": scenario.name,
                "expected_cost_usd": expected,
                "loss_usd": expected,
                "recourse_loss_usd": least,
                "level": level,
                "var_usd": var(total - expected, level).value,
                "cvar_usd": cvar(total - expected, level).value,
                "probability_over_budget": probability_over(total, budget_usd).value,
                "unmet_gpu_hours": unmet,
                "recourse_unmet_gpu_hours": left,
            }
        )
    table = pd.DataFrame(rows)
    table[["loss_usd", "recourse_loss_usd"]] -= table["expected_cost_usd"].iloc[0]
    return validate(table, "stress")


def reverse_stress(
    world: World,
    plan: pd.DataFrame,
    *,
    budget_usd: float,
    cvar_limit_usd: float = 0.0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return table ``reverse_stress``: the smallest change of each factor that breaks a limit, the plan held.

    ``budget``: the expected cost is above it. ``cvar``: the mean of the worst 1 - ``level`` is above
    ``cvar_limit_usd`` (0: the budget). Sought up to ``FURTHEST`` by Brent's method, to ``NEAR`` of that, on the
    first ``REVERSE_PATHS`` worlds; availability is that of the provider on which the plan spends most. Factor
    ``together``: all that break it alone, each by that share of its own change. NaN where no change so far breaks it.
    """
    from scipy.optimize import brentq

    kinds = world.offers.set_index("offer_id")["gpu_model"]
    near = kinds.isin(kinds[plan["offer_id"]]).to_numpy()  # all that may be the fallback
    paths = replace(world.paths, values=world.paths.values[:, :REVERSE_PATHS])
    world = replace(world, offers=world.offers[near], paths=paths)

    def excess(share: float, far: dict[str, float], limit: str) -> float:
        shocked = {factor: 1.0 + share * change for factor, change in far.items()}
        out = Scenario("out", availability=shocked.pop("availability", 1.0), provider="largest")
        shock = _shock(Scenario("all", all_of=(Scenario("reverse", **shocked), out)), world, plan)  # type: ignore[arg-type]
        assert shock is not None
        total = _cost(world, shock, plan, shock.demand).total
        if limit == "budget":
            return float(total.mean() - budget_usd)
        return float(cvar(total, level).value - (cvar_limit_usd or budget_usd))

    def least(far: dict[str, float], limit: str) -> float:
        at = cache(partial(excess, far=far, limit=limit))  # the ends are asked for again
        if at(0.0) > 0:
            return 0.0
        return min(brentq(at, 0.0, 1.0, xtol=NEAR / 2) + NEAR / 2, 1.0) if at(1.0) > 0 else np.nan

    rows = []
    for limit in ("budget", "cvar"):
        alone = {
            factor: (end - 1.0) * least({factor: end - 1.0}, limit)
            for factor, end in FURTHEST.items()
        }
        rows += [(limit, factor, change) for factor, change in alone.items()]
        rows.append(
            (limit, "together", least({f: c for f, c in alone.items() if np.isfinite(c)}, limit))
        )
    return validate(pd.DataFrame(rows, columns=["limit", "factor", "change"]), "reverse_stress")
