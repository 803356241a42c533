"""Rules on what the plan can cost."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from cloudarb_lib.base.records import NotNegative, Positive, Share, record
from cloudarb_lib.base.wording import dollars
from pipelines.alerts.rule import Finding, Rule, Watched


@record
class ValueAtRisk(Rule):
    """VaR of the plan over its horizon is above a limit."""

    key: ClassVar[str] = "value_at_risk"
    over_usd: NotNegative
    level: Share = 0.95

    def findings(self, watched: Watched) -> list[Finding]:
        risk, _ = watched.tables("risk")
        values = _total(risk, "var")
        found = values[values["level"] == self.level] if len(values) else values
        if found.empty or found["value_usd"].iloc[0] <= self.over_usd:
            return []
        value = dollars(found["value_usd"].iloc[0])
        limit = dollars(self.over_usd)
        return [Finding("", f"VaR at {self.level:.0%} is {value}, the limit {limit}.")]

    def expression(self, configuration: str) -> str:
        labels = f'configuration="{configuration}",level="{self.level:g}"'
        return f"cloudarb_var_usd{{{labels}}} > {self.over_usd:.15g}"


@record
class OverBudget(Rule):
    """The plan's cost exceeds the budget by more than a chance."""

    key: ClassVar[str] = "over_budget"
    chance: Positive

    def findings(self, watched: Watched) -> list[Finding]:
        risk, _ = watched.tables("risk")
        found = _total(risk, "probability_over_budget")
        if found.empty or found["value_usd"].iloc[0] <= self.chance:
            return []
        chance = found["value_usd"].iloc[0]
        return [
            Finding("", f"{chance:.1%} of paths exceed the budget; {self.chance:.1%} are allowed.")
        ]

    def expression(self, configuration: str) -> str:
        share = f'cloudarb_over_budget_share{{configuration="{configuration}"}}'
        return f"{share} > {self.chance:.15g}"


def _total(risk: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the rows of a measure for the whole plan."""
    if risk.empty:
        return risk
    return risk[(risk["measure"] == measure) & (risk["scope"] == "total")]
