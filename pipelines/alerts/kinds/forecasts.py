"""Rules on the forecast."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from cloudarb_lib.base.records import Positive, record
from cloudarb_lib.base.units import parse_as_of
from pipelines.alerts.rule import Finding, Rule, Watched


@record
class Drift(Rule):
    """Prices or losses drifted within some days before the run's as_of."""

    key: ClassVar[str] = "drift"
    within_days: Positive

    def findings(self, watched: Watched) -> list[Finding]:
        alarms, _ = watched.tables("alarms")
        if alarms.empty or watched.newest is None:
            return []
        end = parse_as_of(watched.newest.manifest["as_of"])
        young = alarms[alarms["time_utc"] > end - pd.Timedelta(days=self.within_days)]
        return [
            Finding(
                f"{row.series_group}/{row.detector}",
                f"{row.series_group} drifted on {row.time_utc:%Y-%m-%d} ({row.detector}): "
                f"{row.action}.",
            )
            for row in young.drop_duplicates(["series_group", "detector"], keep="last").itertuples()
        ]
