"""Named shocks and what they do to the cost of a plan that is held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.errors import ParameterError
from cloudarb_lib.handover import PROJECT
from cloudarb_lib.risk.cost import Exposure, PlanCost, find_fallbacks, plan_cost
from cloudarb_lib.risk.measures import cvar, probability_over, var
from cloudarb_lib.schema import nearest


@dataclass(frozen=True)
class Scenario:
    """A shock. Factors multiply, 1 leaves as it is.

    ``price`` moves every price but those of commitments; ``volatility`` stretches the log prices of the paths
    around their mean, which it keeps; ``availability`` is the share of the hours that can be had; ``demand``
    scales the work; ``cost`` raises every bill, commitments included. ``provider`` and ``region`` say where
    price and availability are hit: '' is everywhere, 'largest' the one on which the plan spends most.
    """

    name: str
    price: float = 1.0
    volatility: float = 1.0
    availability: float = 1.0
    demand: float = 1.0
    cost: float = 1.0
    provider: str = ""
    region: str = ""

    def __post_init__(self) -> None:
        for name in FACTORS:
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ParameterError(f"scenario {self.name!r}: {name} is {value}.", "Give 0 or more.")
        if self.price == 0 or self.cost == 0 or self.availability > 1:
            raise ParameterError(
                f"scenario {self.name!r}: price {self.price}, cost {self.cost}, availability "
                f"{self.availability}.",
                "Price and cost stay above 0, availability at or below 1.",
            )


FACTORS = ("price", "volatility", "availability", "demand", "cost")


def load_scenarios(path: str | Path = "") -> list[Scenario]:
    """Return the scenarios of a YAML file, a list under ``scenarios``; '' means the shipped four.

    An entry names itself under ``scenario``; the other keys are those of ``Scenario``. Raises ParameterError
    with file and line for a key that is not known (naming the nearest), a value that is no number, a missing
    or repeated name, and a factor that cannot be.
    """
    import yaml

    file = Path(path) if str(path) else PROJECT / "data" / "scenarios.yaml"
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError as cause:
        raise ParameterError(f"no scenario file {file}.") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise ParameterError(f"{file.name}: not YAML ({cause}).") from cause

    def fail(node: yaml.Node, what: str, way_out: str = "") -> ParameterError:
        return ParameterError(f"{file.name} line {node.start_mark.line + 1}: {what}", way_out)

    top = root.value if isinstance(root, yaml.MappingNode) else []
    if len(top) != 1 or top[0][0].value != "scenarios" or not isinstance(top[0][1].value, list):
        raise ParameterError(f"{file.name}: no scenarios.", "Begin with 'scenarios:' and a list.")
    known = ["scenario", *(f.name for f in fields(Scenario) if f.name != "name")]
    loader = yaml.SafeLoader("")
    found: dict[str, Scenario] = {}
    for entry in top[0][1].value:
        if not isinstance(entry, yaml.MappingNode):
            raise fail(entry, "an entry is not a mapping.", "Begin it with '- scenario: name'.")
        given: dict[str, object] = {}
        for key, node in entry.value:
            name = str(key.value)
            if name not in known or name in given:
                reason = "repeats" if name in given else f"is not known{nearest(name, known)}"
                raise fail(key, f"key {name!r} {reason}.", f"Use {', '.join(known)}.")
            value = loader.construct_object(node, deep=True)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number != (name in FACTORS) or not (number or isinstance(value, str)):
                raise fail(node, f"{name} {value!r} is not a {'number' if not number else 'name'}.")
            given[name] = value
        title = str(given.pop("scenario", ""))
        if not title or title in found:
            raise fail(entry, f"the name {title!r} {'repeats' if title else 'is missing'}.")
        try:
            found[title] = Scenario(title, **given)  # type: ignore[arg-type]
        except ParameterError as cause:
            raise fail(entry, cause.what, cause.way_out) from cause
    return list(found.values())


def _place(exposure: Exposure, scenario: Scenario) -> Scenario:
    """Return the scenario with 'largest' replaced by where the plan spends most."""
    spend = pd.Series(exposure.unit_usd.mean(axis=0) * exposure.instance_hours)
    for name in ("provider", "region"):
        if getattr(scenario, name) == "largest":
            by = spend.groupby(exposure.table[name].to_numpy()).sum()
            scenario = replace(scenario, **{name: str(by.idxmax())})  # type: ignore[arg-type]
    return scenario


def shocked(
    exposure: Exposure, scenario: Scenario, *, offers: pd.DataFrame, hazard: pd.DataFrame, seed: int
) -> PlanCost:
    """Return the cost samples of the held plan under a scenario; arguments as ``stress``."""
    scenario = _place(exposure, scenario)
    table, unit = exposure.table, exposure.unit_usd
    hit = np.ones(len(table), dtype=bool)
    for name in ("provider", "region"):
        if getattr(scenario, name):
            hit &= (table[name] == getattr(scenario, name)).to_numpy()
    moves = hit & ~exposure.committed
    mean = unit.mean(axis=0)
    if scenario.volatility != 1.0:
        wide = np.exp(scenario.volatility * np.log(np.maximum(unit, 1e-12) / mean))
        unit = np.where(moves, wide * (mean / wide.mean(axis=0)), unit)
    unit = unit * np.where(moves, scenario.price, 1.0) * scenario.cost
    known = offers if offers.index.name == "offer_id" else offers.set_index("offer_id")
    gone = scenario.provider if scenario.availability < 1.0 else ""
    fallback = find_fallbacks(known, table.index, without_provider=gone)
    at_hit = (not scenario.provider) | fallback["fallback"].map(known["provider"]).eq(scenario.provider)
    fallback_usd = fallback["fallback_usd_per_hour"].to_numpy(float) * scenario.cost
    fallback_usd = fallback_usd * np.where(at_hit, scenario.price, 1.0)
    struck = replace(
        exposure, unit_usd=unit,
        table=table.assign(fallback=fallback["fallback"], fallback_usd_per_hour=fallback_usd),
    )  # fmt: skip
    share = hazard["available_share"] * np.where(hit, scenario.availability, 1.0)
    return plan_cost(
        struck, hazard=hazard.assign(available_share=share), demand_factor=scenario.demand,
        seed=seed,
    )  # fmt: skip


def stress(
    exposure: Exposure,
    scenarios: Iterable[Scenario],
    *,
    offers: pd.DataFrame,
    hazard: pd.DataFrame,
    budget_usd: float,
    seed: int,
) -> pd.DataFrame:
    """Return one row per scenario, first the base, with the plan held; USD over the horizon.

    Columns: scenario, expected_cost_usd, loss_usd (expected cost above the base's), var95_usd and cvar95_usd
    (over the scenario's own expected cost) with their standard errors, probability_over_budget,
    unmet_gpu_hours (expected). ``hazard`` is as of ``cost.hazards``, ``offers`` table ``offers``.
    """
    rows: list[dict[str, object]] = []
    base = 0.0
    for scenario in (Scenario("base"), *scenarios):
        cost = shocked(exposure, scenario, offers=offers, hazard=hazard, seed=seed)
        total, expected = cost.total, float(cost.total.mean())
        base = base if rows else expected
        at_risk, tail = var(total - expected), cvar(total - expected)
        rows.append({
            "scenario": scenario.name, "expected_cost_usd": expected,
            "loss_usd": expected - base,
            "var95_usd": at_risk.value, "var95_error_usd": at_risk.standard_error,
            "cvar95_usd": tail.value, "cvar95_error_usd": tail.standard_error,
            "probability_over_budget": probability_over(total, budget_usd).value,
            "unmet_gpu_hours": float(cost.unmet_gpu_hours.mean()),
        })  # fmt: skip
    return pd.DataFrame(rows)
