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
    scales the work; ``cost`` raises every bill, commitments included. ``provider`` says whose price and
    availability are hit: '' is everyone's, 'largest' that of the one on which the plan spends most. Raises
    ParameterError for a factor that cannot be.
    """

    name: str
    price: float = 1.0
    volatility: float = 1.0
    availability: float = 1.0
    demand: float = 1.0
    cost: float = 1.0
    provider: str = ""

    def __post_init__(self) -> None:
        limits = {
            "price": 0 < self.price < np.inf,
            "volatility": 0 <= self.volatility < np.inf,
            "availability": 0 <= self.availability <= 1,
            "demand": 1 <= self.demand < np.inf,
            "cost": 0 < self.cost < np.inf,
        }
        for factor in (name for name, kept in limits.items() if not kept):
            raise ParameterError(
                f"scenario {self.name!r}: {factor} is {getattr(self, factor)}.",
                "Price and cost are above 0, volatility 0 or more, availability 0 to 1, demand 1 or more.",
            )


def load_scenarios(path: str | Path = "") -> list[Scenario]:
    """Return the scenarios of a YAML file, a list under ``scenarios``; '' means the shipped four.

    The keys of an entry are the fields of ``Scenario``. Raises ParameterError with file and scenario for a
    key that is not known (naming the nearest), a value of the wrong kind, a missing or repeated name, and a
    factor that cannot be.
    """
    import yaml

    file = Path(path) if str(path) else PROJECT / "data" / "scenarios.yaml"
    try:
        root = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as cause:
        raise ParameterError(f"scenario file {file} cannot be read: {cause}", "Give a YAML file.") from cause
    entries = root.get("scenarios") if isinstance(root, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ParameterError(f"{file.name}: no list of scenarios.", "Write 'scenarios:', then '- name: ...'.")
    known = [field.name for field in fields(Scenario)]
    found: dict[str, Scenario] = {}
    for entry in entries:
        name = entry.get("name", "")
        where = f"{file.name}: scenario {name!r}"
        for key, value in entry.items():
            if key not in known:
                way_out = f"Use {', '.join(known)}."
                raise ParameterError(f"{where}: key {key!r} is not known{nearest(str(key), known)}.", way_out)
            kind = "name" if key in ("name", "provider") else "number"
            if isinstance(value, bool) or not isinstance(value, str if kind == "name" else int | float):
                raise ParameterError(f"{where}: {key} {value!r} is not a {kind}.")
        if not name or name in found:
            raise ParameterError(f"{where} {'repeats' if name else 'has no name'}.")
        found[name] = Scenario(**entry)
    return list(found.values())


def _shocked(
    exposure: Exposure, scenario: Scenario, *, offers: pd.DataFrame, hazard: pd.DataFrame, seed: int
) -> PlanCost:
    """Return the cost samples of the held plan under a scenario; arguments as ``stress``."""
    table, unit, provider = exposure.table, exposure.unit_usd, scenario.provider
    mean = unit.mean(axis=0)
    if provider == "largest":
        spend = pd.Series(mean * exposure.instance_hours)
        provider = str(spend.groupby(table["provider"].to_numpy()).sum().idxmax())
    hit = (table["provider"] == provider).to_numpy() | (not provider)
    moves = hit & ~exposure.committed
    if scenario.volatility != 1.0:
        wide = np.exp(scenario.volatility * np.log(np.maximum(unit, 1e-12) / mean))
        unit = np.where(moves, wide * (mean / wide.mean(axis=0)), unit)
    unit = unit * np.where(moves, scenario.price, 1.0) * scenario.cost
    # what is short at a provider is not replaced there
    gone = provider if scenario.availability < 1.0 else ""
    fallback = find_fallbacks(offers, table.index, without_provider=gone)
    at_hit = fallback["fallback"].str.split("/").str[0].eq(provider) | (not provider)
    fallback["fallback_usd_per_hour"] *= scenario.cost * np.where(at_hit, scenario.price, 1.0)
    struck = replace(exposure, unit_usd=unit, table=table.assign(**fallback))
    share = hazard["available_share"] * np.where(hit, scenario.availability, 1.0)
    hazard = hazard.assign(available_share=share)
    return plan_cost(struck, hazard=hazard, demand_factor=scenario.demand, seed=seed)


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
    (over the scenario's own expected cost), probability_over_budget, unmet_gpu_hours (expected). ``hazard`` is
    as of ``cost.hazards``, ``offers`` table ``offers``: what an hour may be replaced by.
    """
    rows: list[dict[str, object]] = []
    base = 0.0
    for scenario in (Scenario("base"), *scenarios):
        cost = _shocked(exposure, scenario, offers=offers, hazard=hazard, seed=seed)
        total, expected = cost.total, float(cost.total.mean())
        base = base if rows else expected
        rows.append(
            {
                "scenario": scenario.name,
                "expected_cost_usd": expected,
                "loss_usd": expected - base,
                "var95_usd": var(total - expected).value,
                "cvar95_usd": cvar(total - expected).value,
                "probability_over_budget": probability_over(total, budget_usd).value,
                "unmet_gpu_hours": float(cost.unmet_gpu_hours.mean()),
            }
        )
    return pd.DataFrame(rows)
