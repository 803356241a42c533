"""``cloudarb collect``: prices of today, asked for live."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cloudarb_lib.base.errors import ParameterError, StoreError
from pipelines.cli.live import (
    EndpointOption,
    endpoints_of,
    environment,
    shown_progress,
    start_of,
    utc_now,
)
from pipelines.cli.manual import with_options
from pipelines.cli.options import StoreOption
from pipelines.exit_codes import DATA, DONE

if TYPE_CHECKING:
    from cloudarb_lib.live.collect import Wanted


@dataclass(frozen=True)
class CollectOptions:
    """What ``cloudarb collect`` is told."""

    provider: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="providers, or feeds  [default: each]")
    ] = None
    region: Annotated[
        list[str] | None, typer.Option(metavar="REGION", help="regions  [default: each]")
    ] = None
    once: Annotated[bool, typer.Option("--once", help="one cycle, as without --every")] = False
    every: Annotated[
        str, typer.Option(metavar="STEP", help="a cycle every 10m, 1h or 1D, until stopped")
    ] = ""
    since: Annotated[str, typer.Option(metavar="DATE", help="past versions too, from then on")] = ""
    endpoint: EndpointOption = None
    keep_days: Annotated[
        int, typer.Option(metavar="DAYS", min=1, help="how long raw answers are kept")
    ] = 90
    store: StoreOption = ""


@with_options(CollectOptions)
def collect(options: CollectOptions) -> int:
    """Ask providers for their prices of today, and take them into the store.

    Asks each provider whose credentials are in place, keeps its answers as files beside the store
    (FOLDER.live/raw, each named by its digest), checks them, and publishes one snapshot a cycle. A
    provider that fails stops no other and keeps its last prices; cloudarb deadletter list tells
    what failed for good. After a kill the same command takes in what was fetched. Metrics for
    Prometheus are in FOLDER.live/metrics.prom. docs/sources.md says what each feed gives and needs.
    """
    from cloudarb_lib.base.units import parse_freq

    if options.once and options.every:
        raise ParameterError("--once and --every exclude each other.", "Give one of them.")
    if not options.every:
        return _one_cycle(options)
    step_s = parse_freq(options.every).total_seconds()
    while True:
        began = time.monotonic()
        try:
            _one_cycle(options)
        except StoreError as fault:  # another writer, or a full disk: what was fetched waits
            print(f"cloudarb collect: {fault}", file=sys.stderr, flush=True)
        time.sleep(max(0.0, step_s - (time.monotonic() - began)))


def _one_cycle(options: CollectOptions) -> int:
    """Carry out and print one cycle; return the exit code."""
    from cloudarb_lib.live.collect import collection_folder, opened
    from cloudarb_lib.live.registry import chosen
    from cloudarb_lib.store.entry import store_folder
    from pipelines.events.gather import tell_prices
    from pipelines.observe.tracing import recorded

    feeds = chosen(options.provider or [])
    wanted = _wanted(options)
    with (
        recorded("collect", collection_folder(options.store) / "spans.jsonl"),
        opened(options.store, feeds, clock=utc_now) as collector,
        shown_progress() as on_part,
    ):
        report = collector.cycle(wanted, on_part=on_part)
        if report.published:
            tell_prices(store_folder(options.store))
    print(report, flush=True)
    return DONE if report.anything_fetched else DATA


def _wanted(options: CollectOptions) -> Wanted:
    from cloudarb_lib.live.collect import Wanted

    return Wanted(
        since=start_of(options.since) if options.since else None,
        regions=tuple(options.region or ()),
        endpoints=endpoints_of(options.endpoint),
        environment=environment(),
        kept_days=options.keep_days,
    )
