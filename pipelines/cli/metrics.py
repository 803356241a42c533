"""``cloudarb metrics``: how store, collection, runs and events are doing, for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.live import StoreOption
from pipelines.exit_codes import DONE


def metrics(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.prom", help="write there, for a textfile collector")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(metavar="ALERTS.yaml", help="print that file's rules for Prometheus instead"),
    ] = None,
    store: StoreOption = "",
    reports: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="folder of the runs  [default: reports]")
    ] = None,
) -> int:
    """Metrics of store, collection, runs and events.

    Freshness of sources, rows, breakers, skill and coverage of the forecast, cost, gap and risk of
    the newest plan, alerts that fire, dead letters; in the text format of Prometheus, printed or
    written whole. The server has the same at /metrics, with the latency of its answers. With
    --rules the rules of a file of alerts are printed as rules of Prometheus on these metrics.
    """
    from cloudarb_lib.base import locations
    from pipelines.alerts.configuration import load_alerts
    from pipelines.observe.metrics import Observed, text
    from pipelines.observe.rules import prometheus_rules
    from pipelines.run.files import write_text

    if rules is not None:
        print(prometheus_rules(load_alerts(rules)), end="")
        return DONE
    folder = Path(store) if store else locations.store()
    found = text(Observed(folder, reports or locations.reports()))
    if out is None:
        print(found, end="")
    else:
        write_text(out, found)
    return DONE
