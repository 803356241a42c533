"""``cloudarb metrics``: how store, collection, runs and events are doing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.live import utc_now
from pipelines.cli.manual import with_options
from pipelines.cli.options import ReportsOption, StoreOption
from pipelines.exit_codes import DONE


@dataclass(frozen=True)
class MetricsOptions:
    """What ``cloudarb metrics`` is told."""

    out: Annotated[
        Path | None, typer.Option(metavar="FILE.prom", help="write there, for a textfile collector")
    ] = None
    page: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="write a page for people instead")
    ] = None
    served: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="of the page: what /metrics of a server said"),
    ] = None
    grafana: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="write a dashboard for Grafana instead")
    ] = None
    rules: Annotated[
        Path | None,
        typer.Option(metavar="ALERTS.yaml", help="print that file's rules for Prometheus instead"),
    ] = None
    store: StoreOption = ""
    reports: ReportsOption = None


@with_options(MetricsOptions)
def metrics(options: MetricsOptions) -> int:
    """Metrics of store, collection, runs and events.

    Freshness of sources, rows, breakers, skill and coverage of the forecast, cost, gap and risk of
    the newest plan, breaches of VaR, alerts that fire, dead letters; in the text format of
    Prometheus, printed or written whole. The server has the same at /metrics, with the latency of
    its answers. --page draws them and the runs so far as one page (reports/observed.html shares
    its script with reports), --grafana writes a dashboard of all of them, and --rules prints the
    rules of a file of alerts as rules of Prometheus on them.
    """
    if options.served and options.page is None:
        raise ParameterError("--served goes with --page.", "Add --page FILE.html.")
    if options.rules is not None:
        _print_rules(options.rules)
    elif options.grafana is not None:
        _write_grafana(options.grafana)
    else:
        _tell(options)
    return DONE


def _print_rules(alerts: Path) -> None:
    from pipelines.alerts.configuration import load_alerts
    from pipelines.observe.rules import prometheus_rules

    print(prometheus_rules(load_alerts(alerts)), end="")


def _write_grafana(target: Path) -> None:
    from pipelines.cli.extras import require
    from pipelines.run.files import write_text

    require("observe", "grafana_foundation_sdk")
    from pipelines.observe.grafana import grafana_dashboard

    write_text(target, grafana_dashboard())
    print(f"written to {target}")


def _tell(options: MetricsOptions) -> None:
    """Print the metrics, or write them as a text or a page."""
    from cloudarb_lib.base import locations
    from pipelines.observe.metrics import Observed, text
    from pipelines.run.files import write_text

    folder = Path(options.store) if options.store else locations.store()
    observed = Observed(folder, options.reports or locations.reports())
    if options.page is not None:
        from pipelines.report.observed import write_page

        write_page(observed, options.page, served=options.served or [], now=utc_now())
        print(f"written to {options.page}")
    elif options.out is not None:
        write_text(options.out, text(observed))
    else:
        print(text(observed), end="")
