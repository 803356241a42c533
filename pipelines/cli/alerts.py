"""``cloudarb alerts``: what fires on the newest run, told once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import ReportsOption, StoreOption
from pipelines.exit_codes import ALERT, DONE, UNDELIVERED


def alerts(
    rules: Annotated[Path, typer.Argument(metavar="ALERTS.yaml", help="a file of rules")] = Path(
        "data/alerts.yaml"
    ),
    store: StoreOption = "",
    reports: ReportsOption = None,
) -> int:
    """Do the rules of a file fire on the newest run? Told once, until it clears.

    Rules are on the freshness of prices, VaR, budget, drift, price and plan changes, a better plan,
    runs that do not succeed, and a store that cannot be read. Prints what fires, writes alerts.json
    beside the pages of the run, and tells what is new to the webhook and by the mail that the file
    names (addresses and passwords stand in environment variables). Exit code 9 while anything
    fires, 13 where a channel could not be told; it is told the next time.
    """
    import pandas as pd

    from cloudarb_lib.base import locations
    from pipelines.alerts.configuration import load_alerts
    from pipelines.alerts.watch import look

    found = look(
        load_alerts(rules),
        reports or locations.reports(),
        store=Path(store) if store else locations.store(),
        now=pd.Timestamp.now("UTC"),
        environment=os.environ,
    )
    change = found.change
    print(f"run {found.run_id}: {len(change.active)} fire, {len(change.cleared)} cleared")
    for alert in change.active:
        print(f"  {alert.rule}: {alert.text} (since {alert.since[:16].replace('T', ' ')} UTC)")
    for alert in change.cleared:
        print(f"  cleared: {alert.rule} {alert.subject}".rstrip())
    for sentence in found.undelivered:
        print(f"not told by {sentence}", file=sys.stderr)
    if found.undelivered:
        return UNDELIVERED
    return ALERT if change.active else DONE
