"""Rules on the runs themselves."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from cloudarb_lib.base.records import Positive, record
from pipelines.alerts.rule import Finding, Rule, Watched


@record
class NoSuccess(Rule):
    """No run has succeeded for some days."""

    key: ClassVar[str] = "no_success"
    days: Positive

    def findings(self, watched: Watched) -> list[Finding]:
        newest = watched.newest
        if newest and watched.now - newest.ended_at <= pd.Timedelta(days=self.days):
            return []
        since = f"since {newest.ended_at:%Y-%m-%d %H:%M} UTC" if newest else "ever"
        last = watched.last.manifest
        errors = [entry.get("error") for entry in last.get("notebooks", {}).values()]
        why = next(filter(None, [last.get("error"), *errors]), "")
        text = f"no run has succeeded {since}; the last one {last['status']}"
        return [Finding("", f"{text}: {why}" if why else f"{text}.")]

    def expression(self, configuration: str) -> str:
        ended = f'cloudarb_run_succeeded_timestamp_seconds{{configuration="{configuration}"}}'
        return f"time() - {ended} > {self.days * 86_400:.15g} or absent({ended})"
